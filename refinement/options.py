"""Options of the merge: how strong the evidence must be before an annotation changes.

The defaults were fixed before the refinement study, whose results change little around each of them. The study did not
include texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import ConfigError
from engine.records.labels import plain_label

Held = frozenset[frozenset[str]]


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """Thresholds. relabel, add, drop: probabilities; above 1 nothing is relabelled or added, at 0 nothing is dropped.

    match_iou: the lowest IoU at which two boxes may be the same object; jittered boxes need less than .5.
    geometry_weight: the student's weight in the mean of two matched boxes. The mean is better than either (study:
    F1@.75 .45, against .28 and .33).
    relabel: the student's label replaces another from this probability on. add: a box is added from this probability
    of its label on. drop: an unmatched box is dropped if the student's probability of its location is lower.
    nms: the IoU from which on two boxes of the result are duplicates. At least match_iou, so that a given box can only
    be a duplicate of another given one.
    mask_iou: a box with a mask moves only if its IoU with the old place would be lower; it then loses the mask.
    keep_labels: pairs on which the student is not trusted. It neither changes one into the other nor adds boxes of
    either, because with systematic noise its additions are systematically wrong too.
    max_briefs: how many brief texts an image keeps. text_margin: a student's text replaces another if its score is
    higher by this margin; a model finds its own text probable.
    """

    match_iou: float = 0.4
    geometry_weight: float = 0.5
    relabel: float = 0.5
    add: float = 0.35
    drop: float = 0.35
    nms: float = 0.6
    mask_iou: float = 0.9
    keep_labels: Held = frozenset()
    max_briefs: int = 2
    text_margin: float = 0.1

    def __post_init__(self) -> None:
        for name in ("match_iou", "nms", "mask_iou"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"merge.{name} is {getattr(self, name)}: expected an IoU, more than 0 and at most 1.")
        if not 0 <= self.geometry_weight <= 1:
            raise ConfigError(f"merge.geometry_weight is {self.geometry_weight}: expected a share of 0 to 1.")
        for name in ("relabel", "add", "drop", "text_margin"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"merge.{name} is {getattr(self, name)}: expected a probability, 0 or more.")
        if self.nms < self.match_iou:
            raise ConfigError(f"merge.nms is {self.nms}: expected at least merge.match_iou, {self.match_iou}.")
        if self.max_briefs < 1:
            raise ConfigError(f"merge.max_briefs is {self.max_briefs}: expected 1 or more.")

    def holds(self, label: str, other: str) -> bool:
        return frozenset((plain_label(label), plain_label(other))) in self.keep_labels

    def holds_any(self, label: str) -> bool:
        plain = plain_label(label)
        return any(plain in pair for pair in self.keep_labels)


def held(pairs: Iterable[Sequence[str]]) -> Held:
    """`keep_labels` from refine.hold_labels, such as [[ball, ring]]. ConfigError if an entry is not a pair."""
    answer = set()
    for pair in pairs:
        two = frozenset(plain_label(label) for label in pair)
        if len(pair) != 2 or len(two) != 2:
            raise ConfigError(f"refine.hold_labels has {list(pair)}: give pairs of two labels, such as [ball, ring].")
        answer.add(two)
    return frozenset(answer)
