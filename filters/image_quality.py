"""Drops images that are too blurred, dark, bright, low in contrast, empty or clipped, by measured scores.

The default limits fit the scores of the specialist `image_quality` and are cautious. They drop none of 129 real photos
(COCO, street scenes), and three in four COCO photos blurred by 2 pixels. They also drop screens of two colours. All
annotations of a dropped image are dropped with it, human labels included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator

from engine.records.columns import Images, ImageScores
from engine.records.shard import Floats
from filters.judging.needs import Given, needs
from filters.verdict import Verdict

HIGHEST: Mapping[str, float] = {"sharpness": np.inf, "brightness": 1, "contrast": 0.5, "entropy": 8, "clipped": 1}


def _in_range(limits: Mapping[str, float | None]) -> Mapping[str, float | None]:
    for name, limit in limits.items():
        if limit is not None and name in HIGHEST and not 0 <= limit <= HIGHEST[name]:
            raise ValueError(f"'{name}' is between 0 and {HIGHEST[name]:g}")
    return limits


Limits = Annotated[Mapping[str, float | None], AfterValidator(_in_range)]
AT_LEAST: Mapping[str, float] = {"sharpness": 20, "brightness": 0.03, "contrast": 0.03, "entropy": 1.5}
AT_MOST: Mapping[str, float] = {"brightness": 0.97, "clipped": 0.9}


def _lacking(given: Given, options: Mapping[str, Any]) -> str:
    """Says which score is missing, or returns '' if none is. Each limit that the recipe sets needs its score. If the
    recipe sets no limit, each default limit needs its score.
    """
    producer = options["producer"]
    named = {**_own(options["at_least"], AT_LEAST), **_own(options["at_most"], AT_MOST)}
    for name in sorted(named or {**AT_LEAST, **AT_MOST}):
        nodes = (*given.scores.get(name, ()), *given.other_scores)
        if not nodes:
            add = "'quality: {use: image_quality}'" if name in HIGHEST else "a node that measures it"
            return f"reads the score '{name}', which no node gives: add {add}"
        if producer and producer not in nodes:
            known = " and ".join(nodes)
            return f"reads the score '{name}' of '{producer}', but {known} gives it: add that node"
    return ""


def _own(limits: Mapping[str, float | None], defaults: Mapping[str, float]) -> dict[str, float | None]:
    return {name: limit for name, limit in limits.items() if limit is not None and limit != defaults.get(name)}


@needs(_lacking)
def image_quality(
    images: Images,
    image_scores: ImageScores,
    *,
    at_least: Limits = AT_LEAST,
    at_most: Limits = AT_MOST,
    producer: str = "",
) -> list[Verdict]:
    """Drop images with a score below its limit in `at_least` or above its limit in `at_most`.

    A score that the recipe does not name keeps its default limit; null removes a limit. A score that an image lacks is
    not checked. For example, a photo with a sharpness of 4 is dropped by image_quality.sharpness. Any score can have a
    limit: `at_least: {aesthetic: 4.5}` adds the rule image_quality.aesthetic. `producer`: read only this producer's
    scores. If an image has several scores of one name, the worst counts.
    """
    known = ~np.isnan(image_scores.value)
    scores = image_scores.take(known & image_scores.equals("producer", producer) if producer else known)
    verdicts = []
    for name, floor in {**AT_LEAST, **at_least}.items():
        if floor is not None:
            value = _worst(images, scores, name, np.minimum)
            verdicts.append(Verdict(~(value < floor), f"image_quality.{name}", value, floor))
    for name, ceiling in {**AT_MOST, **at_most}.items():
        if ceiling is not None:
            value = _worst(images, scores, name, np.maximum)
            verdicts.append(Verdict(~(value > ceiling), f"image_quality.{name}", value, ceiling))
    return verdicts


def _worst(images: Images, scores: ImageScores, name: str, worse: np.ufunc) -> Floats:
    """Each image's worst score of this name; NaN if it has none. `worse`: np.minimum if low scores are bad, else
    np.maximum.
    """
    named = scores.equals("name", name)
    worst = np.full(len(images.shard), np.nan)
    worst[scores.image[named]] = scores.value[named]
    worse.at(worst, scores.image[named], scores.value[named])
    return worst[images.rows]
