from __future__ import annotations

import pytest

from pipelines.evaluation.truth import Truths
from pipelines.refine.audit import _cider
from tests.builders import region, row, text

PEOPLE = {"a": ["A red ball lies here."], "b": ["Two black cats sleep."], "c": ["An old tree stands."], "d": []}


def test_an_image_counts_with_the_mean_of_its_captions_and_with_0_without_any() -> None:
    truth = Truths("", captions=PEOPLE)
    right, wrong = text(PEOPLE["a"][0]), text("Nothing of the kind.")
    rows = {"a": row("a", texts=[right]), "b": row("b", texts=[wrong]), "d": row("d", texts=[right])}

    alone = _cider(rows, truth)
    both = _cider(rows | {"a": row("a", texts=[wrong, right])}, truth)

    assert alone.tolist() == pytest.approx([10.0, 0.0, 0.0])
    assert both.tolist() == pytest.approx([5.0, 0.0, 0.0])


def test_texts_by_people_and_longer_texts_are_not_measured() -> None:
    truth = Truths("", captions=PEOPLE)
    texts = [text(PEOPLE["a"][0], score=None), text(PEOPLE["a"][0], "detailed")]

    assert _cider({"a": row("a", texts=texts, regions=[region()])}, truth).tolist() == [0.0, 0.0, 0.0]
