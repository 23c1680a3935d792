"""Draws the contact sheet of a report on confused labels: for each pair, crops of the photos around example boxes.

The same report gives the same picture. A photo that cannot be read becomes a grey tile that states the reason.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.errors import ImageError, StorageError
from engine.images.locate import image_pixels
from engine.layout import IMAGES
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from pipelines.drawing import FAINT, GAP, INK, LINE, PAPER, RED, Colour, fitted, outline, write
from pipelines.filter.kept_record import only
from pipelines.refine.confusion_report import ConfusionReport, ExampleBox, ReportedPair
from pipelines.refine.rows import Row
from refinement.confusion import ConfusedPair

if TYPE_CHECKING:
    from PIL import Image

PAIRS = 12  # how many pairs are on the sheet; those with most boxes come first
TILE = 210  # side of a crop on the sheet, in pixels
_COLUMNS = 4
_AROUND = 2.0  # side of a crop, as a multiple of the box's longer side
_LEAST = 32  # smallest side of a crop, in pixels of the image
_GREY, _MARK = (215, 215, 215), (0, 90, 220)
_TITLES = {
    "people": "boxes that annotators and people label differently",
    "students": "boxes that annotators and students label differently; either side may be right",
}


def draw_sheet(storage: Storage, report: ConfusionReport) -> bytes:
    """The sheet of a report, as the bytes of a PNG."""
    pairs = report.pairs[:PAIRS]
    images = _image_rows(storage, {box.image_id for one in pairs for box in one.boxes})
    sections = [_section(storage, report.by, one, images) for one in pairs]
    sheet = _sheet(_head(report, len(pairs)), sections)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return data.getvalue()


def _image_rows(storage: Storage, wanted: set[str]) -> dict[str, Row]:
    """{image id: row}, with the place of each image."""
    found: dict[str, Row] = {}
    for _, path in sorted(Commits(storage, IMAGES).data_files().items()):
        if len(found) == len(wanted):
            break
        table = TableReader(storage, path, ["image_id", "uri", "offset", "length", "sources"]).read()
        found |= {row["image_id"]: row for row in only(table, wanted).to_pylist()}
    return found


def _head(report: ConfusionReport, shown: int) -> list[tuple[str, Colour]]:
    more = len(report.pairs) - shown
    lines = [
        (f"Round {report.round}: {_TITLES[report.by]}", INK),
        (report.of, FAINT),
        (f"To hold such pairs out of relabelling: {report.recipe}", INK),
    ]
    return lines + ([(f"{more} more pairs are in the JSON file next to this picture", FAINT)] if more > 0 else [])


def _section(storage: Storage, by: str, reported: ReportedPair, images: Mapping[str, Row]) -> Image.Image:
    from PIL import Image, ImageDraw

    tiles = [_tile(storage, by, reported.pair, box, images.get(box.image_id)) for box in reported.boxes]
    rows = -(-len(tiles) // _COLUMNS)
    top = 2 * LINE + 6
    high = TILE + 3 * LINE + GAP
    answer = Image.new("RGB", (_COLUMNS * (TILE + GAP) - GAP, top + rows * high), PAPER)
    pen = ImageDraw.Draw(answer)
    for n, line in enumerate(_captions(by, reported.pair)):
        write(pen, (0, n * LINE), fitted(line, answer.width), (INK, FAINT)[n])
    for n, tile in enumerate(tiles):
        answer.paste(tile, (n % _COLUMNS * (TILE + GAP), top + n // _COLUMNS * high))
    return answer


def _captions(by: str, pair: ConfusedPair) -> tuple[str, str]:
    given, likely = pair.given, pair.likely
    whole = f"people call '{likely}'" if by == "people" else f"annotators call '{given}'"
    return (
        f"annotators: '{given}', {by}: '{likely}': {pair.count:,} boxes",
        f"{pair.share:.0%} of all that {whole}; by chance: {pair.expected:.0f}; other way round: {pair.back:,}",
    )


def _tile(storage: Storage, by: str, pair: ConfusedPair, box: ExampleBox, image: Row | None) -> Image.Image:
    from PIL import Image, ImageDraw

    picture = _crop(storage, box.box, image)
    answer = Image.new("RGB", (TILE, TILE + 3 * LINE), PAPER)
    answer.paste(picture, (0, 0))
    score = "" if box.score is None else f" {box.score:.2f}"
    where = f"{box.image_id[:8]} {box.region_id}"  # the arguments of `engine why`
    lines = [(f"annotators: {pair.given}", INK), (f"{by}: {pair.likely}{score}", _MARK)]
    lines.append((where, FAINT))
    pen = ImageDraw.Draw(answer)
    for n, (line, colour) in enumerate(lines):
        write(pen, (0, TILE + 2 + n * LINE), fitted(line, TILE), colour)
    return answer


def _crop(storage: Storage, box: Sequence[float], image: Row | None) -> Image.Image:
    """A square tile with the box drawn in it. It is grey and states the reason if the photo cannot be read."""
    from PIL import Image, ImageDraw

    answer = Image.new("RGB", (TILE, TILE), _GREY)
    pen = ImageDraw.Draw(answer)
    try:
        photo = _photo(storage, image)
    except (ImageError, StorageError, OSError) as error:
        why = str(error).partition(": ")[0]  # without the path, which differs between machines
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
    outline(pen, corners, PAPER, width=4, dashed=False)  # visible on dark and on light photos
    outline(pen, corners, _MARK, width=2, dashed=False)
    return answer


def _photo(storage: Storage, image: Row | None) -> Image.Image:
    from PIL import Image

    if image is None:
        raise ImageError("missing", "no such image any more")
    return Image.fromarray(image_pixels(storage, image))


def window(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The crop around a box as (left, top, right, bottom) in pixels.

    The box is in its middle. It is shifted at the edges of the image and never larger than the image.
    """
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
