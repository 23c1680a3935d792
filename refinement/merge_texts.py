"""What a student wrote against what is written: the texts of one image, and of its regions.

Whoever writes greedily finds its own words probable, so a student's text must be better by a margin, and what it says
must be seen in the image: a text's worth is its likelihood plus the share of its phrases that are grounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.records.labels import without_case
from refinement.options import MergeOptions


@dataclass(frozen=True, slots=True)
class GivenText:
    """A text that is there. `about`: the region it tells of, '' for the image.

    mean_log_prob: the student's, teacher-forced, a token; None: not asked, and so it stays. grounded: the share of its
    phrases that a region answers, 0 to 1; None where nothing is grounded (region texts, texts nobody parsed), and then
    of all texts it is compared with.
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
    granularity: str
    text: str
    mean_log_prob: float
    grounded: float | None = None
    about: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class TextChange:
    """`value` and `threshold` are what the rule compared; `new` is the student's text, `by` its id.

    rewritten    value: the new text's worth.    threshold: the old one's and options.text_margin
    added        value: the new text's likelihood, or the share grounded if that is less.    threshold: options.add
    dropped      value: its worth.    threshold: the least of the texts that stay. Only of more briefs than may be
    """

    rule: Literal["rewritten", "added", "dropped"]
    old: str
    new: ProposedText | None
    value: float
    threshold: float
    by: str = ""


def merge_texts(
    given: Iterable[GivenText], proposed: Iterable[ProposedText], options: MergeOptions | None = None
) -> list[TextChange]:
    """The changes of one image: at most one a given text, in order of id; then what is added.

    Texts compete with those of the same granularity about the same thing. An image keeps up to `max_briefs` brief
    texts; of the other granularities and of a region as many as there are, or one where there is none. People's texts
    and those nobody was asked about keep their places and never change. Order of the input does not matter.
    """
    options = options or MergeOptions()
    given, proposed = list(given), list(proposed)
    changes: list[TextChange] = []
    kinds = {(one.about, one.granularity) for one in given} | {(one.about, one.granularity) for one in proposed}
    for about, granularity in sorted(kinds):
        own = [one for one in given if (one.about, one.granularity) == (about, granularity)]
        said = [one for one in proposed if (one.about, one.granularity) == (about, granularity)]
        places = options.max_briefs if granularity == "brief" and not about else max(1, len(own))
        changes += _competed(own, _news(own, said), places, options)
    return sorted(changes, key=lambda one: (not one.old, one.old))


def _news(given: Sequence[GivenText], proposed: Sequence[ProposedText]) -> list[ProposedText]:
    """What is not written already, each once."""
    seen = {_plain(one.text) for one in given}
    answer = []
    best_first = sorted(proposed, key=lambda one: (-one.mean_log_prob, -_seen(one), one.text, one.id))
    for one in best_first:
        if one.text.strip() and _plain(one.text) not in seen:
            seen.add(_plain(one.text))
            answer.append(one)
    return answer


def _seen(one: ProposedText) -> float:
    return -1.0 if one.grounded is None else one.grounded


def _plain(text: str) -> str:
    return without_case(text).rstrip(".")


def _competed(
    given: Sequence[GivenText], news: Sequence[ProposedText], places: int, options: MergeOptions
) -> list[TextChange]:
    """Free places go to the best new ones; then the worst given text meets the best of the rest, until it wins."""
    grounded = all(one.grounded is not None for one in given) and all(one.grounded is not None for one in news)
    fixed = sum(one.human or one.mean_log_prob is None for one in given)
    rivals = [one for one in given if not one.human and one.mean_log_prob is not None]
    rivals.sort(key=lambda one: (-_worth(one, grounded), one.id))
    news = sorted(news, key=lambda one: (-_worth(one, grounded), one.text, one.id))
    free = max(places - fixed, 0)
    stay, surplus = rivals[:free], rivals[free:]
    likely = [one for one in news if _sure(one) >= options.add]
    added = likely[: free - len(stay)]
    changes = [TextChange("added", "", one, _sure(one), options.add, one.id) for one in added]
    rest = [one for one in news if one not in added]
    for old, new in zip(reversed(stay), rest, strict=False):
        bar = _worth(old, grounded) + options.text_margin
        if _worth(new, grounded) < bar:
            break
        changes.append(TextChange("rewritten", old.id, new, _worth(new, grounded), bar, new.id))
    if stay:
        least = _worth(stay[-1], grounded)
        changes += [TextChange("dropped", old.id, None, _worth(old, grounded), least) for old in surplus]
    return changes


def _sure(one: ProposedText) -> float:
    """Fluent words of what is not in the image are no reason to add a text."""
    return min(math.exp(one.mean_log_prob), 1.0 if one.grounded is None else one.grounded)


def _worth(one: GivenText | ProposedText, grounded: bool) -> float:
    """0 to 2, or to 1 where nothing is grounded."""
    assert one.mean_log_prob is not None
    return math.exp(one.mean_log_prob) + ((one.grounded or 0.0) if grounded else 0.0)
