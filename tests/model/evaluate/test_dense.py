from __future__ import annotations

import numpy as np
import pytest

from engine.errors import EngineError
from model.evaluate.dense import Described, measure_dense, same_regions, token_f1

BOX = (10.0, 10.0, 60.0, 60.0)
NEAR = (10.0, 10.0, 60.0, 50.0)  # IoU with BOX 0.8
HALF = (10.0, 10.0, 60.0, 37.5)  # 0.55
FAR = (100.0, 100.0, 150.0, 150.0)
DOG = "a brown dog on the grass"


def figures(truth: list[Described], *found: Described) -> dict[str, float]:
    return measure_dense({"a": truth}, {"a": found}).figures


def test_texts_are_compared_as_bags_of_words_without_case_and_punctuation() -> None:
    assert token_f1("A brown dog.", "a brown DOG") == 1
    assert token_f1("a dog", "a brown dog runs") == pytest.approx(2 * 2 / (2 + 4))
    assert token_f1("dog dog", "dog") == pytest.approx(2 / 3)
    assert token_f1("", "dog") == token_f1("", "") == 0


def test_equal_boxes_with_equal_texts_have_a_map_of_one() -> None:
    assert figures([Described(BOX, DOG)], Described(BOX, DOG, 0.4)) == pytest.approx({"mAP": 1, "place": 1, "words": 1})


def test_a_box_is_right_at_the_thresholds_that_it_reaches() -> None:
    """IoU .55 reaches three of the five thresholds from .3 to .7; F1 .25 exceeds three of the six from 0 to .5."""
    found = figures([Described(BOX, DOG)], Described(HALF, "dog and", 0.9))
    assert token_f1("dog and", DOG) == pytest.approx(2 / 8)
    assert found == pytest.approx({"place": 3 / 5, "mAP": (3 * 3) / (5 * 6), "words": 0.25})


def test_a_similarity_at_the_threshold_is_not_enough() -> None:
    assert token_f1("dog", "dog cat bird") == 0.5  # the last threshold: one of six is not exceeded
    assert figures([Described(BOX, "dog cat bird")], Described(BOX, "dog"))["mAP"] == pytest.approx(5 / 6)
    assert figures([Described(BOX, DOG)], Described(BOX, "nothing like it"))["mAP"] == 0


def test_wrong_boxes_with_higher_scores_cost_precision() -> None:
    truth = [Described(BOX, DOG), Described(FAR, "a red bus")]
    right, wrong = Described(BOX, DOG, 0.5), Described((200.0, 0.0, 220.0, 20.0), DOG, 0.9)
    # Recall ends at 1/2, which 51 of the 101 points reach.
    assert figures(truth, right)["mAP"] == pytest.approx(51 / 101)
    assert figures(truth, right, wrong)["mAP"] == pytest.approx(51 / 101 / 2)
    assert figures(truth, right, Described(wrong.box, DOG, 0.1))["mAP"] == pytest.approx(51 / 101)


def test_a_region_is_matched_once_by_the_box_with_the_highest_score() -> None:
    truth = [Described(BOX, DOG), Described(FAR, "a red bus")]
    sure, again = Described(NEAR, "a cat", 0.9), Described(BOX, DOG, 0.8)
    assert figures(truth, sure, again)["place"] == pytest.approx(51 / 101)
    assert figures(truth, sure, again)["mAP"] == pytest.approx((3 / 6) * 51 / 101)  # "a": F1 .25 is above 0, .1 and .2
    assert token_f1("a cat", DOG) == 0.25


def test_human_boxes_on_the_same_object_are_one_region_with_several_texts() -> None:
    truth = [Described(NEAR, "a cup"), Described(BOX, DOG), Described(FAR, "a red bus")]
    assert same_regions(truth) == [((10, 10, 60, 55), ["a cup", DOG]), (FAR, ["a red bus"])]
    measure = measure_dense({"a": truth}, {"a": [Described(BOX, "a cup", 0.9), Described(FAR, "a red bus", 0.8)]})
    assert measure.regions == 2
    assert measure.figures["mAP"] == pytest.approx(1)


def test_a_resample_draws_the_boxes_of_an_image_together() -> None:
    truth = {"a": [Described(BOX, DOG)], "b": [Described(BOX, "a red bus")], "c": []}
    found = {"a": [Described(BOX, DOG, 0.3)], "b": [Described(FAR, "a red bus", 0.9)]}
    measure = measure_dense(truth, found)
    assert (measure.regions, measure.predictions) == (2, 2)
    drawn = measure.resampled(np.array([[3, 0, 0], [0, 2, 1], [1, 1, 1], [0, 0, 3]]))
    assert drawn["mAP"].tolist() == pytest.approx([1, 0, 51 / 101 / 2, np.nan], nan_ok=True)
    assert drawn["words"].tolist() == pytest.approx([1, np.nan, 1, np.nan], nan_ok=True)


def test_without_descriptions_there_is_no_figure() -> None:
    assert np.isnan(list(measure_dense({"a": []}, {"a": [Described(BOX, DOG)]}).figures.values())).all()
    assert np.isnan(measure_dense({}, {}).figures["mAP"])
    with pytest.raises(EngineError, match="images without truth"):
        measure_dense({}, {"a": []})
