"""What the evidence must reach before a label changes. One sentence for a value that cannot be meant.

Defaults are those the refinement study fixed before it saw results; its sweep over them is flat around each. Texts
were not part of the study.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import ConfigError
from engine.records.labels import plain_label

Held = frozenset[frozenset[str]]


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """`relabel`, `add` and `drop` compare probabilities: above 1 `relabel` and `add` never happen, at 0 `drop` never.

    match_iou: from which overlap two boxes may be the same thing; jittered boxes need less than .5.
    geometry_weight: the student's share of a matched box; the mean is better than either (study: F1@.75 .45, against
    .28 and .33).
    relabel: how sure of its label the student must be to replace another. add: and to add a box. drop: a box nobody
    confirms goes when the student gives its place less than this.
    nms: from which overlap two boxes of the result are one; at least match_iou, so that what takes the place of a
    given box is always another given one.
    mask_iou: a box with a mask moves only if it would overlap its old place less than this, and loses the mask.
    keep_labels: pairs the student is not believed on. It relabels neither into the other and adds neither: where
    noise is systematic, what it adds is wrong as systematically.
    max_briefs: brief texts of an image. text_margin: by how much a student's text must be better than another's: a
    model finds what it wrote itself probable.
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
                raise ConfigError(f"merge.{name} is {getattr(self, name)}: an overlap is more than 0 and at most 1.")
        if not 0 <= self.geometry_weight <= 1:
            raise ConfigError(f"merge.geometry_weight is {self.geometry_weight}: a share is 0 to 1.")
        for name in ("relabel", "add", "drop", "text_margin"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"merge.{name} is {getattr(self, name)}: a probability is 0 or more.")
        if self.nms < self.match_iou:
            raise ConfigError(f"merge.nms is {self.nms}: give at least merge.match_iou, {self.match_iou}.")
        if self.max_briefs < 1:
            raise ConfigError(f"merge.max_briefs is {self.max_briefs}: give at least 1.")

    def holds(self, label: str, other: str) -> bool:
        return frozenset((plain_label(label), plain_label(other))) in self.keep_labels

    def holds_any(self, label: str) -> bool:
        plain = plain_label(label)
        return any(plain in pair for pair in self.keep_labels)


def held(pairs: Iterable[Sequence[str]]) -> Held:
    """`refine.hold_labels`, such as [[ball, ring]], as options have it."""
    answer = set()
    for pair in pairs:
        two = frozenset(plain_label(label) for label in pair)
        if len(pair) != 2 or len(two) != 2:
            raise ConfigError(f"refine.hold_labels has {list(pair)}: give pairs of two labels, such as [ball, ring].")
        answer.add(two)
    return frozenset(answer)
