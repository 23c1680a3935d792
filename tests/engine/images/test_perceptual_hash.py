"""The perceptual hash: near-duplicates, different photos, and images without a hash."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from engine.errors import EngineError
from engine.images.decode import Pixels, decode
from engine.images.near_duplicates import distances
from engine.images.perceptual_hash import RADIUS, hashes_to_array, perceptual_hash
from tests.shared_data import shared

NAMES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "rocket.jpg",
    "text.png",
)
Picture = Image.Image


@pytest.fixture(scope="module")
def demo() -> list[Pixels]:
    skimage = pytest.importorskip("skimage")
    data = Path(skimage.__file__).parent / "data"
    return [decode((data / name).read_bytes()) for name in NAMES]


def encoded(image: Picture, kind: str, quality: int) -> Picture:
    data = io.BytesIO()
    image.save(data, kind, quality=quality)
    return Image.open(data).convert("RGB")


def cropped(image: Picture, *edges: float) -> Picture:
    left, top, right, bottom = (round(edge * side) for edge, side in zip(edges, image.size * 2, strict=True))
    return image.crop((left, top, image.width - right, image.height - bottom))


def apart(photos: list[Pixels], change: Callable[[Picture], Picture]) -> list[int]:
    changed = [np.asarray(change(Image.fromarray(pixels))) for pixels in photos]
    ours, theirs = (hashes_to_array([perceptual_hash(pixels) for pixels in side]) for side in (photos, changed))
    return [int(bits) for bits in distances(ours, theirs)]


def between(photos: list[Pixels]) -> list[int]:
    hashes = hashes_to_array([perceptual_hash(pixels) for pixels in photos])
    i, j = np.triu_indices(len(hashes), 1)
    return [int(bits) for bits in distances(hashes[i], hashes[j])]


def grey(values: object) -> Pixels:
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)  # type: ignore[call-overload]


@pytest.mark.parametrize(("kind", "quality"), [("JPEG", 60), ("JPEG", 95), ("WEBP", 60), ("PNG", 0)])
def test_a_re_encoded_photo_keeps_nearly_all_of_its_bits(demo: list[Pixels], kind: str, quality: int) -> None:
    assert max(apart(demo, lambda image: encoded(image, kind, quality))) <= 20


@pytest.mark.parametrize("by", [0.9, 0.5])
def test_a_scaled_photo_keeps_nearly_all_of_its_bits(demo: list[Pixels], by: float) -> None:
    scaled = apart(demo, lambda image: image.resize((round(image.width * by), round(image.height * by))))
    assert max(scaled) <= 20


@pytest.mark.parametrize(
    "edges",
    [(0.03, 0, 0, 0), (0, 0.03, 0, 0), (0, 0, 0.03, 0), (0, 0, 0, 0.03), (0.015,) * 4, (0.03,) * 4],
    ids=["left", "top", "right", "bottom", "half on each side", "on each side"],
)
def test_a_photo_cropped_by_three_percent_is_within_the_radius(demo: list[Pixels], edges: tuple[float, ...]) -> None:
    assert max(apart(demo, lambda image: cropped(image, *edges))) <= RADIUS - 4


def test_a_mirrored_photo_is_no_near_duplicate(demo: list[Pixels]) -> None:
    assert min(apart(demo, ImageOps.mirror)) > 2 * RADIUS


def test_different_photos_are_twice_the_radius_apart(demo: list[Pixels]) -> None:
    assert min(between(demo)) > 2 * RADIUS


def test_photos_of_coco_are_far_from_each_other_and_near_to_their_crops() -> None:
    paths = sorted((shared("coco/dev") / "images").glob("*.jpg"))
    photos = [decode(path.read_bytes()) for path in paths[:40]]
    assert min(between(photos)) > 1.9 * RADIUS
    assert max(apart(photos, lambda image: cropped(encoded(image, "JPEG", 75), *(0.015,) * 4))) <= RADIUS


def test_a_hash_is_the_same_on_every_machine() -> None:
    """If these digits change, the hash has changed: raise the version of the components that give it."""
    y, x = np.indices((48, 64))
    drawn = np.stack([x * 4 % 255, y * 5, (x * y) % 256], axis=2).astype(np.uint8)
    assert perceptual_hash(drawn) == "07c279d387b8f302781ff304387c7f07e0fc08f07cef56b4948f48f08eb4b810"


def test_a_hash_does_not_depend_on_the_memory_layout() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    pixels[:15] //= 2
    assert perceptual_hash(pixels) == perceptual_hash(np.asfortranarray(pixels)) != ""


def test_flat_and_nearly_flat_images_have_no_hash() -> None:
    y, x = np.indices((120, 160))
    noise = np.random.default_rng(0).normal(0, 2, (120, 160))
    white, red = grey(np.full((120, 160), 255)), np.full((120, 160, 3), (200, 10, 10), np.uint8)
    for pixels in (white, red, grey(x * 255 / 160), grey(y + x / 2), grey(255 * (y > 60)), grey(128 + noise)):
        assert perceptual_hash(pixels) == ""


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (3, 5)])
def test_an_image_of_a_few_pixels_is_hashed(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert len(perceptual_hash(pixels)) in (0, 64)


def test_hex_digits_become_four_words_in_their_order() -> None:
    words = hashes_to_array(["0" * 15 + "1" + "0" * 47 + "2", "f" * 64])
    assert words.tolist() == [[1, 0, 0, 2], [2**64 - 1] * 4]
    assert hashes_to_array([]).shape == (0, 4)


def test_an_empty_hash_is_refused() -> None:
    with pytest.raises(EngineError, match="leave out images without a hash"):
        hashes_to_array(["f" * 64, ""])
