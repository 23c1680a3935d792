"""The contact sheet: which images are on it, and that their annotations are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from pipelines import drawing
from pipelines.explore.contact_sheet import TILE
from pipelines.explore.select_images import select_images
from pipelines.explore.show import save_sheet, show
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.handmade import handmade
from tests.runs import draw_photos, recipe_data

RED = (205, 30, 30)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return handmade(tmp_path_factory.mktemp("hand"))


@pytest.fixture
def chosen(dataset: Dataset) -> Iterator[Any]:
    """select_images, its ids turned into the file names of the images."""
    with connect(dataset) as con:
        rows = con.execute("SELECT image_id, parse_filename(uri, true) FROM images").fetchall()
        names = dict(rows)
        yield lambda *args, **options: [names[image_id] for image_id in select_images(con, *args, **options)]


def test_without_conditions_images_are_in_the_order_they_were_listed(chosen: Any) -> None:
    assert chosen() == ["cat", "cup", "tiny", "page", "crash"]
    assert chosen(limit=2) == ["cat", "cup"]


def test_a_condition_is_on_images(chosen: Any) -> None:
    assert chosen("width > 100 -- wide ones") == ["cat", "page"]


def test_a_whole_select_keeps_its_order(chosen: Any) -> None:
    assert chosen("SELECT image_id FROM images ORDER BY width DESC") == ["page", "cat", "cup", "crash", "tiny"]
    assert chosen("SELECT image_id FROM phrases") == ["cat"]


def test_a_rule_chooses_images_from_which_it_dropped_something(chosen: Any) -> None:
    assert chosen(rule="text_length") == ["page"]
    assert chosen(rule="min_side") == ["tiny"]
    assert chosen("width > 150", rule="min_score") == ["page"]


def test_disagreement_puts_regions_of_one_detector_before_those_of_two(dataset: Dataset, chosen: Any) -> None:
    """Each image has one region left. One of three detectors proposed the cup, two proposed the cat."""
    assert chosen(disagreement=True) == ["cup", "cat"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rule": "min_scor"}, "did you mean 'min_score'"),
        ({"where": "wdth > 1"}, 'Referenced column "wdth" not found'),
        ({"where": "width > 9999"}, "No image fits"),
        ({"where": "SELECT 1"}, 'column "image_id" not found'),
        ({"limit": 0}, "give 1 or more"),
    ],
)
def test_a_wrong_condition_is_one_sentence(
    dataset: Dataset, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        show(dataset, **options)


def pixels(sheet: Image.Image) -> Any:
    return np.asarray(sheet.convert("RGB"))


def count(sheet: Any, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def test_the_sheet_is_a_png_of_tiles(dataset: Dataset, tmp_path: Path) -> None:
    path = save_sheet(show(dataset, "width >= 100"), tmp_path / "new" / "sheet")
    assert path == tmp_path / "new" / "sheet.png"
    assert pixels(Image.open(path)).shape[1] > 3 * TILE


def test_dropped_regions_are_red_and_kept_ones_are_not(dataset: Dataset, tmp_path: Path) -> None:
    cat = pixels(show(dataset, "uri LIKE '%/cat.png'"))
    cup = pixels(show(dataset, "uri LIKE '%/cup.png'"))
    assert count(cat, RED) > 300  # the dog that min_score dropped, with its label
    assert count(cup, RED) == 0


def test_a_mask_tints_the_pixels_of_its_region(dataset: Dataset, tmp_path: Path) -> None:
    """The mask covers 20 to 50 of the cat's 120 x 80; at (24, 24) the background shows through it, elsewhere not."""
    sheet = pixels(show(dataset, "uri LIKE '%/cat.png'"))
    plain = (200, 190, 180)
    scale, left, top = TILE / 120, 14, 14 + 2 * 17 + 14
    assert tuple(sheet[top + round(22 * scale), left + round(22 * scale)]) != plain
    assert tuple(sheet[top + round(75 * scale), left + round(100 * scale)]) == plain


def test_an_image_that_is_gone_is_a_grey_tile(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    (tmp_path / "photos" / "cup.png").unlink()
    sheet = pixels(show(dataset, "uri LIKE '%/cup.png'"))
    assert count(sheet, (215, 215, 215)) > 10_000


def test_before_the_filters_no_region_is_drawn_as_dropped(tmp_path: Path) -> None:
    dataset = handmade(tmp_path, judged=False)
    assert count(pixels(show(dataset, "width > 50")), RED) == 0


def test_a_random_choice_is_the_same_for_the_same_seed(chosen: Any) -> None:
    draws = [tuple(chosen(seed=seed, limit=3)) for seed in range(20)]
    assert draws == [tuple(chosen(seed=seed, limit=3)) for seed in range(20)]
    assert len(set(draws)) > 5
    assert set(chosen("width > 100", seed=1)) == {"cat", "page"}


def test_a_select_of_unknown_images_is_one_sentence(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No image fits"):
        show(dataset, "SELECT 'nothing' AS image_id")


def test_a_packed_data_set_is_drawn_from_its_own_tars(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3)
    data = recipe_data(tmp_path / "set", tmp_path / "photos", {})
    data["ingest"]["pack"] = True
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    for photo in (tmp_path / "photos").iterdir():
        photo.unlink()
    (tmp_path / "set").rename(tmp_path / "moved")
    sheet = pixels(show(Dataset.open(str(tmp_path / "moved"))))
    assert count(sheet, (215, 215, 215)) < 100
    assert count(sheet, (2, 0, 99)) > 10_000


def test_a_damaged_file_is_a_grey_tile(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    (tmp_path / "photos" / "cup.png").write_bytes(b"other bytes")
    sheet = pixels(show(dataset, "uri LIKE '%/cup.png'"))
    assert count(sheet, (215, 215, 215)) > 10_000


def test_characters_that_no_font_has_are_drawn_as_codes_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_FACES", [])
    for name in ("_LACKING", "_NOT_FOUND"):
        monkeypatch.setattr(drawing, name, set())
    monkeypatch.setattr(drawing, "_HAS_CHAR", {})
    monkeypatch.setattr(drawing, "_installed", lambda char: [])
    assert drawing._drawable("a cat, 猫")[1] == r"a cat, \u732b"
    assert drawing.missing_glyphs().startswith("No installed font has 猫: drawn as codes.")


def test_a_font_that_has_the_characters_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Greek, which Pillow's own font lacks, in a font of matplotlib."""
    path = pytest.importorskip("matplotlib").get_data_path() + "/fonts/ttf/DejaVuSans.ttf"
    monkeypatch.setattr(drawing, "_FACES", [])
    for name in ("_LACKING", "_NOT_FOUND"):
        monkeypatch.setattr(drawing, name, set())
    monkeypatch.setattr(drawing, "_HAS_CHAR", {})
    monkeypatch.setattr(drawing, "_installed", lambda char: [path])
    face, spelt = drawing._drawable("Ωμέγα")
    assert (face.path, spelt, drawing.missing_glyphs()) == (path, "Ωμέγα", "")
