from __future__ import annotations

from pipelines.ingest.placed_images import PlacedImages


def placed() -> PlacedImages:
    images = PlacedImages()
    images.add(0, ["0" * 32, "f" * 32, "8" + "0" * 31])
    images.add(1, [f"{number:032x}" for number in range(1, 40)])
    images.add(4, ["a" * 32])
    return images


def test_marked_images_are_given_by_shard_and_row() -> None:
    images = placed()
    assert all(images.mark(image) for image in ("f" * 32, "a" * 32, "8" + "0" * 31, "f" * 32))
    assert list(images.marked()) == [(0, [1, 2]), (4, [0])]


def test_an_image_that_is_in_no_shard_is_not_marked() -> None:
    images = placed()
    assert not any(images.mark(image) for image in (f"{40:032x}", "b" * 32))
    assert list(images.marked()) == []


def test_all_images_can_be_marked_at_once() -> None:
    images = placed()
    images.mark_all()
    assert [(shard, len(rows)) for shard, rows in images.marked()] == [(0, 3), (1, 39), (4, 1)]
