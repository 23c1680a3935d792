"""The contact sheet of a label-noise report: of each confused pair some boxes, cut out with what surrounds them.

The same report draws the same picture. A photo that cannot be read is grey and says why.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.errors import ImageError, StorageError
from engine.images.locate import image_pixels
from engine.layout import IMAGES
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from pipelines.drawing import FAINT, GAP, INK, LINE, PAPER, RED, Colour, fitted, outline, write
from pipelines.filter.kept_record import only

if TYPE_CHECKING:
    from PIL import Image

PAIRS = 12  # on the sheet, most boxes first
TILE = 210  # side of a cut-out on the sheet
_COLUMNS = 4
_AROUND = 2.0  # side of what is cut out, in the longer side of the box
_LEAST = 32  # and at least so many pixels of the image
_GREY, _MARK = (215, 215, 215), (0, 90, 220)
_WHAT = {
    "people": "what annotators call one thing and people another",
    "students": "what annotators call one thing and students another; it does not tell who is right",
}


def drawn(storage: Storage, report: Mapping[str, Any]) -> bytes:
    """A PNG."""
    pairs = report["pairs"][:PAIRS]
    images = _images(storage, {box["image_id"] for pair in pairs for box in pair["boxes"]})
    sections = [_section(storage, report["by"], pair, images) for pair in pairs]
    sheet = _sheet(_head(report, len(pairs)), sections)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _images(storage: Storage, wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    """Where these images lie."""
    found: dict[str, Mapping[str, Any]] = {}
    for _, path in sorted(Commits(storage, IMAGES).data_files().items()):
        if len(found) == len(wanted):
            break
        table = TableReader(storage, path, ["image_id", "uri", "offset", "length", "sources"]).read()
        found |= {row["image_id"]: row for row in only(table, wanted).to_pylist()}
    return found


def _head(report: Mapping[str, Any], shown: int) -> list[tuple[str, Colour]]:
    pairs = len(report["pairs"])
    lines = [
        (f"Round {report['round']}: {_WHAT[report['by']]}", INK),
        (report["of"], FAINT),
        (f"To hold such pairs out of relabelling: {report['recipe']}", INK),
    ]
    return lines + [(f"{pairs - shown} more pairs are in the json beside this picture", FAINT)] * (pairs > shown)


def _section(
    storage: Storage, by: str, pair: Mapping[str, Any], images: Mapping[str, Mapping[str, Any]]
) -> Image.Image:
    from PIL import Image, ImageDraw

    tiles = [_tile(storage, by, pair, box, images.get(box["image_id"])) for box in pair["boxes"]]
    rows = -(-len(tiles) // _COLUMNS)
    top = 2 * LINE + 6
    high = TILE + 3 * LINE + GAP
    answer = Image.new("RGB", (_COLUMNS * (TILE + GAP) - GAP, top + rows * high), PAPER)
    pen = ImageDraw.Draw(answer)
    for n, line in enumerate(_told(by, pair)):
        write(pen, (0, n * LINE), fitted(line, answer.width), (INK, FAINT)[n])
    for n, tile in enumerate(tiles):
        answer.paste(tile, (n % _COLUMNS * (TILE + GAP), top + n // _COLUMNS * high))
    return answer


def _told(by: str, pair: Mapping[str, Any]) -> tuple[str, str]:
    given, likely, back = pair["given"], pair["likely"], pair["back"]
    whole = f"of all that is '{likely}'" if by == "people" else f"of all that annotators call '{given}'"
    return (
        f"'{given}' to annotators, '{likely}' to {by}: {pair['count']:,} boxes",
        f"{pair['share']:.0%} {whole}; by chance there would be {pair['expected']:.0f}; the other way round: {back:,}",
    )


def _tile(
    storage: Storage, by: str, pair: Mapping[str, Any], box: Mapping[str, Any], image: Mapping[str, Any] | None
) -> Image.Image:
    from PIL import Image, ImageDraw

    picture = _cut(storage, box["box"], image)
    answer = Image.new("RGB", (TILE, TILE + 3 * LINE), PAPER)
    answer.paste(picture, (0, 0))
    sure = "" if box["score"] is None else f" {box['score']:.2f}"
    where = f"{box['image_id'][:8]} {box['region_id']}"  # as `engine why` takes them
    lines = [(f"annotators: {pair['given']}", INK), (f"{by}: {pair['likely']}{sure}", _MARK)]
    lines.append((where, FAINT))
    pen = ImageDraw.Draw(answer)
    for n, (line, colour) in enumerate(lines):
        write(pen, (0, TILE + 2 + n * LINE), fitted(line, TILE), colour)
    return answer


def _cut(storage: Storage, box: Sequence[float], image: Mapping[str, Any] | None) -> Image.Image:
    """A square of the sheet with the box in it; grey, with the reason, if the photo cannot be read."""
    from PIL import Image, ImageDraw

    answer = Image.new("RGB", (TILE, TILE), _GREY)
    pen = ImageDraw.Draw(answer)
    try:
        photo = _photo(storage, image)
    except (ImageError, StorageError, OSError) as error:
        why = str(error).partition(": ")[0]  # without the path, which the picture would then hang on
        write(pen, (6, 6), fitted(why, TILE - 12), RED)
        return answer
    x1, y1, x2, y2 = window(box, photo.size)
    scale = TILE / max(x2 - x1, y2 - y1)
    size = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
    left, top = (TILE - size[0]) // 2, (TILE - size[1]) // 2
    answer.paste(photo.crop((x1, y1, x2, y2)).resize(size, Image.Resampling.LANCZOS), (left, top))
    flat = [
        place + (edge - start) * scale for edge, start, place in zip(box, (x1, y1) * 2, (left, top) * 2, strict=True)
    ]
    corners = [(flat[0], flat[1]), (flat[2], flat[1]), (flat[2], flat[3]), (flat[0], flat[3])]
    outline(pen, corners, PAPER, width=4, dashed=False)  # seen on dark and on light
    outline(pen, corners, _MARK, width=2, dashed=False)
    return answer


def _photo(storage: Storage, image: Mapping[str, Any] | None) -> Image.Image:
    from PIL import Image

    if image is None:
        raise ImageError("missing", "no such image any more")
    return Image.fromarray(image_pixels(storage, image))


def window(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """What is cut out: the box in the middle, moved where the image ends, never more than the image."""
    side = max(_LEAST, _AROUND * max(box[2] - box[0], box[3] - box[1]))
    answer = []
    for low, high, whole in ((box[0], box[2], size[0]), (box[1], box[3], size[1])):
        wide = min(round(side), whole)
        start = min(max(0, round((low + high) / 2 - wide / 2)), whole - wide)
        answer.append((start, start + wide))
    (x1, x2), (y1, y2) = answer
    return (x1, y1, x2, y2)


def _sheet(head: Sequence[tuple[str, Colour]], sections: Sequence[Image.Image]) -> Image.Image:
    from PIL import Image, ImageDraw

    wide = _COLUMNS * (TILE + GAP) + GAP
    top = GAP + LINE * len(head) + GAP
    sheet = Image.new("RGB", (wide, top + sum(section.height + GAP for section in sections)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for n, (line, colour) in enumerate(head):
        write(pen, (GAP, GAP + n * LINE), fitted(line, wide - 2 * GAP), colour)
    y = top
    for section in sections:
        pen.line((GAP, y - GAP // 2, wide - GAP, y - GAP // 2), fill=_GREY)
        sheet.paste(section, (GAP, y))
        y += section.height + GAP
    return sheet
