"""What the merge of a round writes beside its regions: every change, and the decisions that the rules must respect.

Both are tables of a shard. A change shows `engine why` what became of an annotation. A decision drops an annotation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from engine.schema import CHANGES, required
from pipelines.refine.rows import Row

# `region_id` may also be the id of a text, a region text or a phrase.
DECIDED = pa.schema(
    [
        required("image_id", pa.string()),
        required("region_id", pa.string()),
        required("rule", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)


@dataclass(slots=True)
class Changes:
    """The changes and decisions of one shard. decided: must start with the decisions of earlier rules."""

    round: int
    decided: list[Row]
    rows: list[Row] = field(default_factory=list)

    def add(
        self,
        image_id: str,
        rule: str,
        ids: tuple[str, str],
        labels: tuple[str, str],
        value: float,
        threshold: float | None,
    ) -> None:
        """Records a change. ids, labels: (old, new), with '' for none. The label of a text is the text itself."""
        row = {"image_id": image_id, "round": self.round, "rule": rule, "value": value, "threshold": threshold}
        self.rows.append(row | {"old": ids[0], "new": ids[1], "old_label": labels[0], "new_label": labels[1]})

    def drop(self, image_id: str, name: str, rule: str, value: float, threshold: float | None) -> None:
        """Drops an annotation, with the rule `refine.<rule>`."""
        row = {"image_id": image_id, "region_id": name, "rule": f"refine.{rule}"}
        self.decided.append(row | {"value": value, "threshold": threshold})

    def tables(self) -> dict[str, pa.Table]:
        """{part: table}, in the form that the merge commits."""
        decided = pa.Table.from_pylist(self.decided, DECIDED)
        return {"decided": decided, "changes": pa.Table.from_pylist(self.rows, CHANGES)}

    def counts(self) -> dict[str, int]:
        """{rule: number of changes}, sorted by rule."""
        return dict(sorted(Counter(row["rule"] for row in self.rows).items()))
