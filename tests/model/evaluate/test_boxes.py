from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import EngineError
from engine.records import masks
from model.evaluate.boxes import FIGURES, BoxMeasure, measure_boxes
from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.resampling import interval, resamples
from tests.coco_results import DETECTORS, coco_found, coco_truth, name_of, read, some
from tests.shared_data import shared

BOX = (10.0, 10.0, 60.0, 60.0)
FAR = (100.0, 100.0, 150.0, 150.0)


def one(*objects: Truth) -> dict[str, TruthImage]:
    return {"a": TruthImage(200, 200, objects)}


def by_hand(truth: Path, found: Path, split: str) -> list[float]:
    """Detections made from the truth, as in the example of the COCO toolkit."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        measure = COCOeval(coco, coco.loadRes(json.loads(found.read_text())), "bbox")
        if split:
            measure.params.imgIds = [i for i in coco.imgs if coco.imgs[i]["coco_split"] == split]
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return [float(number) for number in measure.stats]


@pytest.mark.parametrize(("kind", "file"), [("bbox", "fakebbox100"), ("segm", "fakesegm100")])
def test_the_twelve_figures_equal_those_published_with_the_coco_toolkit(kind: str, file: str) -> None:
    folder = shared("coco_results")
    truth = folder / "instances_val2014_100.json"
    found = coco_found(folder / f"instances_val2014_{file}_results.json", truth)
    measure = measure_boxes(coco_truth(truth), found, masks=kind == "segm")
    published = read(folder / "expected_metrics.json")["published (val2014_fake_eval_res.txt)"][kind]
    assert tuple(measure.figures) == FIGURES
    assert [round(number, 3) for number in measure.figures.values()] == published
    assert (measure.images, measure.truths, measure.predictions) == (100, 830, 734)


@pytest.mark.parametrize("split", ["", "val2017"])
@pytest.mark.parametrize("detector", DETECTORS)
def test_figures_of_real_detectors_equal_those_of_pycocotools(detector: str, split: str) -> None:
    path = shared("coco_results") / "real_detectors" / f"{detector}_dev_nms.json"
    instances = shared("coco/dev") / "instances.json"
    truth = coco_truth(instances, split=split)
    measure = measure_boxes(truth, some(coco_found(path, instances), truth))
    # The labels are summed in another order: the last bit may differ.
    assert list(measure.figures.values()) == pytest.approx(by_hand(instances, path, split), abs=1e-12)
    noted = read(path.with_name("metrics.json"))[f"{detector}/dev/{'val2017_only' if split else 'all'}"]
    assert [round(measure.figures[name], 4) for name in ("AP", "AP50")] == [noted["AP"], noted["AP50"]]
    again = measure.resampled(np.ones((1, len(truth)), np.int64))
    assert [again["AP"][0], again["AP50"][0]] == pytest.approx([measure.figures["AP"], measure.figures["AP50"]])


def random_images(count: int) -> tuple[dict[str, TruthImage], dict[str, list[Detection]]]:
    random = np.random.default_rng(3)
    truth, found = {}, {}
    for n in range(count):
        corners = random.uniform(0, 120, (6, 2))
        boxes = np.concatenate([corners, corners + random.uniform(10, 80, (6, 2))], axis=1)
        objects = [Truth("ab"[k % 2], tuple(box), crowd=k == 5) for k, box in enumerate(boxes.tolist())]
        truth[name_of(n)] = TruthImage(200, 200, objects)
        moved = (boxes + random.normal(0, 4, boxes.shape)).tolist() + [[0, 0, *random.uniform(20, 90, 2)]] * 6
        found[name_of(n)] = [Detection("abc"[k % 3], tuple(box), random.random()) for k, box in enumerate(moved)]
    return truth, found


def test_a_resample_equals_cocoeval_on_repeated_images() -> None:
    truth, found = random_images(7)
    counts = np.array([[2, 0, 1, 3, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1]])
    copied_truth, copied_found = {}, {}
    for name, times in zip(sorted(truth), counts[0], strict=True):
        for copy in range(times):
            copied_truth[f"{name}-{copy}"], copied_found[f"{name}-{copy}"] = truth[name], found[name]
    copied = measure_boxes(copied_truth, copied_found).figures
    assert 0.05 < copied["AP"] < 0.95
    resampled = measure_boxes(truth, found).resampled(counts)
    assert [resampled["AP"][0], resampled["AP50"][0]] == pytest.approx([copied["AP"], copied["AP50"]], abs=1e-12)


def test_a_label_without_objects_in_a_resample_does_not_count_in_it() -> None:
    truth = {"a": TruthImage(200, 200, [Truth("cat", BOX)]), "b": TruthImage(200, 200, [Truth("dog", BOX)])}
    measure = measure_boxes(truth, {"a": [Detection("cat", BOX, 0.9)]})
    assert measure.ap50_by_label == {"cat": pytest.approx(1), "dog": 0}
    assert measure.resampled(np.array([[2, 0], [1, 1], [0, 2], [0, 0]]))["AP50"] == pytest.approx(
        [1, 0.5, 0, np.nan], nan_ok=True
    )


def test_the_interval_of_ninety_photos_contains_the_figure_and_is_deterministic() -> None:
    path = shared("coco_results") / "real_detectors" / "yolox_nano_dev_nms.json"
    instances = shared("coco/dev") / "instances.json"
    truth = coco_truth(instances)
    measure = measure_boxes(truth, coco_found(path, instances))
    low, high = interval(measure.resampled(resamples(90))["AP50"])
    assert low < measure.figures["AP50"] < high
    assert (low, high) == interval(measure.resampled(resamples(90))["AP50"])
    assert 0.05 < high - low < 0.2


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    measure_boxes(one(Truth("cat", BOX)), {"a": [Detection("cat", BOX, 0.9)]}).resampled(resamples(1, 5))
    assert capsys.readouterr() == ("", "")


def test_labels_are_compared_without_case_and_spaces() -> None:
    measure = measure_boxes(one(Truth("Cell  Phone", BOX)), {"a": [Detection("cell phone", BOX, 0.9)]})
    assert measure.ap50_by_label == {"cell phone": pytest.approx(1)}


def test_detections_with_a_label_unknown_to_the_truth_are_counted_but_change_no_figure() -> None:
    truth, cat, unicorn = one(Truth("cat", BOX)), Detection("cat", BOX, 0.5), Detection("unicorn", BOX, 0.9)
    with_both, alone = measure_boxes(truth, {"a": [cat, unicorn]}), measure_boxes(truth, {"a": [cat]})
    assert with_both.figures == pytest.approx(alone.figures, nan_ok=True)
    assert (with_both.predictions, alone.predictions) == (2, 1)


def test_without_labels_a_box_on_the_object_is_right_with_any_label() -> None:
    truth, found = one(Truth("cat", BOX)), {"a": [Detection("dog", BOX, 0.9)]}
    assert measure_boxes(truth, found).figures["AP50"] == 0
    agnostic = measure_boxes(truth, found, labels=False)
    assert agnostic.figures["AP50"] == pytest.approx(1)
    assert agnostic.ap50_by_label == {}


def square(x: int, side: int) -> str:
    mask = np.zeros((200, 200), np.uint8)
    mask[10 : 10 + side, x : x + side] = 1
    return masks.encode(mask)


def test_masks_are_compared_by_their_pixels_not_their_boxes() -> None:
    truth = one(Truth("cat", BOX, square(10, 50)))
    assert ap50(truth, Detection("cat", FAR, 0.9, square(12, 50)), masks=True) == pytest.approx(1)
    assert ap50(truth, Detection("cat", BOX, 0.9, square(100, 50)), masks=True) == 0


def test_a_detection_without_a_mask_is_left_out_of_masks() -> None:
    assert ap50(one(Truth("cat", BOX, square(10, 50))), Detection("cat", BOX, 0.9), masks=True) == 0


def test_detections_on_an_object_without_a_mask_are_ignored() -> None:
    truth = one(Truth("cat", BOX), Truth("cat", FAR, square(100, 50)))
    inside, right = Detection("cat", BOX, 0.9, square(10, 40)), Detection("cat", FAR, 0.5, square(100, 50))
    measure = measure_boxes(truth, {"a": [inside, right]}, masks=True)
    assert measure.truths == 1
    assert measure.figures["AP50"] == pytest.approx(1)


def test_the_size_of_an_object_is_its_area_or_that_of_its_mask_or_box() -> None:
    large = (0.0, 0.0, 100.0, 100.0)

    def sizes(thing: Truth) -> dict[str, bool]:
        figures = measure_boxes(one(thing), {"a": [Detection("cat", large, 0.9)]}).figures
        return {size: not np.isnan(figures[f"AP{size}"]) for size in "sml"}

    assert sizes(Truth("cat", large)) == {"s": False, "m": False, "l": True}
    assert sizes(Truth("cat", large, square(0, 50))) == {"s": False, "m": True, "l": False}
    assert sizes(Truth("cat", large, square(0, 50), area=9.0)) == {"s": True, "m": False, "l": False}


def test_a_figure_that_does_not_exist_is_nan() -> None:
    assert np.isnan(list(measure_boxes(one(), {"a": [Detection("cat", BOX, 0.9)]}).figures.values())).all()
    assert np.isnan(measure_boxes({}, {}).resampled(resamples(0, 2))["AP"]).all()


def test_predictions_of_an_image_without_truth_are_refused() -> None:
    with pytest.raises(EngineError, match=r"1 images without truth, such as 'b'"):
        measure_boxes(one(), {"b": []})


def ap50(truth: dict[str, TruthImage], *found: Detection, **options: Any) -> float:
    measure: BoxMeasure = measure_boxes(truth, {"a": found}, **options)
    return measure.figures["AP50"]
