"""The rounds of refinement of a data set, for the manifest of a release."""

from __future__ import annotations

from engine.layout import MODELS
from engine.reading.dataset import read_current
from engine.reading.release_manifest import ReleaseRound
from engine.storage.files import Storage
from pipelines.refine.round_record import read_round


def release_rounds(storage: Storage) -> list[ReleaseRound]:
    """The decisions on all rounds of the data set, including a last one that was refused."""
    records = [read_round(storage, name) for name in read_current(storage).get("rounds", [])]
    return [
        {
            "round": record.round,
            "accepted": record.accepted,
            "changed": record.changed_share,
            "changes": dict(sorted(record.changes.items())),
            "reasons": list(record.reasons),
            "students": [student.removeprefix(f"{MODELS}/") for student in record.students],
        }
        for record in records
    ]
