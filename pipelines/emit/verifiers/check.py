"""A check of a release, and the interface of the verifiers of the formats.

An error that a foreign library raises while it reads becomes a fault of a check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.extras import how_to_install
from engine.layout import PAIR_FILES
from engine.reading.release_manifest import Manifest

_LISTED = 3  # how many faults of a check are printed

Row = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass(slots=True)
class Check:
    """One promise of a release.

    `faults` are sentences; the promise holds if there are none. `skipped` are sentences about what was not checked,
    because a package is not installed.
    """

    name: str
    detail: str = ""
    faults: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults

    def attempt(self, where: str, work: Callable[[], Result]) -> Result | None:
        """The result of `work`.

        Any exception becomes a fault, and the result is None: foreign libraries may raise anything.
        """
        try:
            return work()
        except ImportError as error:
            self.faults.append(not_installed(error.name or str(error)))
        except Exception as error:  # noqa: BLE001  # the border with foreign readers
            self.faults.append(f"{where}: {type(error).__name__}: {one_line(error)}")
        return None


class Checks(list[Check]):
    """All checks of a release. str() is the text that `engine verify` prints."""

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self)

    def __str__(self) -> str:
        return render_checks(self)


def render_checks(checks: Sequence[Check]) -> str:
    lines = []
    for check in checks:
        if not check.skipped or check.faults or check.detail:
            lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name}{': ' + check.detail if check.detail else ''}")
        lines += [f"       {fault}" for fault in check.faults[:_LISTED]]
        if len(check.faults) > _LISTED:
            lines.append(f"       ... and {len(check.faults) - _LISTED} more")
        lines += [f"skip {check.name}: {sentence}" for sentence in check.skipped]
    return "\n".join(lines)


@dataclass(slots=True)
class ShardContent:
    """What the verifiers read in a shard. They run in the order of FORMATS. Later ones compare with earlier ones.

    `split`, `number`: as in the names of the shard's files. `samples`: the json of each sample in the tar. `rows`: the
    rows of the table. `samples` and `rows` are None if they cannot be read. `pairs`: the number of training pairs.
    `older`: whether the release is from before splits, when the names of other tables had only the number.
    """

    split: str
    number: str
    samples: list[Row] | None = None
    rows: list[Row] | None = None
    pairs: int = 0
    older: bool = False

    @property
    def name(self) -> str:
        """The name of the shard, with which the names of its tar and of its tables end."""
        return f"{self.split}-{self.number}"

    def table(self, stem: str) -> str:
        """The name of a table of the shard. `stem`: how the names of such tables begin."""
        return f"{stem}{self.number if self.older else self.name}.parquet"

    def found_rows(self) -> dict[str, int]:
        """{file: number of rows} of the files of the shard that were read."""
        read = {f"{self.name}.tar": self.samples, f"{self.name}.parquet": self.rows}
        found = {name: len(rows) for name, rows in read.items() if rows is not None}
        return found | ({self.table(PAIR_FILES): self.pairs} if self.pairs else {})

    @property
    def records(self) -> list[Row]:
        return self.samples or self.rows or []


class Verifier(Protocol):
    """Checks the files of one format, shard after shard."""

    check: Check

    def __init__(self, folder: Path, manifest: Manifest) -> None: ...

    def read(self, shard: ShardContent) -> None:
        """Reads the file of one shard and records faults. The file may be missing."""
        ...

    def finish(self) -> None:
        """Runs after the last shard. Checks what concerns all shards together, and sets the detail of the check."""
        ...


def not_installed(package: str) -> str:
    return f"{package} is not installed: {how_to_install(package)}"


def one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
