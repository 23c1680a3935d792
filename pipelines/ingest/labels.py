"""Turns labels into the upright frame of their photo, once its header was read.

Labels come with the frame they were made in: `stored` (as the pixels are in the file), `upright` (after the EXIF turn)
or `auto`. `auto` means the frame that has the size given with the labels; if both have it, the upright one, as browsers
show photos. A mask may be in another frame than its box. Then its size is stored before its runs (see `sized`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.errors import ImageError
from engine.images.decode import Header, orient_box, orient_quad, orient_rle
from pipelines.ingest.rows import AnnotationRow, LabelColumns

Frame = Literal["stored", "upright", "auto"]
Size = tuple[int, int]

BOX_OUTSIDE = "a box outside of its image"
MASK_OF_ANOTHER_SIZE = "a mask whose size is not its image's"


def sized(rle: str, width: int, height: int) -> str:
    """A mask together with the size of its frame, for `upright` to resolve."""
    return f"{width}x{height} {rle}"  # COCO's run-length code uses neither character


@dataclass(slots=True)
class Upright:
    """Annotation columns, upright. `fits`: see PROBE; `left_out`: a reason for each box or mask left out."""

    labels: LabelColumns
    fits: str = ""
    left_out: list[str] = field(default_factory=list)


def upright(columns: LabelColumns, frame: str, size: Size, header: Header) -> Upright:
    """Turns annotation columns upright. ImageError if they were made on an image of another size.

    `frame` and `size`: those that the labels were made on, as in INPUTS; a size of (0, 0) is unknown.
    """
    answer = Upright({name: [item.copy() for item in column] for name, column in columns.items()})
    regions = answer.labels["regions"]
    if not regions:
        return answer
    fitting, both = _frame_of(frame, size, header)
    if header.orientation != 1 and frame == "auto":
        answer.fits = "both" if both else fitting
    if fitting == "stored" and header.orientation != 1:
        for region in regions:
            _turn(region, header)
    for region in regions:
        rle = _upright_mask(region["rle"], fitting, header)
        if region["rle"] and not rle:
            answer.left_out.append(MASK_OF_ANOTHER_SIZE)
        region["rle"] = rle
    if size == (0, 0):  # the source did not give the size of the image
        _clip(answer, header)
    return answer


def _frame_of(frame: str, given: Size, header: Header) -> tuple[str, bool]:
    """The frame that the boxes were made in, and whether both frames have the given size."""
    fits = {"upright": (header.width, header.height), "stored": header.stored_size}
    fitting = [name for name, size in fits.items() if given in ((0, 0), size) and frame in (name, "auto")]
    if not fitting:
        width, height = fits["stored"] if frame == "stored" else fits["upright"]
        raise ImageError(
            "labels_of_another_size",
            f"its labels were made on {given[0]} x {given[1]} pixels, the file has {width} x {height}",
        )
    return fitting[0], len(fitting) == 2


def _turn(region: AnnotationRow, header: Header) -> None:
    width, height = header.stored_size
    box = orient_box((region["x1"], region["y1"], region["x2"], region["y2"]), width, height, header.orientation)
    region["x1"], region["y1"], region["x2"], region["y2"] = box
    region["quad"] = orient_quad(region["quad"], width, height, header.orientation)


def _upright_mask(rle: str, frame: str, header: Header) -> str:
    """The runs of the mask, upright; '' if its size is that of neither frame."""
    size, space, runs = rle.rpartition(" ")
    if space:
        upright_size, stored_size = (f"{w}x{h}" for w, h in ((header.width, header.height), header.stored_size))
        if size not in (upright_size, stored_size):
            return ""
        if upright_size != stored_size:
            frame = "upright" if size == upright_size else "stored"
    return orient_rle(runs, *header.stored_size, header.orientation) if frame == "stored" else runs


def _clip(answer: Upright, header: Header) -> None:
    """Clips boxes to the image, and leaves out those outside of it with their texts."""
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
