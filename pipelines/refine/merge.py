"""What a round makes of a shard: the merged record, what was decided, and a table of the changes.

Nothing is lost on the way: the merged record holds every region there was, the replaced ones pointing at what they
became, the others with the verdict they had. Region texts and phrases follow the regions they are of
(engine/records/shard.py), and go with those that go; merge_texts.py has the same for texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from engine.component import Output
from engine.records.boxes import iou, row_box
from engine.records.shard import one_array
from engine.running.shard_inputs import ShardInputs
from engine.schema import CHANGES, record_table, required
from engine.storage.commits import Commits
from filters.judging.apply_rules import FOLLOWING
from model.evaluate.detections import Detection, Truth
from model.evaluate.matching import matched
from pipelines.refine.merge_texts import Happened, TextMerge
from pipelines.refine.rows import KeptShard, Row, region_row
from refinement.folds import fold_of
from refinement.match import paired
from refinement.merge import Change, Given, Proposed, merge_regions
from refinement.options import MergeOptions, held

LABEL_SCORE = "label_probability"  # of a region that a student named or added
MASK_LOST = "mask_lost"  # a change beside the one that moved the region away from its mask

# What was decided of before the rules of this round: by the rules before it, or by the merge. `region_id` may be the
# id of a text, a region text or a phrase.
DECIDED = pa.schema(
    [
        required("image_id", pa.string()),
        required("region_id", pa.string()),
        required("rule", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)


_COLUMNS = ("regions", "texts", "region_texts", "phrases")
_GIVEN = ("image_id", *_COLUMNS, "failures")


class Merge:
    """The record after the round: every region there was and those that came, and what was decided of them."""

    def __init__(
        self,
        *,
        name: str,
        round_number: int,
        record: list[Any],
        judge: str,
        propose: str,
        folds: int,
        options: Mapping[str, Any],
        held: Sequence[Sequence[str]],
        written: Mapping[str, Any] | None = None,
    ) -> None:
        self.written = written  # how texts are merged, if they are
        self.name, self.round, self.record, self.judge, self.propose = name, round_number, record, judge, propose
        self.folds, self.given, self.held = folds, options, held

    def load(self) -> None:
        self.options = merge_options(self.given, self.held)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = KeptShard(inputs, self.record, self.judge)
        proposals = {row["image_id"]: row for row in inputs.table(self.propose).to_pylist()}
        evidence = _evidence(inputs, self.propose)
        kept_rows = {row["image_id"]: row for row in kept.rows}
        rows: list[Row] = []
        decided = list(_decided_before(kept, _COLUMNS if self.written else _COLUMNS[:1]))
        changes: list[Row] = []
        told = _Told(self.options)
        texts = None
        if self.written:
            texts = TextMerge(self.name, self.round, self.options, inputs, self.propose, **self.written)
        for row in kept.record.to_pylist():
            image_id = row["image_id"]
            row |= {"texts": [], "phrases": []}  # of these the record holds what there was
            if image_id in kept_rows and not proposals[image_id]["failures"]:
                own, proposal = kept_rows[image_id], proposals[image_id]
                happened = self._merged(row, own, proposal, evidence, decided, changes, told)
                if texts:
                    texts.merged(row, own, proposal, happened, decided, changes)
            rows.append({name: row[name] for name in _GIVEN})
        revision = inputs.unit.revision
        files = {
            "data": commits.put_table(shard, record_table(rows), revision),
            "decided": commits.put_table(shard, pa.Table.from_pylist(decided, DECIDED), revision, "decided"),
            "changes": commits.put_table(shard, pa.Table.from_pylist(changes, CHANGES), revision, "changes"),
        }
        counts = told.as_counts(changes) | ({"texts": texts.as_counts()} if texts else {})
        return Output(files, len(rows), counts=counts)

    def _merged(
        self,
        row: Row,
        kept: Row,
        proposal: Row,
        evidence: Mapping[tuple[str, str], Row],
        decided: list[Row],
        changes: list[Row],
        told: _Told,
    ) -> Happened:
        """The regions. What became of them."""
        image_id = row["image_id"]
        given = list(_given(kept, evidence))
        proposed = [_proposed(region, evidence[image_id, region["id"]]) for region in proposal["regions"]]
        made = merge_regions(given, proposed, self.options)
        told.see(fold_of(image_id, self.folds), given, proposed, made)
        by_id = {region["id"]: region for region in row["regions"]}
        standing = {region["id"]: region for region in kept["regions"]}
        happened = Happened(standing, {}, any(change.rule != "moved" for change in made))
        for change in made:
            new, old = "", by_id.get(change.old)
            standing.pop(change.old, None)
            if change.new is not None:
                new = f"{self.name}/{sum(region['producer'] == self.name for region in row['regions'])}"
                standing[new] = self._region(new, change, old)
                happened.became |= {change.old: new} if change.old else {}
                row["regions"].append(standing[new])
            if old is not None and new:
                old["merged_into"] = new
            elif old is not None:
                decided.append(
                    {"image_id": image_id, "region_id": change.old, "rule": f"refine.{change.rule}"}
                    | {"value": change.value, "threshold": change.threshold}
                )
            told_of = {"image_id": image_id, "round": self.round, "old": change.old, "new": new} | {
                "old_label": old["label"] if old else "",
                "new_label": change.new.label if change.new else "",
            }
            changes.append(told_of | {"rule": change.rule, "value": change.value, "threshold": change.threshold})
            if old is not None and new and old["rle"] and not standing[new]["rle"]:
                moved = iou(row_box(old), row_box(standing[new]))
                changes.append(told_of | {"rule": MASK_LOST, "value": moved, "threshold": self.options.mask_iou})
        return happened

    def _region(self, name: str, change: Change, old: Row | None) -> Row:
        """What takes the place of `old`, or comes anew."""
        assert change.new is not None
        new = change.new
        parents = [parent for parent in (change.old, change.by) if parent]
        kind = old["score_kind"] if old is not None and change.rule == "moved" else LABEL_SCORE
        row = region_row(name, self.name, self.round, new.label, new.box, new.score, kind, parents)
        if old is not None and new.keeps_shape:
            row |= {"rle": old["rle"], "quad": old["quad"]}
        return row


def merge_options(options: Mapping[str, Any], hold_labels: Sequence[Sequence[str]]) -> MergeOptions:
    """What a recipe says under refine.merge and refine.hold_labels."""
    return MergeOptions(**options, keep_labels=held(hold_labels))


class _Told:
    """What the gate asks of a shard, as counts that add up over shards."""

    def __init__(self, options: MergeOptions) -> None:
        self.options = options
        self.given, self.human = 0, 0
        self.called: dict[str, dict[str, list[int]]] = {}  # label, student's label: boxes it is sure of, and not
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.agreement: dict[str, list[int]] = {}  # by fold: boxes that are there, found, right

    def see(self, fold: int, given: Sequence[Given], proposed: Sequence[Proposed], changes: Sequence[Change]) -> None:
        labels = {one.id: one.label for one in given}
        self.given += sum(not one.human for one in given)
        self.human += sum(one.human for one in given)
        self.before.update(labels.values())
        for change in changes:
            labels.pop(change.old, None)
        self.after.update([*labels.values(), *(change.new.label for change in changes if change.new)])
        names = [one.label for one in given], [one.label for one in proposed]
        pairs = paired([one.box for one in given], [one.box for one in proposed], names, iou=self.options.match_iou)
        for a, b in pairs.items():
            sure = proposed[b].label_score >= self.options.relabel
            counts = self.called.setdefault(given[a].label, {}).setdefault(proposed[b].label, [0, 0])
            counts[int(not sure)] += 1
        truth = [Truth(one.label, one.box) for one in given]
        found = [Detection(one.label, one.box, one.score) for one in proposed]
        sums = self.agreement.setdefault(str(fold), [0, 0, 0])
        for place, number in enumerate((len(truth), len(found), int(matched(truth, found)[0].sum()))):
            sums[place] += number

    def as_counts(self, changes: Sequence[Row]) -> dict[str, Any]:
        return {
            "given": self.given,
            "human": self.human,
            "changes": dict(sorted(Counter(change["rule"] for change in changes).items())),
            "labels_before": dict(sorted(self.before.items())),
            "labels_after": dict(sorted(self.after.items())),
            "agreement": self.agreement,
            "called": self.called,
        }


def _given(kept: Row, evidence: Mapping[tuple[str, str], Row]) -> Iterator[Given]:
    """What people speak of is theirs too: no rule drops it."""
    spoken_of = {item["region_id"] for item in kept["region_texts"] if item["score"] is None}
    for region in kept["regions"]:
        if region["kind"] != "object":
            continue
        told = evidence.get((kept["image_id"], region["id"]))
        yield Given(
            id=region["id"],
            kind=region["kind"],
            label=region["label"],
            box=row_box(region),
            score=region["score"],
            human=region["score"] is None or region["id"] in spoken_of,
            likelihood=told["location"] if told else None,
            label_likelihood=told["label"] if told else None,
            has_mask=bool(region["rle"]),
        )


def _proposed(region: Row, told: Row) -> Proposed:
    return Proposed(
        id=region["id"],
        label=region["label"],
        box=row_box(region),
        score=region["score"],
        label_score=told["label"],
        location=told["location"],
    )


def _evidence(inputs: ShardInputs, propose: str) -> dict[tuple[str, str], Row]:
    rows = inputs.part(propose, "evidence").to_pylist()
    return {(row["image_id"], row["region_id"]): row for row in rows}


def _decided_before(kept: KeptShard, columns: Sequence[str]) -> Iterator[Row]:
    """What the rules of the round before dropped stays dropped, by the rule that did it: nobody asked again."""
    names = kept.record["image_id"].to_pylist()
    for column in columns:
        lists = one_array(kept.verdicts[column]).to_pylist()
        items = one_array(kept.record[column]).to_pylist()
        for image_id, verdicts, own in zip(names, lists, items, strict=True):
            for verdict, item in zip(verdicts, own, strict=True):
                if not verdict["kept"] and not item.get("merged_into") and verdict["rule"] not in FOLLOWING:
                    yield {"image_id": image_id, "region_id": item["id"], "rule": verdict["rule"]} | {
                        "value": verdict["value"],
                        "threshold": verdict["threshold"],
                    }
