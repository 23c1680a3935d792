"""Texts with a score are passed on, so that rules judge them; texts without a score, by people, are not."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError
from engine.records.answers import check_answer, number
from engine.schema import Sample, Text
from specialists.human import Human
from specialists.source_texts import SourceTexts


def sample() -> Sample:
    alt = Text("A cat for sale.", "brief", id="web/0", producer="web", score=1.0, score_kind="given")
    return Sample("0" * 32, 10, 10, texts=[Text("A cat.", "brief", id="human/0", producer="human"), alt])


def test_texts_with_a_score_are_passed_on_with_their_producer() -> None:
    given = sample()
    (answer,) = SourceTexts().annotate([given])
    assert answer.texts == [given.texts[1]]
    assert check_answer(answer, given, SourceTexts.gives) == ""
    number(answer, "alt")
    assert (answer.texts[0].id, answer.texts[0].producer) == ("web/0", "web")


def test_source_texts_and_human_together_pass_on_every_text_once() -> None:
    given = sample()
    texts = [text for kind in (Human(), SourceTexts()) for text in kind.annotate([given])[0].texts]
    assert texts == given.texts


def test_texts_get_the_granularity_of_the_option() -> None:
    assert SourceTexts(granularity="detailed").annotate([sample()])[0].texts[0].granularity == "detailed"
    with pytest.raises(ConfigError, match="did you mean 'detailed'"):
        SourceTexts(granularity="detail")
