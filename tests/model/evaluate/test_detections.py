from __future__ import annotations

import pytest

from model.evaluate.detections import Detection, Detections, as_columns

BOX, FAR = (0.0, 0.0, 5.0, 5.0), (9.0, 9.0, 12.0, 12.0)
FOUND = {
    "b": [Detection("cat", BOX, 0.5), Detection("dog", FAR, 0.25, "rle")],
    "empty": [],
    "a": [Detection("dog", BOX, 0.5)],
}


def test_columns_and_records_are_the_same() -> None:
    columns = as_columns(FOUND)
    assert len(columns) == 3
    assert columns.by_image() == FOUND
    assert as_columns(columns) is columns


@pytest.mark.parametrize("images", [["a", "b", "empty"], ["b", "c"], []])
def test_ordering_keeps_these_images_and_the_order_of_boxes_in_each(images: list[str]) -> None:
    ordered = as_columns(FOUND).ordered(images)
    assert ordered.by_image() == {name: FOUND.get(name, []) for name in images}
    assert ordered.image.tolist() == sorted(ordered.image.tolist())


def test_no_detections_are_columns_without_rows() -> None:
    nothing: Detections = as_columns({})
    assert (len(nothing), nothing.by_image(), nothing.boxes.shape) == (0, {}, (0, 4))
