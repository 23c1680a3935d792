from __future__ import annotations

import contextlib
import io

from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.matching import matched, scored
from tests.coco_results import coco_found, coco_truth
from tests.shared_data import shared

BOX = (10.0, 10.0, 60.0, 60.0)
NEAR = (14.0, 10.0, 64.0, 60.0)
FAR = (100.0, 100.0, 150.0, 150.0)


def right(truth: list[Truth], *found: Detection) -> list[bool]:
    hits: list[bool] = matched(truth, found)[0].tolist()
    return hits


def test_an_object_is_matched_once_by_the_box_with_the_highest_score() -> None:
    assert right([Truth("cat", BOX)], Detection("cat", BOX, 0.5), Detection("cat", NEAR, 0.9)) == [False, True]


def test_a_box_is_matched_to_the_free_object_that_it_overlaps_most() -> None:
    truth = [Truth("cat", BOX), Truth("cat", NEAR)]
    first, second, third = Detection("cat", NEAR, 0.9), Detection("cat", NEAR, 0.8), Detection("cat", BOX, 0.7)
    assert right(truth, first, second, third) == [True, True, False]


def test_a_box_with_another_label_or_elsewhere_is_wrong() -> None:
    assert right([Truth("cat", BOX)], Detection("dog", BOX, 0.5), Detection("cat", FAR, 0.9)) == [False, False]


def test_all_boxes_in_a_crowd_are_ignored() -> None:
    truth = [Truth("cat", (0, 0, 100, 100), crowd=True), Truth("cat", BOX)]
    small = Detection("cat", (70, 70, 90, 90), 0.9)
    hits, ignored = matched(truth, [Detection("cat", BOX, 0.5), small, small, Detection("cat", FAR, 0.9)])
    assert hits.tolist() == [True, False, False, False]
    assert ignored.tolist() == [False, True, True, False]


def test_real_detectors_boxes_are_right_where_cocoeval_matches_them() -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path = shared("coco_results") / "real_detectors" / "nanodet_m_dev_nms.json"
    instances = shared("coco/dev") / "instances.json"
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(instances))
        measure = COCOeval(coco, coco.loadRes(str(path)), "bbox")
        measure.evaluate()
    matches = [
        (e["image_id"], score, bool(hit), bool(ignore))
        for e in measure.evalImgs
        if e is not None and e["aRng"] == measure.params.areaRng[0]
        for score, hit, ignore in zip(e["dtScores"], e["dtMatches"][0], e["dtIgnore"][0], strict=True)
    ]
    truth = coco_truth(instances)
    scores, hits, image = scored(truth, coco_found(path, instances))
    names = sorted(truth)
    ours = sorted((int(names[i]), s, bool(h)) for s, h, i in zip(scores, hits, image, strict=True))
    assert ours == sorted((i, s, h) for i, s, h, ignore in matches if not ignore)
    assert hits.sum() > 400
    assert len(ours) < len(matches)  # some lie in crowds


def test_an_image_without_detections_keeps_its_row() -> None:
    truth = {"a": TruthImage(9, 9), "b": TruthImage(200, 200, [Truth("cat", BOX)])}
    scores, hits, image = scored(truth, {"b": [Detection("cat", BOX, 0.5)]})
    assert (scores.tolist(), hits.tolist(), image.tolist()) == ([0.5], [True], [1])
    assert [len(column) for column in scored(truth, {})] == [0, 0, 0]


def test_overlap_at_the_threshold_is_enough() -> None:
    half = Detection("cat", (10.0, 10.0, 60.0, 35.0), 0.9)
    assert right([Truth("cat", BOX)], half) == [True]
    assert matched([Truth("cat", BOX)], [half], iou=0.51)[0].tolist() == [False]
    assert right([], half) == [False]
