"""A contact sheet: images with their annotations, kept and dropped, drawn as one picture.

Boxes are drawn in pixels of the sheet: their pixels in the upright image times the scale of the tile. Dropped regions
are dashed and red. Merged candidates are drawn only if the rule is `merged`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import ImageError, StorageError
from engine.images.locate import image_pixels
from engine.storage.files import Storage
from engine.storage.uris import short_name
from pipelines.drawing import (
    FAINT,
    GAP,
    INK,
    LINE,
    PAPER,
    RED,
    Colour,
    Point,
    colour_of,
    fitted,
    length,
    outline,
    write,
)

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

TILE = 420  # length of an image's longer side on the sheet, in pixels
_COLUMNS = 3
_THREADS = 2
_DROPPED, _DROPPED_BY_RULE = 4, 12  # the most dropped regions drawn on an image; those with the best scores are drawn

Row = Mapping[str, Any]  # of a view


@dataclass(slots=True)
class Tile:
    """One image of the sheet and the annotations to draw on it, as rows of the SQL views."""

    image: Row
    regions: list[Row] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)  # printed text by region id
    outlines: dict[str, str] = field(default_factory=dict)  # mask by region id
    captions: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def draw_sheet(storage: Storage, title: str, tiles: Sequence[Tile], rule: str | None = None) -> Image.Image:
    """Draws the sheet. With `rule`, only regions dropped by that rule are drawn as dropped, with thick lines."""
    from PIL import Image, ImageDraw

    with ThreadPoolExecutor(_THREADS) as pool:  # decoding a large photo takes up to 900 MB, so few at a time
        read = pool.map(lambda tile: _picture(storage, tile.image), tiles)
        pictures = [_draw(tile, *picture, rule) for tile, picture in zip(tiles, read, strict=True)]
    columns = min(_COLUMNS, len(pictures))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    top = GAP + 2 * LINE + GAP
    size = (GAP + columns * (TILE + GAP), top + sum(heights) + GAP * len(rows))
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    write(pen, (GAP, GAP), fitted(title, size[0] - 2 * GAP), INK)
    write(pen, (GAP, GAP + LINE), "solid: kept   dashed red: dropped, with its rule", FAINT)
    y = top
    for row, height in zip(rows, heights, strict=True):
        for n, picture in enumerate(row):
            sheet.paste(picture, (GAP + n * (TILE + GAP), y))
        y += height + GAP
    return sheet


def _draw(tile: Tile, picture: Image.Image, note: str, rule: str | None) -> Image.Image:
    """The picture of `_picture` with masks, boxes and labels, and with lines of text below it."""
    from PIL import Image, ImageDraw

    scale = picture.width / max(tile.image["width"], 1)
    kept, dropped, more = _regions_to_draw(tile, rule)
    for region in kept:
        if rle := tile.outlines.get(region["annotation_id"]):
            picture = _with_mask(picture, tile.image, rle, colour_of(region["label"]))
    pen = ImageDraw.Draw(picture)
    tags: list[tuple[list[Point], str, Colour]] = []
    for region in dropped:
        corners = _corners(region, scale)
        outline(pen, corners, RED, width=3 if rule else 1, dashed=True)
        tags.append((corners, _label(tile, region) + ("" if rule else f" {region['rule']}"), RED))
    for region in kept:
        corners, colour = _corners(region, scale), colour_of(region["label"] or region["kind"])
        outline(pen, corners, colour, width=1 if rule else 2, dashed=False)
        tags.append((corners, _label(tile, region), colour))
    _label_all(pen, tags, picture.size)
    lines = _lines(tile, more, note)
    tile_picture = Image.new("RGB", (TILE, picture.height + 4 + LINE * len(lines)), PAPER)
    tile_picture.paste(picture, (0, 0))
    pen = ImageDraw.Draw(tile_picture)
    for n, (line, colour) in enumerate(lines):
        write(pen, (0, picture.height + 4 + n * LINE), line, colour)
    return tile_picture


def _picture(storage: Storage, image: Row) -> tuple[Image.Image, str]:
    """(the image scaled to the tile, ''), or (a grey image, the reason why the image cannot be read)."""
    from PIL import Image

    size = (image["width"], image["height"])
    scale = TILE / max(*size, 1)
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    try:
        pixels = image_pixels(storage, image)
    except (ImageError, StorageError, OSError) as error:
        return Image.new("RGB", small, (215, 215, 215)), f"cannot be read: {error}"
    return Image.fromarray(pixels).resize(small, Image.Resampling.LANCZOS), ""


def _with_mask(picture: Image.Image, image: Row, rle: str, colour: Colour) -> Image.Image:
    from PIL import Image

    from engine.records.masks import decode

    mask = Image.fromarray(decode(rle, width=image["width"], height=image["height"])).convert("L")
    veil = mask.resize(picture.size).point(lambda value: 110 if value > 127 else 0)
    return Image.composite(
        Image.blend(picture, Image.new("RGB", picture.size, colour), 0.55), picture, veil.point(bool, "1")
    )


def _corners(region: Row, scale: float) -> list[Point]:
    """The corners of the region's quad or, without one, of its box.

    Clockwise from the top left, in pixels of the sheet.
    """
    if len(region["quad"]) == 8:
        flat = [value * scale for value in region["quad"]]
        return list(zip(flat[::2], flat[1::2], strict=True))
    x1, y1, x2, y2 = (region[edge] * scale for edge in ("x1", "y1", "x2", "y2"))
    return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


def _label_all(
    pen: ImageDraw.ImageDraw, tags: Sequence[tuple[list[Point], str, Colour]], size: tuple[int, int]
) -> None:
    """Writes the labels, without overlap as long as there is room. The last of `tags` are placed first."""
    taken: list[tuple[float, float, float, float]] = []
    for corners, label, colour in reversed(tags):
        wide, high = round(length(label)) + 4, LINE - 2
        x = max(0, min(round(min(x for x, _ in corners)), size[0] - wide))
        box_top, box_bottom = (round(edge) for edge in (min(y for _, y in corners), max(y for _, y in corners)))
        tries = [box_top - high, box_top, box_bottom, box_bottom - high, *(box_top + n * high for n in range(1, 9))]
        inside = [y for y in tries if 0 <= y <= size[1] - high] or [0]
        free = [y for y in inside if not any(_overlap((x, y, x + wide, y + high), other) for other in taken)]
        y = (free or inside)[0]
        taken.append((x, y, x + wide, y + high))
        pen.rectangle(taken[-1], fill=colour)
        write(pen, (x + 2, y), label, PAPER)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _label(tile: Tile, region: Row) -> str:
    words = region["label"] or tile.words.get(region["annotation_id"], "") or region["kind"]
    score = "" if region["score"] is None else f" {region['score']:.2f}"
    return fitted(words, 150) + score


def _lines(tile: Tile, more: int, note: str) -> list[tuple[str, Colour]]:
    """The lines below a picture: name, the rule that dropped the image, failures, brief texts (or the first text)."""
    image = tile.image
    name = short_name(str(image["uri"]))
    lines = [(f"{image['image_id'][:8]}  {name}", INK)]
    if image["kept"] is False and not tile.failures:
        limits = "" if image["threshold"] is None else f" ({image['value']:.4g}, threshold {image['threshold']:.4g})"
        lines.append((f"dropped by {image['rule']}{limits}", RED))
    lines += [(line, RED) for line in [*dict.fromkeys(tile.failures), *([note] if note else [])]]
    brief = [text for text in tile.captions if text["granularity"] == "brief"] or tile.captions[:1]
    for text in brief[:3]:
        dropped = text["kept"] is False
        lines.append((f"{text['text']}  ({text['rule']})" if dropped else text["text"], RED if dropped else FAINT))
    if more:
        lines.append((f"+ {more} more dropped regions", RED))
    return [(fitted(line, TILE), colour) for line, colour in lines]


def _regions_to_draw(tile: Tile, rule: str | None) -> tuple[list[Row], list[Row], int]:
    """Regions that are kept or not judged yet, dropped regions to draw, and the number of other dropped regions."""
    kept = [r for r in tile.regions if r["kept"] is not False and not r["merged_into"]]
    dropped = [r for r in tile.regions if r["kept"] is False and (r["rule"] == rule if rule else r["rule"] != "merged")]
    dropped.sort(key=lambda r: -(r["score"] or 0))
    drawn = dropped[: _DROPPED_BY_RULE if rule else _DROPPED]
    return kept, drawn, len(dropped) - len(drawn)
