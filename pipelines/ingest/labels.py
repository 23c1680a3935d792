"""Converts labels to the upright frame of their photo. This needs the photo's header.

Labels state the frame in which they were made: `stored` (the pixels as in the file), `upright` (after the EXIF
rotation) or `auto`. `auto` means the frame that has the size given with the labels. If both frames have that size, it
means the upright one, because browsers show photos upright. A mask may be in another frame than its box. Then the size
of the mask is stored before its run-lengths (see `sized`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.errors import ImageError
from engine.images.decode import Header
from engine.images.orientation import orient_box, orient_quad, orient_rle
from pipelines.ingest.rows import AnnotationRow, LabelColumns

Frame = Literal["stored", "upright", "auto"]
Size = tuple[int, int]

BOX_OUTSIDE = "a box outside of its image"
MASK_OF_ANOTHER_SIZE = "a mask whose size is not its image's"


def sized(rle: str, width: int, height: int) -> str:
    """A mask with the size of its frame before it. `upright` uses the size to find out which frame it is."""
    return f"{width}x{height} {rle}"  # neither 'x' nor ' ' occurs in COCO's run-length code


@dataclass(slots=True)
class Upright:
    """Annotation columns in the upright frame. `fits`: see PROBE.

    `left_out`: a reason for each box or mask left out.
    """

    labels: LabelColumns
    fits: str = ""
    left_out: list[str] = field(default_factory=list)


def upright(columns: LabelColumns, frame: str, size: Size, header: Header) -> Upright:
    """Converts annotation columns to the upright frame. Raises ImageError if they belong to an image of another size.

    `frame`, `size`: the frame in which the labels were made and its size in pixels, as in INPUTS. (0, 0): size unknown.
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
    if size == (0, 0):  # then the source did not state the size of the image
        _clip(answer, header)
    return answer


def _frame_of(frame: str, given: Size, header: Header) -> tuple[str, bool]:
    """The frame in which the boxes were made, and whether both frames have the given size."""
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
    """The run-lengths of the mask in the upright frame. '' if the mask has neither the stored nor the upright size."""
    size, space, runs = rle.rpartition(" ")
    if space:
        upright_size, stored_size = (f"{w}x{h}" for w, h in ((header.width, header.height), header.stored_size))
        if size not in (upright_size, stored_size):
            return ""
        if upright_size != stored_size:
            frame = "upright" if size == upright_size else "stored"
    return orient_rle(runs, *header.stored_size, header.orientation) if frame == "stored" else runs


def _clip(answer: Upright, header: Header) -> None:
    """Clips boxes to the image. Boxes outside of the image are left out, together with their texts."""
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
