"""Finds labels that are in the truth but were never predicted, and labels that were predicted but are not in the truth.

True boxes with such a label count as missed, and predicted boxes with such a label are not measured, even if they are
in the right place: a detector that predicts "television" does not find a "tv".
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from engine.records.labels import plain_label, plain_words
from model.evaluate.detections import Found, TruthImage, as_columns
from specialists.english import SYNONYMS

EXAMPLES = 5


def label_gaps(truth: Mapping[str, TruthImage], predicted: Iterable[Found]) -> list[str]:
    """One sentence about labels that only the truth has, and one about labels that only the nodes predicted.

    predicted: the boxes of each detector.
    """
    true = Counter(plain_label(one.label) for image in truth.values() for one in image.objects if not one.crowd)
    given: Counter[str] = Counter()
    for found in predicted:
        some = as_columns(found).ordered(sorted(truth))
        for label, number in zip(
            some.labels, np.bincount(some.label, minlength=len(some.labels)).tolist(), strict=True
        ):
            given[plain_label(label)] += number
    given = +given  # without labels that only other images have
    if not true or not given:
        return []
    missed = Counter({label: number for label, number in true.items() if label not in given})
    extra = Counter({label: number for label, number in given.items() if label not in true})
    notes = []
    if missed:
        near = {label: other for label in missed if (other := nearest(label, extra))}
        examples = _examples(missed, near)
        notes.append(f"No node predicted {_labels(missed)} of the truth; their boxes count as missed: {examples}.")
    if extra:
        examples = _examples(extra, {})
        notes.append(f"The truth lacks {_labels(extra)} that nodes predicted; they are not measured: {examples}.")
    return notes


def nearest(label: str, among: Collection[str]) -> str:
    """The label in `among` that is a synonym of `label` or is spelled nearly the same. '' if there is none."""
    same = {plain_words(label), *SYNONYMS.get(plain_words(label), ())}
    for other in among:
        if plain_words(other) in same or plain_words(label) in SYNONYMS.get(plain_words(other), ()):
            return other
    return next(iter(difflib.get_close_matches(label, sorted(among), n=1, cutoff=0.7)), "")


def _labels(found: Mapping[str, int]) -> str:
    return "1 label" if len(found) == 1 else f"{len(found)} labels"


def _examples(found: Counter[str], near: Mapping[str, str]) -> str:
    """Some of the labels with their counts.

    Labels that have a similar label (`near`) come first, because they can be fixed.
    """
    order = sorted(found, key=lambda label: (label not in near, -found[label], label))
    parts = [f"'{name}' ({found[name]:,}{f', nearest {near[name]!r}' if name in near else ''})" for name in order]
    return ", ".join(parts[:EXAMPLES]) + (f" and {len(parts) - EXAMPLES} more" if len(parts) > EXAMPLES else "")
