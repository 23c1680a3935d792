"""The committed decision on a round, `rounds/<number>-<key>.json`. It is written once and never changed.

The fields of the dataclass are the keys of the file. A field that is added later needs a default in `from_json`, so
that decisions of older versions can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal
from refinement.confusion import ConfusedPair


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """What the gate decided on a round and why, with everything that is needed to make the round's nodes again.

    changes: {rule: count}. confused: {"people" or "students": pairs of labels}. students: the folders of the models,
    one for each fold. propose, merge: names of nodes. folders: where the round's answers and verdicts are. filter: the
    recipe's rules at that time. options: a digest of the settings that affect a round. base: {annotating node: key}.
    surveyed: the folder of the table about the whole data set, '' if no rule needs it. name: the path of this file,
    which the file does not contain.
    """

    round: int
    accepted: bool
    reasons: list[str]
    alarms: list[str]
    measures: dict[str, float | None]
    changes: dict[str, int]
    confused: dict[str, list[ConfusedPair]]
    students: list[str]
    propose: str
    merge: str
    folders: list[str]
    filter: list[Any]
    options: str
    base: dict[str, str]
    surveyed: str
    name: str = ""

    @property
    def changed_share(self) -> float:
        """The share of regions that the round changed. If the share of texts is larger, that share."""
        return max(self.measures.get(name) or 0.0 for name in ("changed", "texts changed"))

    @classmethod
    def from_json(cls, content: Mapping[str, Any], name: str = "") -> RoundRecord:
        known = {field.name: content[field.name] for field in fields(cls) if field.name in content}
        confused = {by: [ConfusedPair(**pair) for pair in pairs] for by, pairs in content.get("confused", {}).items()}
        return cls(**known | {"confused": confused, "name": name})

    def as_json(self) -> dict[str, Any]:
        content = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}
        return content | {"confused": {by: [asdict(pair) for pair in pairs] for by, pairs in self.confused.items()}}


def read_round(storage: Storage, name: str) -> RoundRecord:
    """Reads a decision. Raises FileNotFoundError if there is none, and DamageError if its file was changed."""
    return RoundRecord.from_json(read_sealed(storage, name), name)


def write_round(storage: Storage, name: str, record: RoundRecord) -> None:
    storage.create(name, seal(record.as_json()))
