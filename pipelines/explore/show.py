"""Chooses the images of a contact sheet and what is drawn on each. contact_sheet.py draws it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_own
from pipelines.explore.contact_sheet import Row, Tile, draw_sheet
from pipelines.explore.select_images import select_images

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from PIL import Image

_VIEWS = ("images", "regions", "region_texts", "texts", "failures", "verdicts")


def show(
    dataset: Dataset,
    where: str = "",
    *,
    rule: str | None = None,
    disagreement: bool = False,
    seed: int | None = None,
    limit: int = 24,
) -> Image.Image:
    """A contact sheet of images with their annotations, kept and dropped: `show(data, rule="min_score")`.

    `where`: a condition on the view `images`, or a SELECT with a column image_id. `rule`: only images from which this
    rule dropped something; what it dropped is drawn thick. `disagreement`: sorts images by the share of detectors that
    support their regions, smallest first. `seed`: chooses images at random. By default, images are in the order in
    which they were listed. `limit`: the largest number of images. Raises ConfigError if no image fits.
    """
    with connect(dataset, only=() if where.strip() else _VIEWS) as con:  # a condition may name any view
        ids = select_images(con, where, rule=rule, disagreement=disagreement, seed=seed, limit=limit)
        tiles = _tiles(con, ids)
    if not tiles:
        raise ConfigError("No image fits: nothing to show. Give fewer conditions, or look at 'engine status'.")
    conditions = [f"rule {rule}"] * bool(rule) + ["disagreement"] * disagreement
    conditions += [f"seed {seed}"] * (seed is not None) + [" ".join(where.split())] * bool(where)
    title = f"{dataset.url.rpartition('/')[2]}   {len(tiles)} images"
    title += f", {'; '.join(conditions)}" if conditions else ""
    return draw_sheet(dataset.storage, title, tiles, rule)


def save_sheet(sheet: Image.Image, out: Path) -> Path:
    """Writes the sheet as a PNG and returns its path.

    Makes the folder if necessary, and adds ".png" to a name without it.
    """
    if out.suffix.lower() != ".png":
        out = out.with_name(f"{out.name}.png")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(out, compress_level=2)  # a tenth larger than by default, in a third of the time
    except OSError as error:
        raise ConfigError(f"The sheet cannot be written to '{out}': {error.strerror or error}.") from None
    return out


def _tiles(con: DuckDBPyConnection, ids: Sequence[str]) -> list[Tile]:
    named = ", ".join(f"'{name}'" for name in ids)

    def rows(view: str) -> list[Row]:
        found: list[Row] = run_own(con, f"SELECT * FROM {view} WHERE image_id IN ({named})").to_pylist()
        return found

    tiles = {row["image_id"]: Tile(row) for row in rows("images")}
    for row in rows("regions"):
        tile = tiles[row["image_id"]]
        if row["rle"]:
            tile.outlines.setdefault(row["merged_into"] or row["annotation_id"], row["rle"])
        tile.regions.append(row)
    for row in rows("region_texts"):
        if row["granularity"] == "ocr":
            tiles[row["image_id"]].words.setdefault(row["region_id"], row["text"])
    for row in rows("texts"):
        tiles[row["image_id"]].captions.append(row)
    for row in rows("failures"):
        if row["reason"] != "skipped":
            tiles[row["image_id"]].failures.append(f"{row['component']}: {row['reason']}")
    return [tiles[name] for name in ids if name in tiles]
