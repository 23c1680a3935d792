import functools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import agree, candidates
from engine.component import Specialist
from engine.errors import ConfigError
from engine.running.graph import build
from engine.schema import Answer, Region, Sample
from engine.scores.calibration import Calibration
from engine.scores.fusion import CONTEXT, FittedFusion
from model.evaluate.boxes import measure_boxes
from model.evaluate.calibration import calibration_error
from model.evaluate.detections import Detection, TruthImage
from model.evaluate.matching import scored
from pipelines.evaluation.fit_fusion import fit_fusion
from specialists import CATALOG
from specialists.consensus import Consensus
from tests.coco_results import DETECTORS, as_regions, coco_found, coco_truth, some
from tests.dev_photos import detected, dev_photos
from tests.shared_data import shared

BOX = (10.0, 10.0, 60.0, 60.0)
NEAR = (12.0, 10.0, 62.0, 60.0)  # IoU with BOX 0.92
FAR = (100.0, 100.0, 150.0, 150.0)


def box_by(producer: str, n: int, box: tuple[float, ...], score: float | None, label: str = "cat") -> Region:
    region = Region(*box, label=label, id=f"{producer}/{n}", score=score, producer=producer)  # type: ignore[misc]
    region.score_kind = "confidence" if score is not None else ""
    return region


def fuse(*regions: Region, **options: object) -> list[Region]:
    consensus: Specialist = Consensus(**options)  # type: ignore[arg-type]
    consensus.load()
    return list(consensus.annotate([Sample("a", 200, 200, regions=list(regions))])[0].regions)


def alive(regions: list[Region]) -> list[Region]:
    return [region for region in regions if not region.merged_into]


def by_id(regions: list[Region]) -> dict[str, Region]:
    return {region.id: region for region in regions}


def test_boxes_of_two_detectors_on_one_object_become_one_region() -> None:
    out = fuse(box_by("a", 0, BOX, 0.6), box_by("b", 0, NEAR, 0.6))
    (fused,) = alive(out)
    assert (fused.id, fused.label, fused.score_kind) == ("0", "cat", "consensus")
    assert fused.score == pytest.approx((1 - 0.4 * 0.4 + 0.6) / 2)
    assert (fused.x1, fused.y1, fused.x2, fused.y2) == pytest.approx((11, 10, 61, 60))
    assert fused.support == fused.parents == ["a/0", "b/0"]


def test_every_candidate_is_returned_with_the_region_it_was_merged_into() -> None:
    out = fuse(box_by("a", 0, BOX, 0.6), box_by("b", 0, NEAR, 0.5), box_by("b", 1, FAR, 0.9))
    assert {r.id: r.merged_into for r in out if "/" in r.id} == {"a/0": "0", "b/0": "0", "b/1": "1"}
    weak = by_id(out)["b/0"]
    assert (weak.producer, weak.score, weak.score_kind, weak.x1) == ("b", 0.5, "confidence", 12.0)


def test_a_single_detector_keeps_its_boxes_and_scores_exactly() -> None:
    (fused,) = alive(fuse(box_by("a", 0, BOX, 0.3)))
    assert (fused.score, fused.x1, fused.y1, fused.x2, fused.y2) == (0.3, *BOX)


def test_a_weak_box_that_another_detector_confirms_is_kept() -> None:
    out = alive(fuse(box_by("a", 0, BOX, 0.04), box_by("b", 0, BOX, 0.04), box_by("a", 1, FAR, 0.06)))
    assert [region.support for region in out] == [["a/0", "b/0"], ["a/1"]]


def test_fused_regions_come_best_first() -> None:
    out = alive(fuse(box_by("a", 0, FAR, 0.2), box_by("a", 1, BOX, 0.7)))
    assert [(region.id, region.score) for region in out] == [("0", 0.7), ("1", 0.2)]


def test_different_labels_are_different_objects() -> None:
    assert len(alive(fuse(box_by("a", 0, BOX, 0.6), box_by("b", 0, BOX, 0.6, "dog")))) == 2


def test_labels_that_differ_only_in_case_are_equal() -> None:
    (fused,) = alive(fuse(box_by("a", 0, BOX, 0.6, "Cell  Phone"), box_by("b", 0, BOX, 0.5, "cell phone")))
    assert fused.label == "Cell  Phone"


def test_duplicates_of_one_producer_are_merged_and_do_not_support_the_region() -> None:
    out = fuse(box_by("a", 0, BOX, 0.6), box_by("a", 1, NEAR, 0.5))
    (fused,) = alive(out)
    assert (fused.score, fused.support) == (0.6, ["a/0"])
    assert by_id(out)["a/1"].merged_into == fused.id


def test_a_producer_has_one_box_in_a_cluster() -> None:
    left, middle, right = (0, 0, 40, 40), (10, 0, 50, 40), (20, 0, 60, 40)  # neighbours overlap 0.6, the ends 0.33
    out = fuse(box_by("a", 0, left, 0.5), box_by("a", 1, right, 0.4), box_by("b", 0, middle, 0.9))
    assert [region.support for region in alive(out)] == [["b/0", "a/0"], ["a/1"]]


def test_a_box_joins_the_one_it_overlaps_most() -> None:
    left, right = (0.0, 0.0, 40.0, 40.0), (20.0, 0.0, 60.0, 40.0)
    out = fuse(box_by("a", 0, left, 0.9), box_by("a", 1, right, 0.6), box_by("b", 0, (13, 0, 53, 40), 0.5), iou=0.4)
    assert [region.support for region in alive(out)] == [["a/1", "b/0"], ["a/0"]]


def test_detected_boxes_are_merged_into_human_boxes_which_do_not_change() -> None:
    human = box_by("human", 0, BOX, None)
    out = fuse(human, box_by("a", 0, NEAR, 0.9), box_by("b", 0, NEAR, 0.8))
    (kept,) = alive(out)
    assert (kept.id, kept.producer, kept.score, kept.x1) == ("human/0", "human", None, 10.0)
    assert kept.support == ["a/0", "b/0"]
    assert {region.merged_into for region in out if region.score is not None} == {"human/0"}


def test_no_box_is_merged_into_a_human_box_with_another_label() -> None:
    assert len(alive(fuse(box_by("human", 0, BOX, None, "dog"), box_by("a", 0, BOX, 0.9)))) == 2


def test_human_boxes_never_merge_into_each_other() -> None:
    out = fuse(box_by("human", 0, BOX, None), box_by("human", 1, NEAR, None), box_by("a", 0, NEAR, 0.9))
    assert [(region.id, region.support) for region in alive(out)] == [("human/0", []), ("human/1", ["a/0"])]


def test_the_regions_of_the_sample_are_not_changed() -> None:
    human, machine = box_by("human", 0, BOX, None), box_by("a", 0, BOX, 0.9)
    fuse(human, machine)
    assert (human.support, machine.merged_into) == ([], "")


def test_a_box_without_area_in_the_image_is_no_candidate() -> None:
    broken = [(300, 10, 400, 60), (20, 20, 20, 40), (float("nan"), 0, 5, 5)]
    out = fuse(*(box_by("a", n, box, 0.9) for n, box in enumerate(broken)), box_by("a", 9, BOX, 0.5))
    assert [region.id for region in out] == ["0", "a/9"]


def test_a_fused_box_lies_in_the_image() -> None:
    (fused,) = alive(fuse(box_by("a", 0, (-20, -20, 60, 60), 0.5)))
    assert (fused.x1, fused.y1) == (0, 0)


def test_a_producer_with_more_votes_moves_score_and_box() -> None:
    pair = box_by("a", 0, BOX, 0.5), box_by("b", 0, NEAR, 0.5)
    (fused,) = alive(fuse(*pair, votes={"b": 3.0}))
    assert fused.score == pytest.approx((1 - 0.5 * 0.5**3 + 0.5) / 2)
    assert fused.x1 == pytest.approx(11.5)


def calibrated(folder: Path, **curves: tuple[list[float], list[float]]) -> str:
    path = folder / "calibration.json"
    path.write_text(json.dumps({name: {"x": x, "y": y} for name, (x, y) in curves.items()}))
    return str(path)


def test_scores_are_calibrated_before_they_are_combined(tmp_path: Path) -> None:
    path = calibrated(tmp_path, a=([0.0, 1.0], [0.0, 0.5]))
    (fused,) = alive(fuse(box_by("a", 0, BOX, 0.8), box_by("b", 0, NEAR, 0.8), calibration=path))
    assert 0.55 < fused.score < alive(fuse(box_by("a", 0, BOX, 0.8), box_by("b", 0, NEAR, 0.8)))[0].score


def test_a_candidate_keeps_its_own_score(tmp_path: Path) -> None:
    out = fuse(box_by("a", 0, BOX, 0.8), calibration=calibrated(tmp_path, a=([0.5], [0.1])))
    assert (by_id(out)["a/0"].score, alive(out)[0].score) == (0.8, pytest.approx(0.1))


def test_of_two_boxes_with_equal_probability_the_raw_score_decides(tmp_path: Path) -> None:
    path = calibrated(tmp_path, a=([0.5], [0.1]))
    out = by_id(fuse(box_by("a", 0, BOX, 0.8), box_by("a", 1, NEAR, 0.9), calibration=path))
    assert alive(list(out.values()))[0].support == ["a/1"]


def test_the_key_depends_on_the_content_of_the_calibration_and_not_on_its_path(tmp_path: Path) -> None:
    def key(folder: str, height: float) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        path = calibrated(tmp_path / folder, a=([0.5], [height]))
        nodes = build({"a": {"use": "fake_detector"}, "objects": {"use": "consensus", "calibration": path}}, CATALOG)
        return nodes[1].key

    assert key("here", 0.1) == key("there", 0.1) != key("here", 0.2)
    plain = build({"a": {"use": "fake_detector"}, "objects": {"use": "consensus"}}, CATALOG)[1].key
    assert plain != key("here", 0.1)


def test_a_missing_calibration_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"'nowhere\.json': correct the path"):
        build({"a": {"use": "fake_detector"}, "objects": {"use": "consensus", "calibration": "nowhere.json"}}, CATALOG)


def test_a_score_of_one_stays_one_if_all_detectors_agree() -> None:
    (fused,) = alive(fuse(box_by("a", 0, BOX, 1.0), box_by("b", 0, BOX, 1.0)))
    assert fused.score == 1.0


def scores_of(*regions: Region, ran: tuple[str, ...]) -> list[float]:
    answer = Consensus().annotate([Sample("a", 200, 200, regions=list(regions), detectors=ran)])[0]
    return [region.score or 0.0 for region in alive(list(answer.regions))]


def test_a_detector_that_ran_and_has_no_box_lowers_the_score() -> None:
    box = box_by("a", 0, BOX, 0.8)
    (alone,) = scores_of(box, ran=("a",))
    (doubted,) = scores_of(box, ran=("a", "b"))
    (doubted_twice,) = scores_of(box, ran=("a", "b", "c"))
    assert alone == 0.8
    assert 0.8 > doubted > doubted_twice > 0.3


def test_a_confirming_detector_raises_the_score_more_than_one_without_a_box() -> None:
    (confirmed,) = scores_of(box_by("a", 0, BOX, 0.6), box_by("b", 0, NEAR, 0.6), ran=("a", "b", "c"))
    (alone,) = scores_of(box_by("a", 0, BOX, 0.6), ran=("a", "b", "c"))
    assert confirmed > 0.6 > alone


def test_a_detector_whose_boxes_nobody_confirms_has_less_weight() -> None:
    agreed = box_by("a", 0, BOX, 0.6), box_by("b", 0, NEAR, 0.6)
    junk = [box_by("c", n, (4.0 * n, 150, 4.0 * n + 3, 190), 0.6) for n in range(40)]
    scores = scores_of(*agreed, *junk, ran=("a", "b", "c"))
    assert scores[0] > 0.6
    assert max(scores[1:]) < 0.1


def test_the_order_of_detectors_does_not_matter() -> None:
    regions = [box_by("a", 0, BOX, 0.6), box_by("b", 0, NEAR, 0.5), box_by("c", 0, FAR, 0.7)]
    one = scores_of(*regions, ran=("a", "b", "c"))
    assert scores_of(*regions[::-1], ran=("c", "b", "a")) == pytest.approx(one)


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"weight 0\.0 for 'a'"):
        Consensus(votes={"a": 0.0})


def test_an_image_without_boxes_has_an_empty_answer() -> None:
    assert Consensus().annotate([Sample("a", 9, 9)]) == [Answer()]
    assert Consensus().annotate([]) == []


def test_answers_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(1)
    samples = []
    for n in range(6):
        corners = rng.uniform(0, 100, (40, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(20, 80, (40, 2))], axis=1).tolist()
        scores = [*rng.random(36).tolist(), *[None] * 4]
        who = [*(("a", "b", "c")[k % 3] for k in range(36)), *["human"] * 4]
        regions = [box_by(who[k], k, tuple(boxes[k]), scores[k], "xy"[k % 2]) for k in range(40)]
        samples.append(Sample(str(n), 200, 200, regions=regions))
    together = Consensus().annotate(samples)
    assert together == [Consensus().annotate([sample])[0] for sample in samples]
    for sample, answer in zip(samples, together, strict=True):
        assert {r.id for r in sample.regions} <= {r.id for r in answer.regions}
        assert {r.merged_into for r in answer.regions if r.merged_into} <= {r.id for r in alive(answer.regions)}


def test_two_real_detectors_together_are_better_than_the_best_one() -> None:
    photos = dev_photos()
    found = {name: detected(name) for name in ("yolox_nano", "nanodet_m")}
    fused, _ = agree(found, photos)
    assert photos.average_precision(fused)[0] >= 0.448  # the better one alone: 0.441
    assert len(candidates({name: answers[0] for name, answers in found.items()})) > len(fused[0])


@pytest.mark.parametrize("detectors", [DETECTORS[:2], DETECTORS], ids=["two", "three"])
def test_fusion_without_labels_is_better_than_the_best_detector(detectors: tuple[str, ...]) -> None:
    found, truth = dev_found(detectors)
    best = max(measure_boxes(truth, some(found[name], truth)).figures["AP50"] for name in detectors)
    ap50 = measure_boxes(truth, some(fused(found, truth), truth)).figures["AP50"]
    assert ap50 >= best + (0.01 if len(detectors) == 3 else 0.003)


@pytest.mark.parametrize("detectors", [DETECTORS[:2], DETECTORS], ids=["two", "three"])
def test_a_fit_on_some_photos_is_better_on_others(detectors: tuple[str, ...], tmp_path: Path) -> None:
    instances = shared("coco/dev") / "instances.json"
    found, _ = dev_found(detectors)
    fit, test = coco_truth(instances, split="train2017"), coco_truth(instances, split="val2017")
    calibration, held = fit_fusion(fit, {name: some(boxes, fit) for name, boxes in found.items()})
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(calibration.as_json()))
    best = max(measure_boxes(test, some(found[name], test)).figures["AP50"] for name in detectors)
    answer = some(fused(found, test, calibration=str(path)), test)
    assert measure_boxes(test, answer).figures["AP50"] >= best + 0.01
    assert held is not None
    assert calibration.fusion is not None
    scores, right, _ = scored(test, answer)
    over = scores >= calibration.fusion.floor
    assert calibration_error(scores[over], right[over]) <= 0.12  # 40 photos: noise alone makes some .05


def test_a_detector_that_was_not_part_of_the_fit_is_refused(tmp_path: Path) -> None:
    fusion = FittedFusion(("a", "b"), np.zeros(2 * 2 + CONTEXT), 0.0, 0.3)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(Calibration({"a": (np.array([0.5]), np.array([0.5]))}, fusion).as_json()))
    assert alive(fuse(box_by("a", 0, BOX, 0.6), calibration=str(path)))[0].score == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="without the detector 'c': fit again"):
        fuse(box_by("c", 0, BOX, 0.6), calibration=str(path))


@functools.cache
def dev_found(detectors: tuple[str, ...]) -> tuple[dict[str, dict[str, list[Detection]]], dict[str, TruthImage]]:
    instances, results = shared("coco/dev") / "instances.json", shared("coco_results")
    found = {name: coco_found(results / "real_detectors" / f"{name}_dev_nms.json", instances) for name in detectors}
    return found, coco_truth(instances)


def fused(
    found: dict[str, dict[str, list[Detection]]], truth: dict[str, TruthImage], **options: str
) -> dict[str, list[Detection]]:
    consensus = Consensus(**options)  # type: ignore[arg-type]
    consensus.load()
    samples = [
        Sample(name, i.width, i.height, regions=as_regions(found, name), detectors=tuple(found))
        for name, i in truth.items()
    ]
    return {
        sample.image_id: [
            Detection(r.label, (r.x1, r.y1, r.x2, r.y2), r.score or 0.0) for r in alive(list(answer.regions))
        ]
        for sample, answer in zip(samples, consensus.annotate(samples), strict=True)
    }
