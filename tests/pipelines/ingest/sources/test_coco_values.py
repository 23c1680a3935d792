"""Boxes, crowds, masks and captions of a COCO json: the right value, or left out and noted."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.records import masks
from engine.schema import Answer
from pipelines.ingest.labels import sized
from pipelines.ingest.sources.coco import CocoJson
from tests.pipelines.coco_files import INF, NAN, coco, corners, labels, note, only


def test_boxes_become_corners_inside_the_image(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}, {"bbox": [-1, 6, 20, 9]}, {"bbox": [3, 3, 0, 4]}])
    entry = only(source)
    assert entry.labels is not None
    boxes = [(region.label, region.x1, region.y1, region.x2, region.y2) for region in entry.labels.regions]
    assert boxes == [("cat", 2, 1, 9, 4), ("cat", 0, 6, 12, 8)]
    assert all(region.score is None and region.producer == "human" for region in entry.labels.regions)
    assert source.left_out == {"a box without area": 1}


def test_masks_of_every_kind_become_run_lengths(tmp_path: Path) -> None:
    mask = np.zeros((8, 12), bool)
    mask[1:4, 2:9] = True
    flat, runs = mask.T.ravel(), []
    edges = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    runs = [after - before for before, after in pairwise(edges)]
    forms = [
        [[2, 1, 9, 1, 9, 4, 2, 4]],
        {"counts": runs, "size": [8, 12]},
        {"counts": masks.encode(mask), "size": [8, 12]},
        {"counts": [3, 4], "size": [8, 12]},
    ]
    source = coco(
        tmp_path, [{"bbox": [2, 1, 7, 3], "segmentation": form, "iscrowd": n == 1} for n, form in enumerate(forms)]
    )
    regions = (only(source).labels or Answer()).regions
    assert all(np.array_equal(masks.decode(region.rle, width=12, height=8), mask) for region in regions[:3])
    assert (regions[3].rle, source.left_out) == ("", {"a mask that cannot be read": 1})
    assert [region.score_kind for region in regions] == ["", "crowd", "", ""]


# --- boxes, crowds and masks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        (None, "a box that is not four numbers"),
        ([None, 1, 2, 3], "a box that is not four numbers"),
        ({"x": 1, "y": 1, "w": 2, "h": 2}, "a box that is not four numbers"),
        ("1,1,2,2", "a box that is not four numbers"),
        ([1, 1, 2], "a box that is not four numbers"),
        ([1, 1, 2, 2, 0], "a box that is not four numbers"),
        ([1, 1, float("nan"), 2], "a box that is not four numbers"),
        ([1, 1, float("inf"), 2], "a box that is not four numbers"),
        ([[1], 1, 2, 2], "a box that is not four numbers"),
        ([True, 1, 2, 2], "a box that is not four numbers"),
        ([10**400, 1, 2, 2], "a box that is not four numbers"),
        ([3, 3, -2, 4], "a box without area"),
        ([3, 3, 1e-9, 4], "a box without area"),
        ([12, 0, 3, 3], "a box outside of its image"),
        ([5020, 2, 8, 6], "a box outside of its image"),
        ([-9, -9, 9, 9], "a box outside of its image"),
        ([1e300, 0, 5, 5], "a box outside of its image"),
    ],
)
def test_an_invalid_box_is_left_out_and_noted(tmp_path: Path, bbox: Any, reason: str) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3]}, {"bbox": bbox}])
    assert corners(labels(source)) == [(2, 1, 9, 4)]
    assert source.left_out == {reason: 1}
    assert f"left out as {reason}: annotation 1 (bbox " in note(source)


def test_boxes_may_be_large_or_written_as_texts(tmp_path: Path) -> None:
    source = coco(tmp_path, [{"bbox": [-1e300, -1e300, 2e300, 2e300]}, {"bbox": ["2", "1.0", "7", "3"]}])
    assert corners(labels(source)) == [(0, 0, 12, 8), (2, 1, 9, 4)]
    assert not source.left_out


def test_iscrowd_is_read_in_every_form(tmp_path: Path) -> None:
    no: list[Any] = [0, 0.0, False, None, "0", "false", "", "no", [], {}, float("nan")]
    yes: list[Any] = [1, 1.0, True, "1", "true", "True"]
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3], "iscrowd": one} for one in (*no, *yes)])
    kinds = [region.score_kind for region in labels(source).regions]
    assert kinds == [""] * len(no) + ["crowd"] * len(yes)


OUTLINE = [2, 1, 9, 1, 9, 4, 2, 4]
POINTS = [[2, 1], [9, 1], [9, 4], [2, 4]]


def drawn(width: int = 12, height: int = 8) -> masks.Mask:
    mask = np.zeros((height, width), bool)
    mask[1:4, 2:9] = True
    return mask


def test_outlines_are_read_in_every_form(tmp_path: Path) -> None:
    forms: list[Any] = [[OUTLINE], OUTLINE, POINTS, [POINTS], [[str(one) for one in OUTLINE]], [OUTLINE, [5, 5]]]
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3], "segmentation": form} for form in forms])
    for region in labels(source).regions:
        assert np.array_equal(masks.decode(region.rle, width=12, height=8), drawn())
    assert not source.left_out


def test_run_lengths_written_as_python_bytes_are_read(tmp_path: Path) -> None:
    rle = masks.encode(drawn())
    forms = [
        repr(rle.encode()),
        f'b"{rle}"',
        [float(run) for run in (9 * 2 - 1, 3, 5, 3, 5, 3, 5, 3, 5, 3, 5, 3, 5, 3)],
    ]
    forms[-1] = [*forms[-1], 96.0 - sum(forms[-1])]
    made = [{"bbox": [2, 1, 7, 3], "segmentation": {"size": [8, 12], "counts": form}} for form in forms]
    source = coco(tmp_path, made)
    for region in labels(source).regions:
        assert np.array_equal(masks.decode(region.rle, width=12, height=8), drawn())


@pytest.mark.parametrize("none", [None, [], {}, "", [[]], 0])
def test_without_a_segmentation_there_is_no_mask_and_no_note(tmp_path: Path, none: Any) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3], "segmentation": none}])
    assert [region.rle for region in labels(source).regions] == [""]
    assert not source.left_out


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[2, 1, NAN, 1, 9, 4, 2, 4]], "a mask that cannot be read"),
        ([[2, 1, INF, 1, 9, 4, 2, 4]], "a mask that cannot be read"),
        ([[2, 1, None, 1, 9, 4, 2, 4]], "a mask that cannot be read"),
        ([[2, 1, 9, 1, 9, 4, 2]], "a mask that cannot be read"),
        ([["a", "b", "c", "d", "e", "f"]], "a mask that cannot be read"),
        ([{"x": 1, "y": 2}], "a mask that cannot be read"),
        ([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]], "a mask that cannot be read"),
        ("polygon", "a mask that cannot be read"),
        (7, "a mask that cannot be read"),
        ([[-164.1, -221.8, 2.08e8, 3.5e8, 5, 5]], "a mask that reaches far outside of its image"),
        ([[10**30, 1, 9, 1, 9, 4]], "a mask that reaches far outside of its image"),
        ([[0, 0, 12, 8] * 100_000], "a mask that reaches far outside of its image"),
        ([[2, 1, 9, 4]], "a mask that encloses no pixel"),
        ([[30, 1, 40, 1, 40, 4]], "a mask that encloses no pixel"),
        ({"size": [8, 12], "counts": [96]}, "a mask that encloses no pixel"),
        ({"size": [8, 12], "counts": [3, 4]}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": [100, -4]}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": [90, None, 6]}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": "~~"}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": "b'oops"}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": "o" * 100_000}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": "\ud800"}, "a mask that cannot be read"),
        ({"size": [8, 12], "counts": {}}, "a mask that cannot be read"),
        ({"size": [8, 12]}, "a mask that cannot be read"),
        ({"counts": [90, 6]}, "a mask whose size is not its image's"),
        ({"size": [6, 16], "counts": [90, 6]}, "a mask whose size is not its image's"),
        ({"size": [8, None], "counts": [90, 6]}, "a mask whose size is not its image's"),
        ({"size": "8x12", "counts": [90, 6]}, "a mask whose size is not its image's"),
    ],
)
def test_an_invalid_mask_is_noted_and_its_box_stays(tmp_path: Path, segmentation: Any, reason: str) -> None:
    source = coco(tmp_path, [{"bbox": [2, 1, 7, 3], "segmentation": segmentation}])
    (region,) = labels(source).regions
    assert (region.x1, region.y1, region.x2, region.y2, region.rle) == (2, 1, 9, 4, "")
    assert source.left_out == {reason: 1}
    assert f"left out as {reason}: that of annotation 0." in note(source)


def test_run_lengths_of_the_turned_frame_keep_their_size(tmp_path: Path) -> None:
    turned = masks.encode(drawn(8, 12))
    segmentation = {"size": [12, 8], "counts": turned}
    (region,) = labels(coco(tmp_path, [{"bbox": [2, 1, 7, 3], "segmentation": segmentation}])).regions
    assert region.rle == sized(turned, 8, 12)


def test_images_with_absurd_sizes_are_listed_with_bounded_memory(tmp_path: Path) -> None:
    box = {"bbox": [2, 1, 7, 3], "segmentation": [OUTLINE]}
    for strange in (10**12, -5, "12px", None, [12], NAN, 12.5, True):
        source = coco(tmp_path, [box], width=strange)
        (entry,) = source.entries()
        assert (entry.width, entry.height) == (0, 0)
        assert source.left_out == {"an outline in an image whose size the json does not give": 1}
        assert "taken as images of unknown size: 'a.jpg' (width " in note(source)
    (entry,) = coco(tmp_path, [box], width=10**9, height=10**9).entries()
    assert (entry.labels or Answer()).regions[0].rle == ""


def test_sizes_may_be_written_as_texts(tmp_path: Path) -> None:
    (entry,) = coco(tmp_path, [{"bbox": [2, 1, 70, 30]}], width="12.0", height="8").entries()
    assert (entry.width, entry.height, corners(entry.labels)) == (12, 8, [(2, 1, 12, 8)])


# --- captions -------------------------------------------------------------------------------------


def test_captions_are_texts_or_lists_of_texts_and_others_are_left_out(tmp_path: Path) -> None:
    captions: list[Any] = [
        " a cat ",
        ["two cats", ["three"]],
        None,
        NAN,
        "",
        5,
        {"en": "a cat"},
        ["a dog", 7],
        "\ud800",
    ]
    coco(tmp_path, [])
    rows = [{"id": n, "image_id": 1, "caption": one} for n, one in enumerate(captions)]
    rows += [{"id": 90, "image_id": 4, "caption": "of another photo"}, None]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": rows}))
    source = CocoJson(str(tmp_path / "instances.json"), str(tmp_path), str(tmp_path / "captions.json"))
    assert [text.text for text in labels(source).texts] == ["a cat", "two cats", "three", "a dog"]
    assert source.left_out == {
        "an empty caption": 2,
        "a caption that is no text": 4,
        "a caption that is no Unicode": 1,
        "an annotation of no listed image": 1,
        "an annotation that is no object": 1,
    }
    assert f"'{tmp_path}/captions.json': left out as an empty caption: that of annotation 2 (None)" in note(source)


def test_captions_of_other_images_only_are_an_error(tmp_path: Path) -> None:
    coco(tmp_path, [])
    rows = [{"image_id": "1", "caption": "a cat"}]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": rows}))
    source = CocoJson(str(tmp_path / "instances.json"), str(tmp_path), str(tmp_path / "captions.json"))
    with pytest.raises(ConfigError, match=r"1 of 1 annotations of '.*captions.json' have an image_id"):
        list(source.entries())
