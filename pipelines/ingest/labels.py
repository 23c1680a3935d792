"""Labels to the upright frame of their photo, once its header is seen.

Labels come with the frame they were made in: `stored` (as the pixels lie in the file), `upright` (after EXIF), or
`auto`: whichever of the two has the size the labels give, and upright where both have it, as browsers and the tools
built on them show photos. A mask may be of the other frame than its box: then its size stands before its runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.errors import ImageError
from engine.images.decode import Header, orient_box, orient_quad, orient_rle
from engine.schema import ANNOTATIONS

Frame = Literal["stored", "upright", "auto"]
Labels = dict[str, list[dict[str, Any]]]
Size = tuple[int, int]

BOX_OUTSIDE = "a box outside of its image"
MASK_OF_ANOTHER_SIZE = "a mask whose size is not its image's"
CORNERS = ("x1", "y1", "x2", "y2")


def sized(rle: str, width: int, height: int) -> str:
    """A mask with the size of the frame it was made in, to be resolved by `upright`."""
    return f"{width}x{height} {rle}"  # neither character is one of COCO's code


@dataclass(slots=True)
class Upright:
    """Annotation columns, upright. `fits`: see PROBE; `left_out`: a reason for each box or mask that is not of it."""

    labels: Labels
    fits: str = ""
    left_out: list[str] = field(default_factory=list)


def upright(row: Mapping[str, Any], header: Header) -> Upright:
    """The annotation columns of a listed input. ImageError if its boxes were drawn on another picture."""
    answer = Upright({name: [dict(item) for item in row[name]] for name in ANNOTATIONS})
    regions = answer.labels["regions"]
    if not regions:
        return answer
    given = (row["frame_width"], row["frame_height"])
    frame, both = _frame_of(row["frame"], given, header)
    if header.orientation != 1 and row["frame"] == "auto":
        answer.fits = "both" if both else frame
    if frame == "stored" and header.orientation != 1:
        for region in regions:
            _turn(region, header)
    for region in regions:
        rle = _upright_mask(region["rle"], frame, header)
        if region["rle"] and not rle:
            answer.left_out.append(MASK_OF_ANOTHER_SIZE)
        region["rle"] = rle
    if given == (0, 0):  # nobody could say before where the image ends
        _clip(answer, header)
    return answer


def _frame_of(frame: str, given: Size, header: Header) -> tuple[str, bool]:
    """The frame the boxes were made in, and whether both would do."""
    fits = {"upright": (header.width, header.height), "stored": header.stored_size}
    fitting = [name for name, size in fits.items() if given in ((0, 0), size) and frame in (name, "auto")]
    if not fitting:
        width, height = fits["stored"] if frame == "stored" else fits["upright"]
        raise ImageError(
            "labels_of_another_size",
            f"its labels were made on {given[0]} x {given[1]} pixels, the file has {width} x {height}",
        )
    return fitting[0], len(fitting) == 2


def _turn(region: dict[str, Any], header: Header) -> None:
    width, height = header.stored_size
    box = orient_box((region["x1"], region["y1"], region["x2"], region["y2"]), width, height, header.orientation)
    region.update(zip(CORNERS, box, strict=True))
    region["quad"] = orient_quad(region["quad"], width, height, header.orientation)


def _upright_mask(rle: str, frame: str, header: Header) -> str:
    """'' for a mask of neither frame."""
    size, space, runs = rle.rpartition(" ")
    if space:
        upright_size, stored_size = (f"{w}x{h}" for w, h in ((header.width, header.height), header.stored_size))
        if size not in (upright_size, stored_size):
            return ""
        if upright_size != stored_size:
            frame = "upright" if size == upright_size else "stored"
    return orient_rle(runs, *header.stored_size, header.orientation) if frame == "stored" else runs


def _clip(answer: Upright, header: Header) -> None:
    """Boxes of labels that came without a size end where the image does."""
    inside = []
    for region in answer.labels["regions"]:
        region["x2"], region["y2"] = min(region["x2"], header.width), min(region["y2"], header.height)
        if region["x1"] < region["x2"] and region["y1"] < region["y2"]:
            inside.append(region)
        else:
            answer.left_out.append(BOX_OUTSIDE)
    gone = {region["id"] for region in answer.labels["regions"]} - {region["id"] for region in inside}
    answer.labels["regions"] = inside
    if gone:
        texts = answer.labels["region_texts"]
        answer.labels["region_texts"] = [text for text in texts if text["region_id"] not in gone]
