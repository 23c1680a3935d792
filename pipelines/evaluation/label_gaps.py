"""Labels that only one side has: the truth's that no detector gave, and those given that the truth does not know.

Boxes of the former count as missed and boxes of the latter are not measured, however well they lie: a detector that
says "television" finds no "tv".
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from engine.records.labels import plain_label, plain_words
from model.evaluate.detections import Detection, TruthImage
from specialists.english import SYNONYMS

EXAMPLES = 5


def label_gaps(truth: Mapping[str, TruthImage], given: Iterable[Mapping[str, Sequence[Detection]]]) -> list[str]:
    """A sentence for each side that has labels of its own. `given`: what each detector gave, by image."""
    true = Counter(plain_label(one.label) for image in truth.values() for one in image.objects if not one.crowd)
    said = Counter(
        plain_label(one.label) for found in given for image, some in found.items() if image in truth for one in some
    )
    if not true or not said:
        return []
    missed = Counter({label: number for label, number in true.items() if label not in said})
    strange = Counter({label: number for label, number in said.items() if label not in true})
    answer = []
    if missed:
        told = _examples(missed, {label: near for label in missed if (near := nearest(label, strange))})
        answer.append(f"No node gave {_labels(missed)} of the truth on these images; they count as missed: {told}.")
    if strange:
        told = _examples(strange, {})
        answer.append(f"The truth does not have {_labels(strange)} that nodes gave; they are not measured: {told}.")
    return answer


def nearest(label: str, among: Collection[str]) -> str:
    """The name that means the same, or is written nearly the same; '' for none."""
    same = {plain_words(label), *SYNONYMS.get(plain_words(label), ())}
    for other in among:
        if plain_words(other) in same or plain_words(label) in SYNONYMS.get(plain_words(other), ()):
            return other
    return next(iter(difflib.get_close_matches(label, sorted(among), n=1, cutoff=0.7)), "")


def _labels(found: Mapping[str, int]) -> str:
    return "1 label" if len(found) == 1 else f"{len(found)} labels"


def _examples(found: Counter[str], near: Mapping[str, str]) -> str:
    """Those with a near name first: they are the ones to mend."""
    order = sorted(found, key=lambda label: (label not in near, -found[label], label))
    told = [f"'{name}' ({found[name]:,}{f', nearest {near[name]!r}' if name in near else ''})" for name in order]
    return ", ".join(told[:EXAMPLES]) + (f" and {len(told) - EXAMPLES} more" if len(told) > EXAMPLES else "")
