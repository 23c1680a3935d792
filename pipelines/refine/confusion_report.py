"""A report on confused labels, `rounds/noise/<round>-<by>-<key>.json`: its fields, and how it is read and written.

The keys of the file do not change, so that reports of older versions can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.records.boxes import Box
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal
from refinement.confusion import ConfusedPair, Doubt, to_hold


@dataclass(frozen=True, slots=True)
class ExampleBox:
    """A box of a confused pair. score: the student's probability of its label; None if people labelled the box."""

    image_id: str
    region_id: str
    box: Box
    score: float | None


@dataclass(frozen=True, slots=True)
class ReportedPair:
    """A pair of confused labels, with example boxes."""

    pair: ConfusedPair
    boxes: list[ExampleBox]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ReportedPair:
        pair = ConfusedPair(**{name: value for name, value in content.items() if name != "boxes"})
        return cls(pair, [ExampleBox(**box | {"box": tuple(box["box"])}) for box in content["boxes"]])

    def as_json(self) -> dict[str, Any]:
        return asdict(self.pair) | {"boxes": [asdict(box) for box in self.boxes]}


@dataclass(frozen=True, slots=True)
class ConfusionReport:
    """The confused labels of one round.

    by: who gave the other labels, "people" or "students". of: which boxes were compared, as a part of a sentence.
    pairs: those with the most boxes first. labels: every label, the least confirmed first.
    """

    round: int
    by: str
    of: str
    pairs: list[ReportedPair]
    labels: list[Doubt]

    @property
    def confused(self) -> list[ConfusedPair]:
        return [one.pair for one in self.pairs]

    @property
    def recipe(self) -> str:
        """The line for a recipe that holds the labels of these pairs. '' if there are no pairs."""
        return recipe_line(to_hold(self.confused)) if self.pairs else ""


def read_report(storage: Storage, path: str) -> ConfusionReport:
    """Reads a report. Raises DamageError if its file was changed."""
    content = read_sealed(storage, path)
    pairs = [ReportedPair.from_json(pair) for pair in content["pairs"]]
    labels = [Doubt(**doubt) for doubt in content["labels"]]
    return ConfusionReport(content["round"], content["by"], content["of"], pairs, labels)


def write_report(storage: Storage, path: str, report: ConfusionReport) -> None:
    content = {
        "round": report.round,
        "by": report.by,
        "of": report.of,
        "pairs": [pair.as_json() for pair in report.pairs],
        "hold": to_hold(report.confused),
        "recipe": report.recipe,
        "labels": [asdict(doubt) for doubt in report.labels],
    }
    storage.create(path, seal(content))


def recipe_line(pairs: Sequence[Sequence[str]]) -> str:
    """`refine: {hold_labels: ...}` as one line of YAML, to be pasted into a recipe."""
    import yaml

    content = {"hold_labels": [list(pair) for pair in pairs]}
    return f"refine: {yaml.safe_dump(content, default_flow_style=True, width=10**6).strip()}"
