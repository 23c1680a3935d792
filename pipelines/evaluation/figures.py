"""The result of an evaluation, as JSON and as tables: figures with intervals, and reliability curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from model.evaluate.calibration import Point


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its 95 % interval; NaN if unknown.

    part: what is measured, such as boxes, masks or captions. of: the node whose annotations are measured, or "kept" for
    what the rules kept. count: the number of boxes, texts, words or phrases that were measured.
    """

    part: str
    of: str
    name: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    count: int = 0


@dataclass(slots=True)
class Evaluation:
    """All figures. Prints as tables.

    human: the number of images whose human labels are among the measured annotations. curves: reliability of scores, by
    node. notes: sentences on labels that were left out, or that only the truth or only the nodes have.
    """

    truth: str
    images: int
    human: int = 0
    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return _render(self)

    def as_json(self) -> str:
        content = {
            "truth": self.truth,
            "images": self.images,
            "images_with_human_labels": self.human,
            "figures": [asdict(figure) for figure in self.figures],
            "notes": self.notes,
            "reliability": {name: [asdict(point) for point in curve] for name, curve in self.curves.items()},
        }
        return json.dumps(_plain(content), indent=1)


def _render(found: Evaluation) -> str:
    """A table for each part, with a row for each node and a column for each figure."""
    parts = [f"measured against {found.truth}; in brackets: 95 % interval over resampled sets of images"]
    if found.human:
        parts.append(
            f"{found.human} of these images have human labels in the data set, so merged and kept annotations include "
            "them: measure machines on an audit split."
        )
    if found.notes:
        parts.append("\n".join(found.notes))
    for part in dict.fromkeys(figure.part for figure in found.figures):
        parts.append("\n".join(_table(part, [figure for figure in found.figures if figure.part == part])))
    if not found.figures:
        images = "this image" if found.images == 1 else f"these {found.images} images"
        parts.append(f"There is nothing to compare: the truth has no box, caption, word or description in {images}.")
    return "\n\n".join(parts)


def _table(part: str, figures: Sequence[Figure]) -> list[str]:
    names = list(dict.fromkeys(figure.name for figure in figures))
    owners = list(dict.fromkeys(figure.of for figure in figures))
    cells = {(figure.of, figure.name): _cell(figure) for figure in figures}
    counts = {figure.of: figure.count for figure in reversed(figures)}
    wide = max(map(len, [part, *owners])) + 4
    widths = [max(len(name), *(len(cells.get((of, name), "")) for of in owners)) + 2 for name in names]
    lines = [f"{part:<{wide}}{'number':>8}  " + "".join(f"{n:<{w}}" for n, w in zip(names, widths, strict=True))]
    for of in owners:
        row = "".join(f"{cells.get((of, name), ''):<{w}}" for name, w in zip(names, widths, strict=True))
        lines.append(f"  {of:<{wide - 2}}{counts[of]:>8,}  {row}".rstrip())
    return [line.rstrip() for line in lines]


def _cell(figure: Figure) -> str:
    known = np.isfinite(figure.low)
    return f"{figure.value:.3f}" + (f" [{figure.low:.3f} {figure.high:.3f}]" if known else "")


def _plain(value: Any) -> Any:
    """The value with None in place of NaN, because JSON has no NaN."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
