from __future__ import annotations

import numpy as np
import pytest

from model.evaluate.grounding import GroundedPhrase, measure_grounding
from model.evaluate.resampling import interval, resamples

BOX = (10.0, 10.0, 60.0, 60.0)
NEAR = (10.0, 10.0, 60.0, 50.0)  # IoU with BOX 0.8
FAR = (100.0, 100.0, 150.0, 150.0)


def test_recall_at_one_uses_the_first_box_and_recall_at_five_the_first_five() -> None:
    measure = measure_grounding([GroundedPhrase(0, [FAR, NEAR], [BOX]), GroundedPhrase(0, [FAR] * 5 + [BOX], [BOX])])
    assert measure.figures == {"recall@1": 0, "recall@5": 0.5, "mean_iou": 0}


def test_a_phrase_is_found_if_any_of_its_true_boxes_is() -> None:
    measure = measure_grounding([GroundedPhrase(0, [NEAR], [FAR, BOX])])
    assert measure.figures == {"recall@1": 1, "recall@5": 1, "mean_iou": pytest.approx(0.8)}


def test_a_phrase_without_a_box_is_a_miss_and_one_without_truth_does_not_count() -> None:
    measure = measure_grounding([GroundedPhrase(0, [], [BOX]), GroundedPhrase(0, [BOX], [])])
    assert (measure.phrases, measure.answered, measure.figures["recall@5"]) == (1, 0, 0)


def test_an_iou_of_one_half_is_enough() -> None:
    half = (10.0, 10.0, 60.0, 35.0)
    assert measure_grounding([GroundedPhrase(0, [half], [BOX])]).figures["recall@1"] == 1
    assert measure_grounding([GroundedPhrase(0, [half], [BOX])], iou=0.51).figures["recall@1"] == 0


def test_without_phrases_there_is_no_figure() -> None:
    assert np.isnan(list(measure_grounding([]).figures.values())).all()


def test_a_resample_counts_the_phrases_of_the_images_drawn() -> None:
    phrases = [GroundedPhrase(0, [BOX], [BOX]), GroundedPhrase(1, [FAR], [BOX]), GroundedPhrase(1, [NEAR], [BOX])]
    measure = measure_grounding(phrases)
    drawn = measure.resampled(np.array([[2, 0], [1, 1], [0, 2]]))
    assert drawn["recall@1"].tolist() == pytest.approx([1, 2 / 3, 1 / 2])
    assert drawn["mean_iou"].tolist() == pytest.approx([1, 0.6, 0.4])
    assert interval(measure.resampled(resamples(2))["recall@1"]) == pytest.approx((0.5, 1))
