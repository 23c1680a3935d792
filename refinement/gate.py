"""Decides whether a round is accepted. A student that learned too little, or learned wrong labels, does damage.

Agreement and the caps on changes detect a student that learned too little. Only labels by people detect one that
learned wrong labels, because students share the systematic errors of the labels they were trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from model.evaluate.resampling import Bools, Floats, Ints, interval, resampled_ratios, resamples
from refinement.measures import OF_TEXTS, Audit, Counted, changed_share
from refinement.options import GateOptions


@dataclass(frozen=True, slots=True)
class RoundMeasures:
    """What a round did; the input of the decision.

    agreement: for each fold, the agreement of its student with the kept labels of the fold's images. given: number of
    kept regions that are not by people. changes: {rule: count}. texts: number of kept texts that are not by people; 0
    if no task writes texts. labels: {label: kept regions}, before and after the round. diversity: `distinct_share` of
    the captions, before and after the round.
    """

    agreement: Sequence[Counted]
    given: int
    changes: Mapping[str, int]
    labels: tuple[Mapping[str, int], Mapping[str, int]] = field(default_factory=lambda: ({}, {}))
    texts: int = 0
    diversity: tuple[float, float] = (float("nan"), float("nan"))
    audit: Audit | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of the gate. reasons: why the round is refused. alarms: what a person should check. Both are lists
    of sentences. measures: the numbers that were compared; None for a number that does not exist.
    """

    accepted: bool
    reasons: list[str]
    alarms: list[str]
    measures: dict[str, float | None]


def judge_round(measures: RoundMeasures, options: GateOptions | None = None) -> Decision:
    options = options or GateOptions()
    numbers: dict[str, float] = {}
    reasons = [*_has_learned(measures, options, numbers), *_within_caps(measures, options, numbers)]
    alarms = []
    if measures.audit is None or not measures.audit.images:
        alarms.append(
            "There are no audit images with labels of people: BIAS IS UNGUARDED. Students learn the systematic errors"
            " of their labels; set ingest.audit, with a source of images that people labelled."
        )
    if measures.audit is not None:
        judge = _AuditJudge(measures.audit, options, numbers)
        reasons += judge.reasons()
        alarms += judge.alarms()
    alarms += [*_shares_moved(measures, options), *_variety(measures, options, numbers)]
    measured = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return Decision(not reasons, reasons, alarms, measured)


def _has_learned(measures: RoundMeasures, options: GateOptions, numbers: dict[str, float]) -> Iterator[str]:
    """Gives a reason to refuse if the student of any fold agrees too little, because each student judges a
    whole fold.
    """
    worst = min((one.f1 for one in measures.agreement), default=0.0)
    numbers["agreement"] = worst
    if worst < options.min_agreement:
        yield (
            f"A student agrees with the labels of the fold it was not trained on at F1 {worst:.3f}, below"
            f" gate.min_agreement {options.min_agreement}: it has not learned enough; train longer, or on more images."
        )


def _within_caps(measures: RoundMeasures, options: GateOptions, numbers: dict[str, float]) -> Iterator[str]:
    for rule in ("dropped", "relabelled", "added"):
        share = measures.changes.get(rule, 0) / max(measures.given, 1)
        cap = getattr(options, f"max_{rule}")
        numbers[rule] = share
        if share > cap:
            yield f"The round would have {rule} {share:.3f} of {measures.given} regions, above gate.max_{rule} {cap}."
    numbers["changed"] = changed_share(measures.changes, measures.given)
    if measures.texts:
        numbers["texts changed"] = sum(measures.changes.get(rule, 0) for rule in OF_TEXTS) / measures.texts


class _AuditJudge:
    """Compares the annotations of audit images before and after the round. Each difference has a 95 % interval over
    resampled images.
    """

    def __init__(self, audit: Audit, options: GateOptions, numbers: dict[str, float]) -> None:
        self.audit, self.options, self.numbers = audit, options, numbers
        self.before, self.after = audit.named
        self.counts = resamples(audit.images)

    def reasons(self) -> Iterator[str]:
        for iou, (before, after) in self.audit.f1.items():
            drawn = after.resampled(self.counts) - before.resampled(self.counts)
            yield from self._falls(
                f"F1@{iou:g}", before.f1, after.f1, drawn, self.audit.images, self.options.max_f1_fall
            )
        for name, (early, late) in self.audit.texts.items():
            counts = resamples(len(early))
            drawn, most = _means(late, counts) - _means(early, counts), self.options.max_text_fall
            yield from self._falls(name, float(early.mean()), float(late.mean()), drawn, len(early), most)
        for row, label in enumerate(self.after.labels):
            yield from self._label_falls(label, self.after.label == row)
            yield from self._named_wrong(label, self.after.label == row)

    def alarms(self) -> Iterator[str]:
        everything = np.ones(len(self.after.label), np.bool_)
        was, now, high = self._accuracy("label accuracy", everything)
        if high < 0:
            yield f"On audit images the accuracy of labels falls from {was:.3f} to {now:.3f}."
        unseen = [label for row, label in enumerate(self.after.labels) if not self._enough(self.after.label == row)]
        if unseen:
            yield (
                f"Fewer than {self.options.min_objects} audit objects were found of {_labels(len(unseen))}"
                f" ({_some(unseen)}): errors in them may go unnoticed."
            )

    def _falls(self, name: str, before: float, after: float, drawn: Floats, images: int, most: float) -> Iterator[str]:
        low, high = self._note_change(name, before, after, drawn)
        if high < 0 or after - before < -most:
            yield (
                f"On {images} audit images {name} falls from {before:.3f} to {after:.3f}"
                f" (95 %: {low:+.3f} to {high:+.3f})."
            )

    def _label_falls(self, label: str, which: Bools) -> Iterator[str]:
        if not self._enough(which):
            return
        was, now, high = self._accuracy(f"label accuracy of '{label}'", which)
        if now - was < -self.options.class_fall and high < 0:
            yield (
                f"On audit images the accuracy of '{label}' falls from {was:.3f} to {now:.3f}"
                f"{self._instead(which & self.after.seen)}."
            )

    def _named_wrong(self, label: str, which: Bools) -> Iterator[str]:
        """Gives a reason to refuse if too few of the objects that got a new label got the right one. `which`: the
        objects whose true label is `label`.
        """
        anew = np.array([b != a for b, a in zip(self.before.called, self.after.called, strict=True)], np.bool_)
        which = which & anew & self.after.seen
        tried, right = int(which.sum()), int((which & self.after.right).sum())
        self.numbers[f"named anew '{label}'"], self.numbers[f"named anew '{label}' right"] = tried, right
        if tried and _at_most(right, tried, self.options.min_right) < 0.025:
            yield (
                f"Of {tried} audit objects '{label}' that got a new label in the round, {right} got the right one"
                f"{self._instead(which)}: the students learned an error of the labels; hold the pair with"
                " refine.hold_labels."
            )

    def _instead(self, which: Bools) -> str:
        """The most frequent wrong label of these objects, as an ending for a sentence; '' if there is none. The user
        may hold it together with the true label.
        """
        wrong = Counter(self.after.called[row] for row in np.flatnonzero(which & ~self.after.right).tolist())
        return f" (mostly '{min(wrong, key=lambda name: (-wrong[name], name))}' instead)" if wrong else ""

    def _enough(self, which: Bools) -> bool:
        return all(int((one.seen & which).sum()) >= self.options.min_objects for one in self.audit.named)

    def _accuracy(self, name: str, which: Bools) -> tuple[float, float, float]:
        """The accuracy of labels before and after the round, and the upper end of the 95 % interval of its change."""
        early, late = ((one.by_image(which & one.right), one.by_image(which & one.seen)) for one in self.audit.named)
        drawn = resampled_ratios(*late, self.counts) - resampled_ratios(*early, self.counts)
        was, now = (float(right.sum() / seen.sum()) if seen.any() else float("nan") for right, seen in (early, late))
        return was, now, self._note_change(name, was, now, drawn)[1]

    def _note_change(self, name: str, before: float, after: float, drawn: Floats) -> tuple[float, float]:
        low, high = interval(drawn)
        self.numbers |= {f"{name} before": before, f"{name} after": after}
        self.numbers |= {f"{name} change low": low, f"{name} change high": high}
        return low, high


def _at_most(right: int, tried: int, share: float) -> float:
    """The probability that at most `right` of `tried` are right, if each is right with probability `share`."""
    from scipy.special import bdtr  # scipy.stats would take a second to import

    return float(bdtr(right, tried, share))


def _means(values: Floats, counts: Ints) -> Floats:
    return resampled_ratios(values, np.ones(len(values)), counts)


_FEW = 20  # with fewer boxes, the share of a label is too uncertain


def _shares_moved(measures: RoundMeasures, options: GateOptions) -> Iterator[str]:
    before, after = measures.labels
    totals = max(sum(before.values()), 1), max(sum(after.values()), 1)
    moved = []
    for label in sorted(before.keys() | after.keys()):
        early, late = before.get(label, 0), after.get(label, 0)
        was, now = early / totals[0], late / totals[1]
        if max(early, late) >= _FEW and max(was, now) > options.share_factor * min(was, now):
            moved.append((-abs(now - was), f"'{label}' {was:.3f} to {now:.3f}"))
    if moved:
        labels = _some([text for _, text in sorted(moved)])
        yield f"The share of {_labels(len(moved))} among all boxes changed: {labels}."


def _variety(measures: RoundMeasures, options: GateOptions, numbers: dict[str, float]) -> Iterator[str]:
    before, after = (sum(count > 0 for count in some.values()) for some in measures.labels)
    numbers |= {"vocabulary before": before, "vocabulary after": after}
    if after < (1 - options.vocabulary_fall) * before:
        yield f"The number of different labels falls from {before} to {after}."
    early, late = measures.diversity
    numbers |= {"diversity before": early, "diversity after": late}
    if late < (1 - options.diversity_fall) * early:
        yield f"Captions become more alike: the share of different word pairs falls from {early:.3f} to {late:.3f}."


def _labels(number: int) -> str:
    return "1 label" if number == 1 else f"{number} labels"


def _some(names: Sequence[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
