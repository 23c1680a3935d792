from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from engine.images.perceptual_hash import perceptual_hash
from engine.records.answers import check_answer
from engine.schema import Sample
from specialists.image_quality import ImageQuality, histogram_measures

skimage = pytest.importorskip("skimage")
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
Pixels = npt.NDArray[np.uint8]


def photo(name: str) -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")


def sample(pixels: Pixels | Image.Image) -> Sample:
    pixels = np.asarray(pixels)
    return Sample("a", pixels.shape[1], pixels.shape[0], pixels)


def flat(width: int, height: int, level: int) -> Sample:
    return sample(np.full((height, width, 3), level, np.uint8))


def measured(one: Sample | Image.Image) -> dict[str, float]:
    (answer,) = ImageQuality().annotate([one if isinstance(one, Sample) else sample(one)])
    return {score.name: score.value for score in answer.image_scores}


def blurred(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def exposed(image: Image.Image, factor: float) -> Image.Image:
    return image.point(lambda level: min(255, round(level * factor)))


def faded(image: Image.Image, share: float) -> Image.Image:
    return image.point(lambda level: round(128 + (level - 128) * share))


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, sigma, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


# (measure, how the photo is damaged, amounts): the measure falls from each amount to the next.
FALLS: list[tuple[str, Callable[[Image.Image, float], Image.Image], tuple[float, ...]]] = [
    ("sharpness", blurred, (0, 1, 2, 4, 8)),
    ("sharpness", noisy, (40, 20, 10, 0)),  # noise counts as sharpness
    ("brightness", exposed, (1.5, 1, 0.6, 0.3, 0.1)),
    ("contrast", faded, (1, 0.7, 0.4, 0.1)),
    ("entropy", faded, (1, 0.4, 0.1, 0)),
    ("clipped", exposed, (8, 4, 2, 1.2)),
]


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(("measure", "spoil", "steps"), FALLS)
def test_spoilt_photos_rank_in_the_right_order(
    name: str, measure: str, spoil: Callable[[Image.Image, float], Image.Image], steps: tuple[float, ...]
) -> None:
    values = [measured(spoil(photo(name), step))[measure] for step in steps]
    assert all(before > after for before, after in pairwise(values)), values


def test_one_floor_of_sharpness_separates_sharp_from_blurred_photos() -> None:
    sharp = [measured(photo(name))["sharpness"] for name in PHOTOS]
    soft = [measured(blurred(photo(name), 3))["sharpness"] for name in PHOTOS]
    assert min(sharp) > 50 > max(soft)


def test_sharpness_is_comparable_between_resolutions() -> None:
    large = photo("astronaut.png").resize((2048, 2048), Image.Resampling.LANCZOS)
    middle = photo("astronaut.png").resize((1024, 1024), Image.Resampling.LANCZOS)
    assert measured(large)["sharpness"] == pytest.approx(measured(middle)["sharpness"], rel=0.1)


def test_a_chessboard_has_the_numbers_computed_by_hand() -> None:
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    scores = measured(sample(np.repeat(board[:, :, None], 3, axis=2)))
    assert scores["sharpness"] == (4 * 255) ** 2
    assert (scores["brightness"], scores["contrast"], scores["entropy"], scores["clipped"]) == (0.5, 0.5, 1.0, 1.0)


def test_brightness_is_the_mean_of_luma_and_not_of_the_channels() -> None:
    green, blue = np.zeros((2, 4, 4, 3), np.uint8)
    green[:, :, 1] = blue[:, :, 2] = 255
    assert measured(sample(green))["brightness"] > 0.5 > 0.2 > measured(sample(blue))["brightness"]


def test_an_image_with_every_level_has_an_entropy_of_eight_bits() -> None:
    assert histogram_measures(np.ones(256, np.int64))["entropy"] == pytest.approx(8)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_flat_image_has_no_detail_at_all(level: int) -> None:
    scores = measured(flat(40, 30, level))
    assert (scores["sharpness"], scores["contrast"], scores["entropy"]) == (0, 0, 0)
    assert (scores["brightness"], scores["clipped"]) == (level / 255, float(level in (0, 255)))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (5000, 1), (3, 5000), (4000, 3000)])
def test_images_of_any_size_are_measured(width: int, height: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    one = sample(pixels)
    (answer,) = ImageQuality().annotate([one])
    assert check_answer(answer, one, ImageQuality.gives) == ""
    values = {score.name: score.value for score in answer.image_scores}
    assert values["sharpness"] >= 0
    assert all(0 <= values[name] <= 1 for name in ("brightness", "contrast", "clipped"))
    assert 0 <= values["entropy"] <= 8


def test_the_perceptual_hash_is_the_code_of_a_score() -> None:
    one = sample(photo("chelsea.png"))
    assert one.pixels is not None
    (found,) = [s for s in ImageQuality().annotate([one])[0].image_scores if s.name == "phash"]
    assert (found.value, found.code) == (0.0, perceptual_hash(one.pixels))
    assert len(found.code) == 64


def test_an_image_without_a_perceptual_hash_has_no_such_score() -> None:
    assert "phash" not in measured(flat(40, 30, 100))


def test_the_kind_of_a_score_is_measured() -> None:
    scores = ImageQuality().annotate([sample(photo("coffee.png"))])[0].image_scores
    assert {(score.score, score.score_kind) for score in scores} == {(1.0, "measured")}
    assert [score.name for score in scores] == ["sharpness", "brightness", "contrast", "entropy", "clipped", "phash"]


def test_answers_do_not_depend_on_the_batch() -> None:
    batch = [sample(photo(name)) for name in PHOTOS] + [flat(1, 1, 7)]
    alone = [ImageQuality().annotate([one])[0] for one in batch]
    assert ImageQuality().annotate(batch) == ImageQuality().annotate(batch) == alone
