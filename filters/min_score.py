"""Confidence: regions their own producer was unsure of. Scores of two models are not on one scale.

Either each producer gets its own floor, or a calibration (engine/scores/calibration.py) turns scores into the share
that was right, and one floor means the same for all it has a curve for.
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
    """Drop what its own producer was unsure of. Human regions carry no score and pass.

    A cat at .29 is below the floor of .3. `floor` holds for all that `by_producer` ({ocr: 0.5}) and, before it,
    `by_label` ({person: 0.6}) do not name. With `calibration`, the path of a JSON file, scores are mapped through
    the curve of their producer first, and that is the value compared.
    """
    floors = row_bounds(regions, "floor", floor, by_producer=by_producer, by_label=by_label)
    scores = _calibrated(regions, calibration) if calibration else regions.score
    return Verdict(keep=~(scores < floors), rule="min_score", value=scores, threshold=floors)


def _calibrated(regions: Regions, path: str) -> Floats:
    codes, words = regions.codes("producer")
    return Calibration.read(path).apply(np.array([*words, ""], object)[codes], regions.score)
