"""Confidence: regions their own producer was unsure of. Scores of two models are not on one scale."""

from __future__ import annotations

from collections.abc import Mapping

from engine.columns import Regions
from filters.verdict import Verdict


def min_score(regions: Regions, *, floor: float = 0.3, by_producer: Mapping[str, float] = {}) -> Verdict:
    """Drop what its own producer was unsure of. Human regions carry no score and pass.

    `floor` holds for every producer that `by_producer` does not name.
    """
    floors = regions.lookup("producer", by_producer, floor)
    return Verdict(keep=~(regions.score < floors), rule="min_score", value=regions.score, threshold=floors)
