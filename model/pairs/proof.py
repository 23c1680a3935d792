"""Checks a target. Parsed back, it must give the items it was written from, to within half a location.

Coordinates outside the image are clipped to it before the comparison, because a target cannot express them. An outline
is compared with the simplified outline of its item, not with the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.florence2_tasks import task_of
from model.pairs.locations import BINS
from model.pairs.parsing import ParsedRegion, parse_target
from model.pairs.targets import Item

_SLACK = 1e-6  # pixels, for rounding errors


def is_proven(task: str, target: str, items: Sequence[Item], text: str = "", *, width: float, height: float) -> bool:
    """Whether the target parses back to `items` (in the order of the target), or to `text` if the task writes a
    text.
    """
    parsed = parse_target(task, target, width=width, height=height)
    if parsed.faults or parsed.text != text or len(parsed.regions) != len(items):
        return False
    form = task_of(task).form
    labelled = form not in ("boxes", "polygons")
    for region, item in zip(parsed.regions, items, strict=True):
        if (labelled and region.label != item.label) or not _same_shape(form, region, item, width, height):
            return False
    return True


def _same_shape(form: str, region: ParsedRegion, item: Item, width: float, height: float) -> bool:
    if form == "quads":
        return region.quad is not None and is_near(region.quad, item.quad, width, height)
    if form == "polygons" or (form == "repeated_boxes" and item.polygons):
        pairs = zip(region.polygons, item.polygons, strict=False)
        return len(region.polygons) == len(item.polygons) and all(is_near(*pair, width, height) for pair in pairs)
    return region.box is not None and is_near(region.box, item.box, width, height)


def is_near(read: Sequence[float], source: Sequence[float], width: float, height: float) -> bool:
    """Whether two lists of points (x, y, x, y, ...) have the same length and no coordinate differs by more than half a
    location.
    """
    if len(read) != len(source):
        return False
    sides = (width, height)
    most = (width / (2 * BINS) + _SLACK, height / (2 * BINS) + _SLACK)
    for number, value in enumerate(read):
        axis = number & 1
        if not -most[axis] <= value - source[number] <= most[axis]:
            inside = min(max(source[number], 0.0), sides[axis])
            if not -most[axis] <= value - inside <= most[axis]:
                return False
    return True
