"""Options of a refinement round: the sections `refine.merge` and `refine.gate` of a recipe.

The defaults were chosen before the refinement study had results. The study later tried values near each default, with
similar results. It did not cover texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from engine.config.section import Section
from engine.errors import ConfigError
from engine.records.labels import plain_label

Held = frozenset[frozenset[str]]


class MergeOptions(Section):
    """How much evidence is needed before a region or a text changes."""

    # Below .5, because jittered boxes of one object often overlap less than that.
    match_iou: float = Field(default=0.4, gt=0, le=1, description="least IoU at which two boxes may be the same object")
    # The mean of the two boxes is better than either box alone (study: F1@.75 is .45, against .28 and .33).
    geometry_weight: float = Field(
        default=0.5, ge=0, le=1, description="weight of the student's box in the mean of two matched boxes"
    )
    relabel: float = Field(
        default=0.5,
        ge=0,
        description="least probability of a student's label that replaces another label; above 1: never",
    )
    add: float = Field(
        default=0.35,
        ge=0,
        description="least probability of a label, or of a text, at which a box or text is added; above 1: never",
    )
    drop: float = Field(
        default=0.35,
        ge=0,
        description="a box that no student proposes is dropped below this likelihood of its location; 0: never",
    )
    nms: float = Field(
        default=0.6,
        gt=0,
        le=1,
        validate_default=True,
        description="least IoU at which one of two resulting boxes is dropped; at least match_iou",
    )
    mask_iou: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="a box that moves loses its mask if the IoU of its old and new place is lower",
    )
    max_briefs: int = Field(default=2, ge=1, description="most brief texts of an image, if `tasks` has captions")
    # Above 0, because a model gives a high likelihood to its own texts.
    text_margin: float = Field(
        default=0.1,
        ge=0,
        description="a student's text must score higher by this much to replace another (likelihood + grounded share)",
    )

    @field_validator("nms")
    @classmethod
    def _at_least_match_iou(cls, nms: float, info: ValidationInfo) -> float:
        """Rejects `nms` below `match_iou`, because a box added by the student could then suppress a given box."""
        if nms < info.data.get("match_iou", 0):
            raise ValueError(f"expected at least match_iou, {info.data['match_iou']}")
        return nms


class MergeRules(MergeOptions):
    """The merge options, plus pairs of labels on which the student is not trusted (`refine.hold_labels`).

    The merge does not change one label of a pair into the other, and adds no region with either label. The reason is
    that a student trained on systematically wrong labels makes the same errors.
    """

    keep_labels: Held = frozenset()

    def holds(self, label: str, other: str) -> bool:
        return frozenset((plain_label(label), plain_label(other))) in self.keep_labels

    def holds_any(self, label: str) -> bool:
        plain = plain_label(label)
        return any(plain in pair for pair in self.keep_labels)


def held(pairs: Iterable[Sequence[str]]) -> Held:
    """Parses `refine.hold_labels`, such as [[ball, ring]], into sets of plain labels. Raises ConfigError if an entry is
    not a pair of two labels.
    """
    answer = set()
    for pair in pairs:
        two = frozenset(plain_label(label) for label in pair)
        if len(pair) != 2 or len(two) != 2:
            raise ConfigError(f"refine.hold_labels has {list(pair)}: give pairs of two labels, such as [ball, ring].")
        answer.add(two)
    return frozenset(answer)


class GateOptions(Section):
    """The limits within which a round is accepted. Shares are shares of the regions that could change: kept and not
    human.

    The limits come from the refinement study and lie between its good and its bad students. A good student's first
    round had an agreement of .44; of 4966 boxes it dropped .18, relabelled .08 and added .30. Its second round, on 5600
    boxes, dropped .02, relabelled .05 and added .11. An under-trained student had an agreement of .07 and dropped .34.
    An untrained one had an agreement of 0 and dropped all boxes. One that described other images had an agreement of
    .003.

    No bad student relabelled or added much, so these two limits have other reasons. max_relabelled .25 is three times
    what the good student relabelled. max_added 1.0 allows for an annotator that misses half of all objects.
    """

    min_agreement: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="least F1 of a student's boxes against the labels of its own fold, which it was not trained on",
    )
    max_dropped: float = Field(default=0.25, ge=0, description="largest share of regions that the round may drop")
    max_relabelled: float = Field(default=0.25, ge=0, description="largest share of regions that may get another label")
    max_added: float = Field(
        default=1.0, ge=0, description="largest number of added regions, as a share of the regions"
    )
    # A round is also refused if the 95 % interval of the F1 difference lies below 0.
    max_f1_fall: float = Field(default=0.01, ge=0, le=1, description="largest fall of the F1 on audit images")
    # Larger than for F1, because text measures vary more: CIDEr-D has values of about 1.
    max_text_fall: float = Field(default=0.05, ge=0, le=1, description="largest fall of the CIDEr-D on audit images")
    class_fall: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="largest fall of the accuracy of a label on audit images, if the 95 % interval lies below 0",
    )
    min_objects: int = Field(
        default=10, ge=0, description="least number of audit objects with a label at which `class_fall` applies to it"
    )
    # An exact binomial test at 97.5 %. This test needs fewer images than `class_fall`, because a label that was
    # mostly wrong before cannot fall much further. In a simulation with 200 images and 8 draws, it refused 8 of 8
    # rounds with systematic noise (2 without this rule) and none of 24 good rounds.
    min_right: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="of the audit objects with a label that the round named anew, the share that must be right",
    )
    share_factor: float = Field(
        default=1.5,
        gt=1,
        description="alarm if a label's share of all regions grows or shrinks by more than this factor",
    )
    vocabulary_fall: float = Field(
        default=0.1, ge=0, le=1, description="alarm if a larger share of the labels disappears"
    )
    diversity_fall: float = Field(
        default=0.1, ge=0, le=1, description="alarm if the share of distinct word pairs in captions falls by more"
    )
