"""The rounds of refinement of a data set, for the manifest of a release."""

from __future__ import annotations

from engine.layout import MODELS
from engine.reading.dataset import read_current
from engine.reading.release_manifest import ReleaseRound
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed

_SHARES = ("changed", "texts changed")  # measures of a round; the larger one decides whether a further round is needed


def release_rounds(storage: Storage) -> list[ReleaseRound]:
    """The decisions on all rounds of the data set, including a last one that was refused.

    pipelines/refine/round_record.py describes their files.
    """
    records = [read_sealed(storage, name) for name in read_current(storage).get("rounds", [])]
    return [
        {
            "round": record["round"],
            "accepted": record["accepted"],
            "changed": max(record["measures"].get(name) or 0.0 for name in _SHARES),
            "changes": dict(sorted(record["changes"].items())),
            "reasons": record["reasons"],
            "students": [student.removeprefix(f"{MODELS}/") for student in record["students"]],
        }
        for record in records
    ]
