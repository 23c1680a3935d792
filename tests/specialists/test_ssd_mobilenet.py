from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import sample
from engine.errors import ConfigError
from engine.schema import Answer, Sample
from specialists.ssd_mobilenet import SsdMobilenet

skimage = pytest.importorskip("skimage")
pytest.importorskip("cv2")
PHOTOS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def ssd() -> SsdMobilenet:
    specialist = SsdMobilenet()
    specialist.load()
    return specialist


def answer(ssd: SsdMobilenet, photo: str) -> Answer:
    return ssd.annotate([sample(PHOTOS / photo)])[0]


@pytest.mark.parametrize(
    ("photo", "label"), [("chelsea.png", "cat"), ("coffee.png", "cup"), ("motorcycle_left.png", "motorcycle")]
)
def test_obvious_objects_are_found(ssd: SsdMobilenet, photo: str, label: str) -> None:
    best = answer(ssd, photo).regions[0]
    assert best.label == label
    assert best.score is not None
    assert best.score > 0.9


def test_the_box_of_the_cat_is_on_the_cat(ssd: SsdMobilenet) -> None:
    cat = answer(ssd, "chelsea.png").regions[0]
    assert cat.x1 < 160 < cat.x2  # between its eyes
    assert cat.y1 < 130 < cat.y2


def test_boxes_lie_in_the_image_and_have_their_own_ids(ssd: SsdMobilenet) -> None:
    found = answer(ssd, "coffee.png").regions
    assert all(0 <= r.x1 < r.x2 <= 600 and 0 <= r.y1 < r.y2 <= 400 for r in found)
    assert len({r.id for r in found}) == len(found) > 1


def test_answers_do_not_depend_on_the_batch(ssd: SsdMobilenet) -> None:
    pair = [sample(PHOTOS / "coffee.png"), sample(PHOTOS / "chelsea.png")]
    assert ssd.annotate(pair) == [ssd.annotate([one])[0] for one in pair]


def test_an_image_of_one_pixel_has_an_answer(ssd: SsdMobilenet) -> None:
    regions = ssd.annotate([Sample("a", 1, 1, np.zeros((1, 1, 3), np.uint8))])[0].regions
    assert all(0 <= r.x1 < r.x2 <= 1 for r in regions)


def test_a_folder_without_the_files_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No 'frozen_inference_graph.pb' in"):
        _ = SsdMobilenet(path=str(tmp_path)).weights
