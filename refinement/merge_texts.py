"""Compares a student's texts with the given texts of an image and of its regions, and returns the changes.

The score of a text is its likelihood plus the share of its phrases that are grounded in regions. A model finds the
texts probable that it wrote itself, so the student's text must score higher by a margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.records.labels import without_case
from refinement.options import MergeRules


@dataclass(frozen=True, slots=True)
class GivenText:
    """A text that the filters kept. about: id of the region that it describes; '' for the image.

    mean_log_prob: the student's mean log probability per token of this text (teacher forcing). None if it was not
    scored; the text is then never changed.

    grounded: share of its phrases that name a region, 0 to 1. None for region texts and for texts without a parse. If
    any of the compared texts has None, only the likelihoods are compared.
    """

    id: str
    granularity: str
    text: str
    mean_log_prob: float | None = None
    grounded: float | None = None
    human: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class ProposedText:
    """A text that the student predicted. The fields mean the same as in GivenText."""

    granularity: str
    text: str
    mean_log_prob: float
    grounded: float | None = None
    about: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class TextChange:
    """A change of one text. value, threshold: the numbers that were compared. old: id of the given text; '' if a text
    is added. new: the student's text. by: id of the student's text.

    rewritten    value: score of the new text.                threshold: score of the old one plus options.text_margin
    added        value: likelihood or grounded share, the     threshold: options.add
                 smaller one
    dropped      value: score of the dropped text.            threshold: the lowest score of the texts that stay

    A text is dropped only if an image has more brief texts than max_briefs.
    """

    rule: Literal["rewritten", "added", "dropped"]
    old: str
    new: ProposedText | None
    value: float
    threshold: float
    by: str = ""


def merge_texts(
    given: Iterable[GivenText], proposed: Iterable[ProposedText], options: MergeRules | None = None
) -> list[TextChange]:
    """The changes for one image: at most one for each given text, in order of id, then the added texts.

    Texts compete with the texts of the same granularity about the same region or image. An image keeps up to
    `max_briefs` brief texts. For other granularities, and for regions, it keeps as many texts as were given, but at
    least one. Texts by people and texts that were not scored always stay. The result does not depend on the order of
    the input.
    """
    options = options or MergeRules()
    given, proposed = list(given), list(proposed)
    changes: list[TextChange] = []
    kinds = {(one.about, one.granularity) for one in given} | {(one.about, one.granularity) for one in proposed}
    for about, granularity in sorted(kinds):
        own = [one for one in given if (one.about, one.granularity) == (about, granularity)]
        new = [one for one in proposed if (one.about, one.granularity) == (about, granularity)]
        places = options.max_briefs if granularity == "brief" and not about else max(1, len(own))
        changes += _competed(own, _new_texts(own, new), places, options)
    return sorted(changes, key=lambda one: (not one.old, one.old))


def _new_texts(given: Sequence[GivenText], proposed: Sequence[ProposedText]) -> list[ProposedText]:
    """The proposed texts that differ from the given ones and from each other."""
    seen = {_plain(one.text) for one in given}
    answer = []
    best_first = sorted(proposed, key=lambda one: (-one.mean_log_prob, -_grounded_or_last(one), one.text, one.id))
    for one in best_first:
        if one.text.strip() and _plain(one.text) not in seen:
            seen.add(_plain(one.text))
            answer.append(one)
    return answer


def _grounded_or_last(one: ProposedText) -> float:
    return -1.0 if one.grounded is None else one.grounded


def _plain(text: str) -> str:
    return without_case(text).rstrip(".")


def _competed(
    given: Sequence[GivenText], proposed: Sequence[ProposedText], places: int, options: MergeRules
) -> list[TextChange]:
    """The changes among texts that compete. `places`: how many of them are kept.

    First the best new texts are added while there are free places. Then the best remaining new text replaces the worst
    given text, the second best replaces the second worst, and so on, until a new text is not better by the margin.
    """
    grounded = all(one.grounded is not None for one in given) and all(one.grounded is not None for one in proposed)
    fixed = sum(one.human or one.mean_log_prob is None for one in given)
    rivals = [one for one in given if not one.human and one.mean_log_prob is not None]
    rivals.sort(key=lambda one: (-_score(one, grounded), one.id))
    new_texts = sorted(proposed, key=lambda one: (-_score(one, grounded), one.text, one.id))
    free = max(places - fixed, 0)
    stay, surplus = rivals[:free], rivals[free:]
    likely = [one for one in new_texts if _add_score(one) >= options.add]
    added = likely[: free - len(stay)]
    changes = [TextChange("added", "", one, _add_score(one), options.add, one.id) for one in added]
    rest = [one for one in new_texts if one not in added]
    for old, new in zip(reversed(stay), rest, strict=False):
        bar = _score(old, grounded) + options.text_margin
        if _score(new, grounded) < bar:
            break
        changes.append(TextChange("rewritten", old.id, new, _score(new, grounded), bar, new.id))
    if stay:
        least = _score(stay[-1], grounded)
        changes += [TextChange("dropped", old.id, None, _score(old, grounded), least) for old in surplus]
    return changes


def _add_score(one: ProposedText) -> float:
    """The smaller of likelihood and grounded share. With it, a fluent text about another image is not added."""
    return min(math.exp(one.mean_log_prob), 1.0 if one.grounded is None else one.grounded)


def _score(one: GivenText | ProposedText, grounded: bool) -> float:
    """Likelihood plus grounded share, from 0 to 2. `grounded`: whether the grounded share counts; if not, from
    0 to 1.
    """
    assert one.mean_log_prob is not None
    return math.exp(one.mean_log_prob) + ((one.grounded or 0.0) if grounded else 0.0)
