"""Predictions: complete, in order, independent of the batch, and scored as by teacher forcing."""

from __future__ import annotations

import pytest
import torch

from model.decoding.predict import Location, Prediction, predict
from model.decoding.score import score
from model.florence2_tasks import TASKS
from model.network.encoding import encode_images, make_question
from tests.model.tiny import all_questions, led, noise, tiny

TWO_BOXES = "ball<loc_10><loc_20><loc_300><loc_400>ring<loc_500><loc_6><loc_700><loc_80>"


def same(one: Prediction, other: Prediction) -> bool:
    """Whether two predictions are equal except for the last digits, which depend on the batch size."""
    close = one.likelihood.mean_log_prob == pytest.approx(other.likelihood.mean_log_prob, abs=1e-4)
    pairs = list(zip(one.likelihood.regions, other.likelihood.regions, strict=False))
    return bool(
        (one.ids, one.parsed, one.cut) == (other.ids, other.parsed, other.cut)
        and close
        and one.likelihood.text == pytest.approx(other.likelihood.text, abs=1e-4)
        and len(one.likelihood.regions) == len(other.likelihood.regions)
        and all(found == pytest.approx(again, abs=1e-4) for found, again in pairs)
    )


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("location", ["argmax", "median"])
def test_scores_of_answers_equal_those_by_teacher_forcing(location: Location, constrained: bool) -> None:
    images, questions = noise(4), all_questions(4)
    answers = predict(tiny(), images, questions, max_new_tokens=24, location=location, constrained=constrained)
    forced = score(tiny(), images, questions, [answer.ids for answer in answers])
    assert sum(len(answer.ids) for answer in answers) > 600
    for answer, again in zip(answers, forced, strict=True):
        assert same(answer, Prediction(again.ids, again.parsed, again.likelihood, answer.cut))


def test_every_task_is_answered_without_a_fault_and_within_the_limit() -> None:
    answers = predict(tiny(), noise(2), all_questions(2), max_new_tokens=24)
    assert len(answers) == 2 * len(TASKS)
    for answer in answers:
        assert not answer.parsed.faults
        assert len(answer.ids) <= 24
        assert answer.ids[-1] == tiny().vocabulary.eos
        assert answer.cut == (len(answer.ids) == 24)
    assert sum(len(answer.parsed.regions) for answer in answers) > 10


def test_an_answer_does_not_depend_on_the_rest_of_the_batch() -> None:
    images, questions = noise(3), all_questions(3)
    together = predict(tiny(), images, questions, max_new_tokens=16)
    for number in range(0, len(questions), 4):
        (alone,) = predict(
            tiny(), [images[questions[number].image]], [questions[number]._replace(image=0)], max_new_tokens=16
        )
        assert same(alone, together[number])


def test_answers_are_in_the_order_of_the_questions_for_any_batch_size() -> None:
    images, questions = noise(3), all_questions(3)
    questions = [
        questions[number]
        for number in torch.randperm(len(questions), generator=torch.Generator().manual_seed(0)).tolist()
    ]
    small = predict(tiny(), images, questions, max_new_tokens=12, batch_size=2)
    large = predict(tiny(), images, questions, max_new_tokens=12, batch_size=64)
    assert all(same(one, other) for one, other in zip(small, large, strict=True))


def test_the_vision_tower_runs_once_for_each_image() -> None:
    seen: list[int] = []
    tower = tiny().model.model.vision_tower
    hook = tower.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    try:
        images = encode_images(tiny(), noise(3))
        predict(tiny(), images, all_questions(3), max_new_tokens=4)
        score(tiny(), images, all_questions(3), ["a"] * 3 * len(TASKS))
        assert seen == [3]
        predict(tiny(), noise(5), all_questions(5), max_new_tokens=4, batch_size=2)
        assert seen == [3, 2, 2, 1]
    finally:
        hook.remove()


def test_boxes_are_in_pixels_of_the_image_as_given() -> None:
    image = noise(1)  # 90 x 50
    (answer,) = score(tiny(), image, all_questions(1, ["<OD>"]), [TWO_BOXES])
    assert answer.parsed.regions[0].box == pytest.approx((0.945, 1.025, 27.045, 20.025))


def test_faults_of_a_free_answer_are_reported_and_not_repaired() -> None:
    broken = tiny().target_ids("ball<loc_9><loc_9><loc_1><loc_1>ring<loc_5>")
    with led(tiny(), broken, 100):
        (answer,) = predict(tiny(), noise(1), all_questions(1, ["<OD>"]), constrained=False, max_new_tokens=24)
    assert answer.ids == broken
    assert not answer.parsed.regions
    assert [fault.reason for fault in answer.parsed.faults] == ["inverted_box", "location_count"]


def test_the_median_location_has_half_the_probability_before_it() -> None:
    words = tiny().vocabulary

    def spread(_: object, args: object, logits: torch.Tensor) -> torch.Tensor:
        """One location is the most probable, but most of the probability is on larger ones."""
        logits[:] = -30.0
        for bin_, share in {100: 0.4, 600: 0.35, 650: 0.25}.items():
            logits[..., words.first_location + bin_] = torch.tensor(share).log()
        return logits

    hook = tiny().model.lm_head.register_forward_hook(spread)
    try:
        bins = {
            location: predict(
                tiny(),
                noise(1),
                all_questions(1, ["<REGION_PROPOSAL>"]),
                location=location,
                constrained=False,
                max_new_tokens=3,
            )[0].ids[:2]
            for location in ("argmax", "median")
        }
    finally:
        hook.remove()
    assert bins == {"argmax": [words.first_location + 100] * 2, "median": [words.first_location + 600] * 2}


def test_a_prompt_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="after 17 image tokens is too long: the encoder reads 1024"):
        predict(tiny(), noise(1), [make_question(0, "<CAPTION_TO_PHRASE_GROUNDING>", "a b " * 1024)])
