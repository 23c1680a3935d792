"""Label files and data.yaml as Ultralytics reads them (ultralytics/data/utils.py, 8.4.190)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from engine.records.boxes import around
from pipelines.emit.verifiers.check import Row
from pipelines.emit.verifiers.read_boxes import ReadBox

_SLACK = 0.01  # how far a share may lie outside 0 to 1


class Line(NamedTuple):
    """A line: the class, and its numbers: centre and size of a box, or x, y of each corner."""

    number: float
    shares: tuple[float, ...]

    @property
    def seen(self) -> bytes:
        """What Ultralytics has after it read the numbers as float32."""
        return np.array([self.number, *self.shares], np.float32).tobytes()

    @property
    def is_polygon(self) -> bool:
        return len(self.shares) > 5

    def pixels(self, image: Row) -> list[float]:
        sides = (image["width"], image["height"])
        return [share * sides[at % 2] for at, share in enumerate(self.shares)]

    def box(self, labels: Sequence[str], image: Row) -> ReadBox:
        label = labels[int(self.number)] if 0 <= self.number < len(labels) else f"class {self.number:g}"
        if self.is_polygon:
            return ReadBox(label, around(self.pixels(image)))
        x, y, width, height = self.pixels(image)
        return ReadBox(label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def class_names(path: Path, folder: Path) -> list[str]:
    """The names in data.yaml, by number. Raises ValueError if Ultralytics refuses the file.

    `folder`: that of the release, where the folders of `train`, `val` and `test` must be.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key in ("train", "val"):
        if not content.get(key):
            raise ValueError(f"it has no '{key}', which Ultralytics needs")
    for key in ("train", "val", "test"):
        if content.get(key) and not (folder / content[key]).is_dir():
            raise ValueError(f"its '{key}' is {content[key]}, which is not there")
    if "path" in content:
        raise ValueError("it has 'path', so the folders are not looked for beside it")
    names = content["names"]
    names = dict(enumerate(names)) if isinstance(names, list) else {int(key): name for key, name in names.items()}
    if sorted(names) != list(range(len(names))) or not names:
        raise ValueError("its classes are not numbered from 0")
    return [str(names[number]) for number in range(len(names))]


def read_lines(path: Path) -> list[Line]:
    """The lines of a label file. Raises ValueError for words that are no numbers."""
    words = [line.split() for line in path.read_text(encoding="utf-8-sig").strip().splitlines() if line.strip()]
    rows = [[float(word) for word in line] for line in words]
    return [Line(number, tuple(shares)) for number, *shares in rows]


def check_lines(lines: Sequence[Line], classes: int) -> Iterator[str]:
    """Yields each rule of Ultralytics that lines break, as half a sentence. It ignores or changes such a file."""
    if any(line.is_polygon for line in lines) and any(len(line.shares) == 4 for line in lines):
        yield "has boxes and polygons"
    for line in lines:
        shares = line.shares
        if len(shares) % 2 or len(shares) < 4 or not np.isfinite(shares).all():
            yield f"has a line of {len(shares) + 1} columns, expected 5, or 7, 9, ... for a polygon"
        elif max(shares) > 1 + _SLACK or min(shares) < -_SLACK:
            yield f"has the number {max(shares, key=abs):g}, expected shares from 0 to 1"
        elif line.number % 1 or not 0 <= line.number < classes:
            yield f"has the class {line.number:g}, expected 0 to {classes - 1}"
    if twice := len(lines) - len({line.seen for line in lines}):
        yield f"has {twice} lines twice, which Ultralytics removes"
