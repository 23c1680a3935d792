"""Labels turned upright, with the resulting boxes and masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import ImageError
from engine.images.decode import Header
from engine.images.orientation import orient_array, orient_box
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.records import masks
from engine.schema import ANNOTATIONS, Region, RegionText, as_row
from pipelines.ingest.labels import Size, sized, upright
from pipelines.ingest.rows import AnnotationRow, LabelColumns
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run


def row(region: Region, frame: str, width: int, height: int, *texts: RegionText) -> tuple[LabelColumns, str, Size]:
    empty: LabelColumns = {name: [] for name in ANNOTATIONS}
    labels: LabelColumns = {"regions": [as_row(region)], "region_texts": [as_row(text) for text in texts]}
    return empty | labels, frame, (width, height)


def box(region: AnnotationRow) -> tuple[float, ...]:
    return (region["x1"], region["y1"], region["x2"], region["y2"])


def drawn(width: int, height: int) -> masks.Mask:
    mask = np.zeros((height, width), bool)
    mask[1:4, 2:9] = True
    return mask


def turned(orientation: int) -> Header:
    """The header of a file that stores 12 x 8 pixels."""
    return Header("JPEG", *((8, 12) if orientation >= 5 else (12, 8)), orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_labels_turn_upright_with_their_masks(orientation: int) -> None:
    mask, header = drawn(12, 8), turned(orientation)
    region = Region(2, 1, 9, 4, "cat", rle=masks.encode(mask))
    for frame in ("stored", "auto") if orientation >= 5 else ("stored",):
        (found,) = upright(*row(region, frame, 12, 8), header).labels["regions"]
        assert box(found) == orient_box((2, 1, 9, 4), 12, 8, orientation)
        there = masks.decode(found["rle"], width=header.width, height=header.height)
        assert np.array_equal(there, orient_array(mask, orientation))


def test_labels_made_on_the_upright_image_stay() -> None:
    for frame, size in (("auto", (8, 12)), ("upright", (8, 12)), ("upright", (0, 0)), ("auto", (0, 0))):
        (region,) = upright(*row(Region(1, 2, 3, 4), frame, *size), turned(6)).labels["regions"]
        assert box(region) == (1, 2, 3, 4)


def test_labels_of_another_size_are_refused_and_captions_have_no_size() -> None:
    with pytest.raises(ImageError, match="100 x 100") as error:
        upright(*row(Region(1, 2, 3, 4), "auto", 100, 100), turned(6))
    assert error.value.reason == "labels_of_another_size"
    captions, frame, size = row(Region(1, 2, 3, 4), "auto", 100, 100)
    captions["regions"] = []
    assert upright(captions, frame, size, turned(6)).labels["regions"] == []


@pytest.mark.parametrize(
    ("frame", "size", "orientation", "fits"),
    [
        ("auto", (12, 8), 1, ""),
        ("auto", (12, 8), 3, "both"),
        ("auto", (0, 0), 6, "both"),
        ("auto", (12, 8), 6, "stored"),
        ("auto", (8, 12), 6, "upright"),
        ("upright", (12, 8), 3, ""),
        ("stored", (12, 8), 3, ""),
    ],
)
def test_the_fitting_frame_is_reported_if_the_source_did_not_give_it(
    frame: str, size: tuple[int, int], orientation: int, fits: str
) -> None:
    found = upright(*row(Region(1, 2, 3, 4), frame, *size), turned(orientation))
    assert found.fits == fits
    if fits == "both":
        assert box(found.labels["regions"][0]) == (1, 2, 3, 4)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_in_another_frame_than_its_box_is_turned_by_its_own_size(orientation: int) -> None:
    header = turned(orientation)
    stored, on_screen = drawn(12, 8), drawn(8, 12)
    in_stored = Region(1, 2, 3, 4, rle=sized(masks.encode(stored), 12, 8))
    (region,) = upright(*row(in_stored, "auto", 8, 12), header).labels["regions"]
    assert box(region) == (1, 2, 3, 4)
    assert np.array_equal(masks.decode(region["rle"], width=8, height=12), orient_array(stored, orientation))
    in_upright = Region(2, 1, 9, 4, rle=sized(masks.encode(on_screen), 8, 12))
    (region,) = upright(*row(in_upright, "auto", 12, 8), header).labels["regions"]
    assert box(region) == orient_box((2, 1, 9, 4), 12, 8, orientation)
    assert np.array_equal(masks.decode(region["rle"], width=8, height=12), on_screen)


def test_without_an_exif_turn_a_mask_with_swapped_sides_is_left_out_and_its_box_stays() -> None:
    swapped = Region(2, 1, 9, 4, "cat", rle=sized(masks.encode(drawn(8, 12)), 8, 12))
    found = upright(*row(swapped, "auto", 12, 8), turned(1))
    assert [(box(region), region["rle"]) for region in found.labels["regions"]] == [((2, 1, 9, 4), "")]
    assert found.left_out == ["a mask whose size is not its image's"]


def test_boxes_are_clipped_to_an_image_whose_size_was_not_given() -> None:
    found = upright(*row(Region(2, 1, 90, 4, id="human/0"), "auto", 0, 0), turned(1))
    assert box(found.labels["regions"][0]) == (2, 1, 12, 4)
    outside = row(Region(20, 1, 90, 4, id="human/0"), "auto", 0, 0, RegionText("human/0", "a cat", id="human/1"))
    found = upright(*outside, turned(1))
    assert (found.labels["regions"], found.labels["region_texts"]) == ([], [])
    assert found.left_out == ["a box outside of its image"]


def _turned_photo(path: Path, orientation: int, width: int, height: int) -> None:
    """A photo that is red from 10, 10 to 60, 50 in every viewer."""
    shown = np.zeros((height, width, 3), np.uint8)
    shown[10:50, 10:60] = (255, 0, 0)
    back = {2: 2, 3: 3, 4: 4, 6: 8, 8: 6}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(orient_array(shown, back))).save(path, exif=exif, format="PNG")


def test_labels_that_fit_both_frames_are_taken_as_upright_with_one_note(tmp_path: Path) -> None:
    photos = [("mirrored.png", 2, 240, 160), ("half.png", 3, 240, 160), ("square.png", 6, 240, 240)]
    (tmp_path / "photos").mkdir()
    for name, orientation, width, height in photos:
        _turned_photo(tmp_path / "photos" / name, orientation, width, height)
    content = {
        "categories": [{"id": 1, "name": "red"}],
        "images": [{"id": n, "file_name": p[0], "width": p[2], "height": p[3]} for n, p in enumerate(photos)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 50, 40]} for n in range(3)],
    }
    (tmp_path / "i.json").write_text(json.dumps(content))
    source = {"coco": {"instances": str(tmp_path / "i.json"), "images": str(tmp_path / "photos")}}

    def boxes(options: dict[str, str]) -> tuple[set[tuple[float, ...]], list[str]]:
        made = {"dataset": str(tmp_path / "-".join(["set", *options.values()]))}
        recipe = parse_recipe(
            made | {"ingest": {"sources": [source | options]}, "annotate": {"human": {"use": "human"}}}
        )
        notes = run(recipe, runner="inline", stage="ingest").notes
        for stage in ("annotate", "filter"):
            run(recipe, runner="inline", stage=stage)
        rows = query(Dataset.open(recipe.dataset), "SELECT x1, y1, x2, y2 FROM regions").to_pylist()
        return {tuple(row.values()) for row in rows}, [note for note in notes if "EXIF" in note]

    note = (
        f"'{tmp_path}/i.json': 3 photos with an EXIF turn fit both frames and were taken as upright, as most tools "
        "show photos: add 'frame: upright' or 'frame: stored' to the source."
    )
    assert boxes({}) == (
        {(10.0, 10.0, 60.0, 50.0)},
        [note],
    )
    assert boxes({"frame": "upright"}) == ({(10.0, 10.0, 60.0, 50.0)}, [])
    stored, notes = boxes({"frame": "stored"})
    assert (len(stored), notes) == (3, [])
