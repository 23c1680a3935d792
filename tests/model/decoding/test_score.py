"""Scores of given targets, compared with the token probabilities of the plain network."""

from __future__ import annotations

import math

import pytest
import torch

from model.decoding.likelihood import TOLERANCE
from model.decoding.score import score
from tests.model.tiny import all_questions, noise, tiny

TARGET = "ball<loc_10><loc_20><loc_300><loc_400>red ring<loc_500><loc_6><loc_990><loc_80>"


def probabilities(task: str, target: str) -> torch.Tensor:
    """Log-probabilities, tokens x vocabulary, computed by transformers only."""
    florence = tiny()
    (asking,) = all_questions(1, [task])
    with torch.inference_mode():
        logits = florence.model(
            input_ids=torch.tensor([florence.prompt_ids(asking.prompt)]),
            pixel_values=florence.pixel_values(noise(1)),
            labels=torch.tensor([florence.target_ids(target)]),
        ).logits
    return logits[0].double().softmax(dim=-1)


def test_the_score_of_a_region_is_its_label_times_the_probability_near_its_locations() -> None:
    (answer,) = score(tiny(), noise(1), all_questions(1, ["<OD>"]), [TARGET])
    table, ids = probabilities("<OD>", TARGET), tiny().target_ids(TARGET)
    first, reach = tiny().vocabulary.first_location, round(TOLERANCE * 1000)
    for found, scores in zip(answer.parsed.regions, answer.likelihood.regions, strict=True):
        assert found.label_at
        label = [float(table[place, ids[place]]) for place in range(*found.label_at)]
        near, exact = [], []
        for place, _ in found.locations_at:
            bin_ = ids[place] - first
            near.append(float(table[place, first + max(0, bin_ - reach) : first + min(1000, bin_ + reach + 1)].sum()))
            exact.append(float(table[place, ids[place]]))
        assert scores.label == pytest.approx(math.prod(label), rel=1e-3, abs=0)
        assert scores.label_mean == pytest.approx(math.prod(label) ** (1 / len(label)), rel=1e-3, abs=0)
        assert scores.location == pytest.approx(math.prod(near) ** 0.25, rel=1e-3, abs=0)
        assert scores.score == pytest.approx(scores.label * scores.location, rel=1e-6, abs=0)
        both = [math.log(value) for value in (*label, *exact)]
        assert scores.mean_log_prob == pytest.approx(sum(both) / len(both), rel=1e-3, abs=0)


def test_the_mean_log_probability_of_a_target_is_the_training_loss() -> None:
    (answer,) = score(tiny(), noise(1), all_questions(1, ["<CAPTION>"]), ["a red ball"])
    table, ids = probabilities("<CAPTION>", "a red ball"), tiny().target_ids("a red ball")
    due = [math.log(float(table[place, token])) for place, token in enumerate(ids)]
    assert answer.likelihood.mean_log_prob == pytest.approx(sum(due[1:]) / len(due[1:]), rel=1e-3, abs=0)
    assert answer.likelihood.text == pytest.approx(math.exp(sum(due[1:-1]) / len(due[1:-1])), rel=1e-3, abs=0)


def test_a_region_with_a_description_is_scored_by_the_mean_of_its_tokens() -> None:
    box = "<loc_10><loc_20><loc_300><loc_400>"
    (answer,) = score(tiny(), noise(1), all_questions(1, ["<DENSE_REGION_CAPTION>"]), [f"a small red ball{box}"])
    (scores,) = answer.likelihood.regions
    assert scores.score == pytest.approx(scores.label_mean * scores.location, abs=0)
    assert scores.label < scores.label_mean


def test_later_parts_of_a_target_do_not_change_scores_of_earlier_ones() -> None:
    other = TARGET.replace("red ring", "blue ring").replace("<loc_990>", "<loc_700>")
    one, two = score(tiny(), noise(1), all_questions(1, ["<OD>"]) * 2, [TARGET, other])
    assert two.likelihood.regions[0] == pytest.approx(one.likelihood.regions[0], rel=1e-3, abs=0)
    assert two.likelihood.regions[1].label != pytest.approx(one.likelihood.regions[1].label, rel=1e-2, abs=0)


def test_the_score_of_a_target_does_not_depend_on_the_rest_of_the_batch() -> None:
    targets = ["a", TARGET, "a red ball and two blue rings", "ball<loc_1><loc_2><loc_3><loc_4>"]
    tasks = ["<CAPTION>", "<OD>", "<DETAILED_CAPTION>", "<OD>"]
    questions = [all_questions(1, [task])[0] for task in tasks]
    together = score(tiny(), noise(1), questions, targets)
    for asking, target, answer in zip(questions, targets, together, strict=True):
        (alone,) = score(tiny(), noise(1), [asking], [target])
        assert alone.likelihood.mean_log_prob == pytest.approx(answer.likelihood.mean_log_prob, abs=1e-4)
        assert alone.parsed == answer.parsed


def test_faults_of_a_target_are_reported_and_its_valid_regions_scored() -> None:
    (answer,) = score(tiny(), noise(1), all_questions(1, ["<OD>"]), ["ball<loc_9>ring<loc_1><loc_2><loc_3><loc_4>"])
    assert [fault.reason for fault in answer.parsed.faults] == ["location_count"]
    assert len(answer.likelihood.regions) == 1


def test_a_target_that_is_too_long_or_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="the decoder holds 1024"):
        score(tiny(), noise(1), all_questions(1, ["<CAPTION>"]), ["a b " * 1024])
    with pytest.raises(ValueError, match="1 targets for 15 questions"):
        score(tiny(), noise(1), all_questions(1), ["a"])
