"""The captioner of the experiments on texts: its captions can be parsed back, and its errors have the given rates."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.experiments.writers import NoisyCaptions, caption, facts
from engine.schema import Sample
from specialists.synthetic.shapes import CLASSES
from specialists.synthetic.world import scenes


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("label", CLASSES)
def test_counts_in_a_caption_are_parsed_back(label: str, number: int) -> None:
    labels = [label] * number + [CLASSES[0]]
    assert facts(caption(labels)) == Counter(labels)


def test_without_errors_all_captions_are_true_and_with_errors_some_are_not() -> None:
    drawn = [(Sample(str(one.index), 96, 96, regions=one.truth.regions), one) for one in scenes("world://?images=60")]
    samples = [sample for sample, _ in drawn]
    true = [facts(next(t.text for t in one.truth.texts if t.granularity == "brief")) for _, one in drawn]

    def right(captioner: NoisyCaptions) -> float:
        counted = [facts(answer.texts[0].text) for answer in captioner.annotate(samples)]
        return sum(a == b for a, b in zip(counted, true, strict=True)) / len(true)

    assert right(NoisyCaptions(miss=0, flip=0, invented=0)) == 1.0
    assert 0.2 < right(NoisyCaptions()) < 0.7
