"""Masks as COCO run-lengths (pycocotools), polygons or pixels.

An `rle` here is only the string of compressed counts. The size of the upright image must be passed with it. With a
wrong size pycocotools decodes a sheared mask without an error, so every function checks that the counts add up to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError

Mask = npt.NDArray[np.bool_]

# pycocotools accepts any corner and allocates memory for the length of the outline. One corner far away, or a million
# corners, used up all memory.
FAR = 4  # how far outside the image a corner may be, in widths or heights of the image
LONGEST_OUTLINE = 2_000_000  # pixels: the longest outline of all polygons of a mask together
MOST_PIXELS = 2**31 - 1  # most pixels of an image, because pycocotools counts with 32 bits
_DIGITS = 7  # most characters of a run, five bits each: enough for an image of MOST_PIXELS


def encode(mask: npt.NDArray[Any]) -> str:
    """The rle of a mask, given as a height x width array that is true inside."""
    from pycocotools import mask as coco

    counts: bytes = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts.decode("ascii")


def decode(rle: str, *, width: int, height: int) -> Mask:
    """The mask of an rle, as a boolean array, height x width, true inside."""
    runs = _checked_runs(rle, width, height)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def area(rle: str, *, width: int, height: int) -> int:
    """The area of a mask in pixels."""
    from pycocotools import mask as coco

    return int(coco.area(_coco(rle, width, height)))


def bbox(rle: str, *, width: int, height: int) -> tuple[float, float, float, float]:
    """The box around a mask: x1, y1, x2, y2. All are 0 for an empty mask."""
    from pycocotools import mask as coco

    x, y, w, h = (float(number) for number in coco.toBbox(_coco(rle, width, height)))
    return (x, y, x + w, y + h)


def mask_iou(first: str, second: str, *, width: int, height: int) -> float:
    from pycocotools import mask as coco

    return float(coco.iou([_coco(first, width, height)], [_coco(second, width, height)], [0])[0, 0])


def overlap(first: str, second: str, *, width: int, height: int) -> tuple[int, int]:
    """(pixels inside both masks, pixels inside at least one of them)."""
    from pycocotools import mask as coco

    one, other = _coco(first, width, height), _coco(second, width, height)
    both = int(coco.area(coco.merge([one, other], intersect=True)))
    return both, int(coco.area(one)) + int(coco.area(other)) - both


def union(rles: Sequence[str], *, width: int, height: int) -> str:
    """The union of masks. Without any masks, the rle of an empty mask."""
    from pycocotools import mask as coco

    if not rles:
        return from_counts([width * height], width=width, height=height)
    counts: bytes = coco.merge([_coco(rle, width, height) for rle in rles])["counts"]
    return counts.decode("ascii")


def from_polygons(polygons: Sequence[Sequence[float] | npt.NDArray[np.float64]], *, width: int, height: int) -> str:
    """The rle of the union of polygons, each given as x, y, x, y, ... in pixels.

    Polygons with fewer than three corners are ignored. Raises EngineError for corners that are not finite or far
    outside of the image, and for outlines that are too long.
    """
    from pycocotools import mask as coco

    _check_size(width, height)
    solid = [np.asarray(polygon, np.float64) for polygon in polygons if len(polygon) >= 6]
    if not solid:
        return from_counts([width * height], width=width, height=height)
    _check_outlines(solid, width, height)
    merged: bytes = coco.merge(coco.frPyObjects([polygon.tolist() for polygon in solid], height, width))["counts"]
    return merged.decode("ascii")


def _check_outlines(polygons: Sequence[npt.NDArray[np.float64]], width: int, height: int) -> None:
    length, reach = 0.0, FAR * max(width, height)
    for polygon in polygons:
        if len(polygon) % 2:
            raise EngineError(f"A polygon has {len(polygon)} numbers, expected pairs of x and y.")
        if not (np.isfinite(polygon).all() and polygon.min() >= -reach and polygon.max() <= max(width, height) + reach):
            raise EngineError(f"A polygon has a corner far outside of its image of {width} x {height} pixels.")
        corners = polygon.reshape(-1, 2)
        length += float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())
    longest = min(LONGEST_OUTLINE, 10_000 + 4 * width * height)  # twice around every pixel
    if length > longest:
        raise EngineError(f"A mask's outline is {length:,.0f} pixels long, expected at most {longest:,}.")


def _check_size(width: int, height: int) -> None:
    if not 0 < width * height <= MOST_PIXELS:
        raise EngineError(f"A mask's image has {width} x {height} pixels, expected 1 to {MOST_PIXELS:,}.")


def from_counts(counts: Sequence[int], *, width: int, height: int) -> str:
    """The rle of COCO's uncompressed run-lengths, which go column by column and start outside the mask."""
    from pycocotools import mask as coco

    _check_size(width, height)
    if sum(counts) != width * height or min(counts, default=0) < 0:
        raise EngineError(f"A mask's runs cover {sum(counts)} pixels, its image has {width * height}.")
    compressed: bytes = coco.frPyObjects({"counts": list(counts), "size": [height, width]}, height, width)["counts"]
    return compressed.decode("ascii")


def to_polygons(mask: npt.NDArray[Any]) -> list[list[float]]:
    """The outer outlines of a mask as polygons, the largest first. Holes are ignored."""
    import cv2

    contours, _ = cv2.findContours(np.ascontiguousarray(mask, np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    solid = sorted((c for c in contours if len(c) >= 3), key=cv2.contourArea, reverse=True)
    return [np.asarray(contour, np.float64).reshape(-1).tolist() for contour in solid]


def _coco(rle: str, width: int, height: int) -> dict[str, Any]:
    _checked_runs(rle, width, height)  # pycocotools does not check it
    return {"size": [height, width], "counts": rle.encode("ascii")}


def _checked_runs(rle: str, width: int, height: int) -> list[int]:
    _check_size(width, height)
    runs = _runs(rle)
    if sum(runs) != width * height or min(runs, default=0) < 0:
        raise EngineError(f"A mask covers {sum(runs)} pixels, its image has {width} x {height} = {width * height}.")
    return runs


def _runs(rle: str) -> list[int]:
    """Decode COCO's compressed counts into run-lengths.

    Returns [-1] for invalid characters, which no valid rle gives.

    A character has five bits of a number, the lowest first. Its sixth bit is set if more characters follow. From the
    third run on, the number is the difference to the run two places before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in rle:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift >= 5 * _DIGITS:
            return [-1]
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return [-1] if shift else runs
