"""Drops regions with a low score. Scores of different models are not on one scale.

There are two ways to make them comparable. Either give each producer its own floor, or give a calibration
(engine/scores/calibration.py), which maps each score to the share of boxes with that score that were correct. One floor
then means the same for all producers that have a calibration curve.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.config.ranges import Share
from engine.records.columns import Regions
from engine.records.shard import Floats
from engine.scores.calibration import Calibration
from filters.judging.bounds import row_bounds
from filters.verdict import Verdict


def min_score(
    regions: Regions,
    *,
    floor: Share = 0.3,
    by_producer: Mapping[str, Share] = {},
    by_label: Mapping[str, Share] = {},
    calibration: str = "",
) -> Verdict:
    """Drop regions with a score below the floor. Human regions have no score and pass.

    For example, a cat at .29 is below the default floor of .3. `by_label` ({person: 0.6}) and `by_producer` ({ocr:
    0.5}) set the floor of some regions; a label overrides a producer. `calibration`: path of a JSON file with
    calibration curves. If it has a curve for a producer, that producer's scores are mapped before the comparison.
    """
    floors = row_bounds(regions, "floor", floor, by_producer=by_producer, by_label=by_label)
    scores = _calibrated(regions, calibration) if calibration else regions.score
    return Verdict(keep=~(scores < floors), rule="min_score", value=scores, threshold=floors)


def _calibrated(regions: Regions, path: str) -> Floats:
    codes, words = regions.codes("producer")
    return Calibration.read(path).apply(np.array([*words, ""], object)[codes], regions.score)
