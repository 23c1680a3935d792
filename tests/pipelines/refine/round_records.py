"""A decision on a round, for tests that are about one of its fields."""

from __future__ import annotations

from typing import Any

from pipelines.refine.round_record import RoundRecord

FIELDS: dict[str, Any] = {
    "round": 1,
    "accepted": True,
    "reasons": [],
    "alarms": [],
    "measures": {},
    "changes": {},
    "confused": {},
    "students": ["models/round-1-fold-0-00000000"],
    "propose": "round-1-propose",
    "merge": "round-1-merge",
    "folders": [],
    "filter": [],
    "options": "0" * 64,
    "base": {"noisy": "1" * 64},
    "surveyed": "",
}


def round_record(**fields: Any) -> RoundRecord:
    return RoundRecord(**FIELDS | fields)
