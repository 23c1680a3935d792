"""What a model answers: whole, in order, the same alone and among others, scored as teacher forcing scores it."""

from __future__ import annotations

import pytest

from model.prediction import predict
from model.prompts import TASKS
from model.scoring import score
from tests.model.tiny import asked, noise, tiny


@pytest.mark.parametrize("location", ["argmax", "median"])
def test_scores_of_answers_are_those_of_teacher_forcing(location: str) -> None:
    images, asks = noise(4), asked(4)
    said = predict(tiny(), images, asks, max_new_tokens=32, location=location)  # type: ignore[arg-type]
    forced = score(tiny(), images, asks, [answer.ids for answer in said])
    assert sum(len(answer.parsed.found) for answer in said) > 10
    for answer, again in zip(said, forced, strict=True):
        assert again.parsed == answer.parsed
        assert again.likelihood.text == pytest.approx(answer.likelihood.text, abs=1e-4)
        assert again.likelihood.mean_log_prob == pytest.approx(answer.likelihood.mean_log_prob, abs=1e-4)
        for found, same in zip(answer.likelihood.found, again.likelihood.found, strict=True):
            assert found == pytest.approx(same, abs=1e-4)


def test_every_task_is_answered_without_a_fault_and_within_the_limit() -> None:
    said = predict(tiny(), noise(2), asked(2), max_new_tokens=24)
    assert len(said) == 2 * len(TASKS)
    for answer in said:
        assert not answer.parsed.faults
        assert len(answer.ids) <= 24
        assert answer.ids[-1] == tiny().vocabulary.eos
