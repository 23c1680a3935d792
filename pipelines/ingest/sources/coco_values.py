"""Parses the values of a COCO json in the variants that tools write: ids, numbers, boxes, masks, crowds.

A wrong value raises no error. The result is then None, '', 0, or the reason why the value is left out.
"""

from __future__ import annotations

import ast
import math
import reprlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.records import masks
from pipelines.ingest.labels import BOX_OUTSIDE, MASK_OF_ANOTHER_SIZE, sized

LARGEST = 2**31 - 1  # the largest width, height or coordinate that the data set's columns hold

BOX_NO_NUMBERS = "a box that is not four numbers"
BOX_WITHOUT_AREA = "a box without area"
MASK_WITHOUT_PIXELS = "a mask that encloses no pixel"
MASK_BROKEN = "a mask that cannot be read"
MASK_FAR = "a mask that reaches far outside of its image"
MASK_WITHOUT_SIZE = "an outline in an image whose size the json does not give"

Corners = tuple[float, float, float, float]


def identity(value: Any) -> Hashable | None:
    """An id in a form that can be compared: 1 equals 1.0 but not "1". None if the value cannot be an id."""
    if isinstance(value, str):
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) else _integer(value)


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, float) and value.is_integer() else None


def digits(name: Hashable) -> str:
    """The id as text. It is the same for ids that differ only in their type, such as 1 and "1"."""
    return str(name).strip()


def in_words(name: Hashable) -> str:
    return f"{short(name)} is a {'text' if isinstance(name, str) else 'number'}"


_short = reprlib.Repr()
_short.maxlist, _short.maxdict, _short.maxlevel, _short.maxstring, _short.maxother, _short.maxlong = 5, 4, 3, 60, 60, 40


def short(value: Any) -> str:
    """The value as Python code, cut to a length that fits in a message."""
    return _short.repr(value).encode("utf-8", "backslashreplace").decode()


def number(value: Any) -> float | None:
    """A finite number, which may be written as a text. None for other values."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        answer = float(value)
    except (ValueError, OverflowError):
        return None
    return answer if math.isfinite(answer) else None


def side(value: Any) -> int:
    """A width or height in pixels. 0 if the value cannot be one."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() and 0 < found <= LARGEST else 0


def is_crowd(value: Any) -> bool:
    """Whether `iscrowd` is set. COCO writes 1, some tools a text or a boolean. Null, 0, "0" and "false" mean no."""
    if isinstance(value, str) and value.strip().lower() in ("true", "yes"):
        return True
    return value is True or bool(number(value))


def plain_text(value: Any) -> str:
    """The text without white space around it. '' if the value is not a text or not valid Unicode."""
    if not isinstance(value, str):
        return ""
    text = value.strip()
    return text if text == text.encode("utf-8", "replace").decode() else ""


def label(value: Any) -> str:
    """The name of a category, which may be a number. '' if it has no name."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else plain_text(value)


# --- boxes --------------------------------------------------------------------------------------


def corners(bbox: Any, width: int, height: int) -> Corners | str:
    """Converts a COCO box (x, y, width, height) to corners inside the image. Returns a reason if the box is unusable.

    `width` and `height`: the size of the image in pixels, 0 if it is unknown.
    """
    values = [number(value) for value in bbox] if isinstance(bbox, list) and len(bbox) == 4 else [None]
    if None in values:
        return BOX_NO_NUMBERS
    x, y, wide, high = (value or 0.0 for value in values)
    if wide <= 0 or high <= 0:
        return BOX_WITHOUT_AREA
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + wide, width or LARGEST), min(y + high, height or LARGEST)
    if x1 >= x2 or y1 >= y2:
        return BOX_OUTSIDE
    if np.float32(x1) >= np.float32(x2) or np.float32(y1) >= np.float32(y2):  # the columns hold float32
        return BOX_WITHOUT_AREA
    return (x1, y1, x2, y2)


# --- masks --------------------------------------------------------------------------------------


def mask(segmentation: Any, width: int, height: int) -> tuple[str, str]:
    """(run-lengths, ''), or ('', the reason to leave the mask out), or ('', '') if there is no outline.

    Polygons may also be one list of numbers, or pairs of points. The size of run-lengths is [height, width]. If it is
    not the size of the image, it is stored with the run-lengths, because it may be the size of the other frame. That is
    known only when the image has been read.
    """
    if not segmentation:
        return "", ""
    try:
        if isinstance(segmentation, Mapping):
            return _of_runs(segmentation, width, height)
        if isinstance(segmentation, list):
            return _of_outlines(_outlines(segmentation), width, height)
    except (EngineError, KeyError, TypeError, ValueError, OverflowError, SyntaxError):
        pass
    return "", MASK_BROKEN


def _of_outlines(outlines: Sequence[npt.NDArray[np.float64]], width: int, height: int) -> tuple[str, str]:
    if not any(len(outline) for outline in outlines):
        return "", ""
    if not width or not height:
        return "", MASK_WITHOUT_SIZE
    if not all(np.isfinite(outline).all() for outline in outlines):
        return "", MASK_BROKEN
    try:
        rle = masks.from_polygons(outlines, width=width, height=height)
    except EngineError:
        return "", MASK_FAR
    return (rle, "") if masks.area(rle, width=width, height=height) else ("", MASK_WITHOUT_PIXELS)


def _outlines(segmentation: list[Any]) -> list[npt.NDArray[np.float64]]:
    """Each outline as x, y, x, y, ... Raises ValueError or TypeError if an outline is malformed."""
    nested = all(isinstance(part, list) for part in segmentation)
    points = nested and len(segmentation) > 2 and all(_is_point(part) for part in segmentation)
    return [_outline(part) for part in (segmentation if nested and not points else [segmentation])]


def _is_point(part: list[Any]) -> bool:
    return len(part) == 2 and not isinstance(part[0], list)


def _outline(part: list[Any]) -> npt.NDArray[np.float64]:
    found = np.asarray(part, np.float64)
    if found.ndim == 2 and found.shape[1] == 2:
        found = found.reshape(-1)
    if found.ndim != 1 or len(found) % 2:
        raise ValueError("an outline is pairs of numbers")
    return found


def _of_runs(segmentation: Mapping[str, Any], width: int, height: int) -> tuple[str, str]:
    size = segmentation.get("size")
    high, wide = (side(value) for value in size) if isinstance(size, list) and len(size) == 2 else (0, 0)
    if not wide or not high:
        return "", MASK_OF_ANOTHER_SIZE
    if (wide, high) not in ((width, height), (height, width)) and width and height:
        return "", MASK_OF_ANOTHER_SIZE
    rle = _runs(segmentation["counts"], wide, high)
    if not masks.area(rle, width=wide, height=high):
        return "", MASK_WITHOUT_PIXELS
    return (rle if (wide, high) == (width, height) else sized(rle, wide, high)), ""


def _runs(counts: Any, width: int, height: int) -> str:
    """Compressed run-lengths, made from either of COCO's forms, or from bytes written as the text b'...'."""
    if isinstance(counts, str):
        if counts[:2] in ("b'", 'b"'):
            counts = ast.literal_eval(counts).decode("ascii")
        masks.area(counts, width=width, height=height)
        return str(counts)
    runs = [identity(run) for run in counts]
    if not all(isinstance(run, int) for run in runs):
        raise TypeError("runs are whole numbers")
    return masks.from_counts(runs, width=width, height=height)  # type: ignore[arg-type]


_TEXT_KEYS = ("text", "utf8_string")  # the second key is that of COCO-Text
_UNREAD = ("", "###", "*")  # what annotators write for a word that they could not read


def has_words(item: Mapping[str, Any]) -> bool:
    """Whether the annotation is a region of printed words. That is so if it has a `text`, even an empty one."""
    return any(isinstance(item.get(key), str) for key in _TEXT_KEYS)


def printed_words(item: Mapping[str, Any]) -> str:
    """The words of an annotation. '' if they are marked as illegible (`legible: false`, `legibility: illegible`)."""
    legible = item.get("legible", item.get("legibility", True))
    if legible in (False, 0) or (
        isinstance(legible, str) and legible.strip().casefold() in ("illegible", "false", "0")
    ):
        return ""
    text = next((plain_text(item[key]) for key in _TEXT_KEYS if isinstance(item.get(key), str)), "")
    return "" if text in _UNREAD else text
