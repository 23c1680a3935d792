from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.scores.calibration import Calibration
from model.evaluate.boxes import measure_boxes
from model.evaluate.calibration import Point, calibration_error, calibration_errors, fit_isotonic, reliability
from model.evaluate.detections import Detection, TruthImage
from model.evaluate.matching import scored
from model.evaluate.resampling import Bools, Floats, interval, resamples
from tests.coco_results import DETECTORS, coco_found, coco_truth, some
from tests.shared_data import shared


def columns(*pairs: tuple[float, bool]) -> tuple[Floats, Bools]:
    scores, correct = zip(*pairs, strict=True)
    return np.array(scores, np.float64), np.array(correct, np.bool_)


def test_a_reliability_curve_has_a_point_for_each_bin_with_boxes() -> None:
    scores, correct = columns((0.1, False), (0.15, True), (0.95, True), (1.0, True))
    assert reliability(scores, correct) == [
        Point(pytest.approx(0.1), pytest.approx(0.2), 2, pytest.approx(0.125), 0.5),
        Point(pytest.approx(0.9), 1.0, 2, pytest.approx(0.975), 1.0),
    ]


def test_bins_of_equal_mass_have_equal_numbers_of_boxes() -> None:
    scores = np.array([0.01, 0.02, 0.03, 0.04, 0.5, 0.9])
    points = reliability(scores, scores > 0.1, bins=3, equal_mass=True)
    assert [point.count for point in points] == [2, 2, 2]
    assert [point.right for point in points] == [0, 0, 1]


def test_equal_scores_are_always_in_one_bin() -> None:
    scores = np.full(9, 0.3)
    assert [point.count for point in reliability(scores, scores > 1, bins=3, equal_mass=True)] == [9]


def test_the_error_is_the_weighted_distance_of_mean_score_and_share_right() -> None:
    scores, correct = columns((0.2, False), (0.2, False), (0.2, True), (0.9, True))
    assert calibration_error(scores, correct) == pytest.approx(0.75 * (1 / 3 - 0.2) + 0.25 * 0.1)
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, np.bool_)))


def test_a_resample_that_draws_an_image_twice_counts_its_boxes_twice() -> None:
    scores, correct = columns((0.2, False), (0.25, True), (0.9, True))
    errors = calibration_errors(scores, correct, np.array([0, 1, 1]), np.array([[1, 2], [1, 1]]))
    twice = calibration_error(np.append(scores, scores[1:]), np.append(correct, correct[1:]))
    assert errors.tolist() == pytest.approx([twice, calibration_error(scores, correct)])


def test_a_fitted_curve_never_falls_and_never_reaches_0_or_1() -> None:
    random = np.random.default_rng(0)
    scores = random.random(300).round(2)
    x, y = fit_isotonic(scores, random.random(300) < scores**2)
    assert np.all(np.diff(x) > 0)
    assert np.all(np.diff(y) >= 0)
    assert 0 < y[0] < 0.05
    assert 0.9 < y[-1] < 1
    assert np.abs(np.interp(scores, x, y) - scores**2).mean() < 0.06


def test_three_right_boxes_at_the_top_give_three_quarters() -> None:
    scores, correct = columns((0.1, False), (0.2, False), (0.8, True), (0.85, True), (0.9, True))
    _, y = fit_isotonic(scores, correct)
    assert (y[0], y[-1]) == pytest.approx((1 / 3, 3 / 4))


@pytest.mark.parametrize("correct", [True, False])
def test_a_curve_can_be_fitted_to_a_single_box(correct: bool) -> None:
    x, y = fit_isotonic(*columns((0.4, correct)))
    assert x.tolist() == [0.4]
    assert y.tolist() == pytest.approx([(1 + correct) / 3])


def test_a_curve_cannot_be_fitted_without_boxes() -> None:
    with pytest.raises(EngineError, match="there are none"):
        fit_isotonic(np.zeros(0), np.zeros(0, np.bool_))


def test_points_on_a_line_are_not_knots() -> None:
    scores = np.repeat(np.linspace(0.1, 0.9, 9), 40)
    x, y = fit_isotonic(scores, np.tile([True, False], 180))
    assert (x.tolist(), y.tolist()) == ([0.1, 0.9], pytest.approx([0.5, 0.5]))


def real(detector: str) -> tuple[Path, dict[str, list[Detection]]]:
    path = shared("coco_results") / "real_detectors" / f"{detector}_dev_nms.json"
    instances = shared("coco/dev") / "instances.json"
    return instances, coco_found(path, instances)


# The noise of 40 photos: a perfectly calibrated detector has a measured ECE of 0.016 there.
FLOOR = 0.02


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_curve_fitted_on_some_photos_calibrates_scores_of_others(detector: str) -> None:
    instances, found = real(detector)
    fit, test = (coco_truth(instances, split=split) for split in ("train2017", "val2017"))
    x, y = fit_isotonic(*scored(fit, some(found, fit))[:2])
    calibration = Calibration({detector: (x, y)})
    scores, right, image = scored(test, some(found, test))
    calibrated = calibration.apply([detector] * len(scores), scores)

    before, after = calibration_error(scores, right), calibration_error(calibrated, right)
    assert after <= max(before / 2, FLOOR)
    by_mass = [calibration_error(some_scores, right, equal_mass=True) for some_scores in (scores, calibrated)]
    assert by_mass[1] <= by_mass[0] / 2
    counts = resamples(len(test))
    low, high = interval(calibration_errors(calibrated, right, image, counts))
    assert low < after < high

    recalibrated = {name: rescored(calibration, detector, rows) for name, rows in some(found, test).items()}
    assert ap(test, recalibrated) == ap(test, some(found, test))


def rescored(calibration: Calibration, producer: str, rows: list[Detection]) -> list[Detection]:
    scores = calibration.apply([producer] * len(rows), np.array([row.score for row in rows]))
    return [dataclasses.replace(row, score=score) for row, score in zip(rows, scores.tolist(), strict=True)]


def ap(truth: dict[str, TruthImage], found: dict[str, list[Detection]]) -> dict[str, float]:
    return measure_boxes(truth, found).figures
