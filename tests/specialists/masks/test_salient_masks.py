import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError, StartError
from engine.records import masks
from engine.records.answers import check_answer
from engine.schema import Region, Sample
from specialists.masks.salient_masks import INSTALL, SalientMasks, network_input
from tests.dev_photos import dev_photos
from tests.shared_data import shared
from tests.specialists.masks.test_grabcut import around, disc, inside

pytest.importorskip("onnxruntime")
pytest.importorskip("cv2")


class Network:
    """Stands in for U2NetP: red pixels are salient."""

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind

    def run(self, outputs: list[str], given: dict[str, Any]) -> list[Any]:
        (seen,) = given.values()
        return [np.zeros((1, 1, 320, 320), np.float32) if self.blind else (seen[:, :1] - seen[:, 1:2] > 0) * 1.0]


def specialist(network: Network | None = None, **options: Any) -> SalientMasks:
    made = SalientMasks(**options)
    made.session, made.input_name, made.output_name = network or Network(), "input", "output"
    return made


def cut(sample: Sample, network: Network | None = None, **options: Any) -> list[Region]:
    return specialist(network, **options).annotate([sample])[0].regions


def test_the_mask_is_the_object_not_its_box() -> None:
    (found,) = cut(disc(around()))
    mask = masks.decode(found.rle, width=160, height=120)
    assert (mask & inside()).sum() / (mask | inside()).sum() > 0.85
    assert (found.merged_into, found.label, found.score_kind) == ("consensus/0", "disc", "mask_iou")


def test_the_score_is_lower_if_network_and_grabcut_disagree() -> None:
    (agreed,), (doubtful,) = cut(disc(around())), cut(disc(around()), Network(blind=True), min_quality=0.0)
    assert agreed.score is not None
    assert doubtful.score is not None
    assert doubtful.score < agreed.score


def test_a_mask_that_is_not_good_enough_is_left_out() -> None:
    assert cut(disc(around()), min_quality=0.99) == []


@pytest.mark.parametrize("region", [around(rle="x"), around(merged_into="consensus/7"), around(kind="text")])
def test_regions_that_need_no_mask_get_none(region: Region) -> None:
    assert cut(disc(region)) == []


@pytest.mark.parametrize(("width", "height"), [(16, 16), (2000, 17), (17, 2000)])
def test_images_of_any_size_cause_no_error(width: int, height: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    whole = Region(0, 0, width, height, "thing", id="c/0", score=0.9)
    sample = Sample("a", width, height, pixels, regions=[whole])
    (answer,) = specialist(min_quality=0.0, max_area=1.0).annotate([sample])
    assert check_answer(answer, sample, SalientMasks.gives) == ""


def test_the_input_is_rgb_divided_by_the_brightest_value() -> None:
    red = np.zeros((30, 20, 3), np.uint8)
    red[:, :, 0] = 100
    seen = network_input(red)
    assert (seen.shape, seen.dtype) == ((3, 320, 320), np.float32)
    assert seen.mean(axis=(1, 2)).tolist() == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_without_the_package_the_error_names_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="U2NetP, which is not installed") as raised:
        _ = SalientMasks().weights
    assert INSTALL in str(raised.value)


def test_a_file_that_is_no_network_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "u2netp.onnx").write_bytes(b"no network")
    with pytest.raises(StartError, match="is not an ONNX network that onnxruntime can run"):
        SalientMasks(path=str(tmp_path / "u2netp.onnx")).load()
    with pytest.raises(ConfigError, match="No file"):
        _ = SalientMasks(path=str(tmp_path / "other.onnx")).weights


def test_masks_on_a_real_photo_are_better_than_boxes() -> None:
    from benchmarks.masks import Boxes

    boxes = Boxes(dev_photos(), most=3)
    made = SalientMasks(path=str(shared("weights") / "u2netp.onnx"), max_regions=2)
    given, _ = boxes.ask(made)
    there = np.isfinite(given.iou)
    assert there.sum() >= 2
    assert given.iou[there].mean() > boxes.alone[there].mean() + 0.05
