"""Whether a target says what its source says: it is parsed back, and every number is within half a location.

Only what lies inside the image can be said, so a source is compared where it is clipped to the image. An outline
is compared as it was simplified, not with its mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.pairs.locations import BINS
from model.pairs.parsing import ParsedRegion, parse_target
from model.pairs.targets import Item
from model.pairs.tasks import task_of

_SLACK = 1e-6  # pixels: what floating point loses


def is_proven(task: str, target: str, items: Sequence[Item], text: str = "", *, width: float, height: float) -> bool:
    """`items` in the order of the target."""
    parsed = parse_target(task, target, width=width, height=height)
    if parsed.faults or parsed.text != text or len(parsed.regions) != len(items):
        return False
    form = task_of(task).form
    labelled = form not in ("boxes", "polygons")
    for found, item in zip(parsed.regions, items, strict=True):
        if (labelled and found.label != item.label) or not _same_place(form, found, item, width, height):
            return False
    return True


def _same_place(form: str, found: ParsedRegion, item: Item, width: float, height: float) -> bool:
    if form == "quads":
        return found.quad is not None and is_near(found.quad, item.quad, width, height)
    if form == "polygons" or (form == "repeated_boxes" and item.polygons):
        pairs = zip(found.polygons, item.polygons, strict=False)
        return len(found.polygons) == len(item.polygons) and all(is_near(*pair, width, height) for pair in pairs)
    return found.box is not None and is_near(found.box, item.box, width, height)


def is_near(read: Sequence[float], source: Sequence[float], width: float, height: float) -> bool:
    """x, y, x, y, ... of both: as many, and none further than half a location from its source inside the image."""
    if len(read) != len(source):
        return False
    sides = (width, height)
    most = (width / (2 * BINS) + _SLACK, height / (2 * BINS) + _SLACK)
    for number, value in enumerate(read):
        axis = number & 1
        apart = value - source[number]
        if not -most[axis] <= apart <= most[axis]:
            inside = min(max(source[number], 0.0), sides[axis])
            if not -most[axis] <= value - inside <= most[axis]:
                return False
    return True
