"""A check of a release, and what the verifier of a format provides.

Errors of the libraries that read the release become faults of a check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.extras import how_to_install
from engine.layout import SAMPLE_FILES
from engine.reading.release_manifest import Manifest

_LISTED = 3  # faults of a check that are printed

Row = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass(slots=True)
class Check:
    """One promise of a release. It holds if there are no `faults`, which are sentences."""

    name: str
    detail: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults

    def attempt(self, where: str, work: Callable[[], Result]) -> Result | None:
        """The result of `work`; None if it raises, which is a fault: foreign readers raise anything."""
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
        lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name}{': ' + check.detail if check.detail else ''}")
        lines += [f"       {fault}" for fault in check.faults[:_LISTED]]
        if len(check.faults) > _LISTED:
            lines.append(f"       ... and {len(check.faults) - _LISTED} more")
    return "\n".join(lines)


@dataclass(slots=True)
class ShardContent:
    """What the verifiers of a shard read, in the order of FORMATS: later ones compare with what earlier ones read.

    `number`: the digits in the names of its files. `samples`: the json of each sample in the tar. `rows`: the rows of
    the table. Both are None if they cannot be read. `pairs`: how many pairs there are.
    """

    number: str
    samples: list[Row] | None = None
    rows: list[Row] | None = None
    pairs: int = 0

    @property
    def stem(self) -> str:
        """The start of the names of its tar and its table."""
        return f"{SAMPLE_FILES}{self.number}"

    @property
    def records(self) -> list[Row]:
        return self.samples or self.rows or []


class Verifier(Protocol):
    """Checks the files of one format, shard after shard."""

    check: Check

    def __init__(self, folder: Path, manifest: Manifest) -> None: ...

    def read(self, shard: ShardContent) -> None:
        """Reads the file of one shard, which may be missing, and records faults."""
        ...

    def finish(self) -> None:
        """Is called after the last shard, for checks over all shards and the detail of the check."""
        ...


def not_installed(package: str) -> str:
    return f"{package} is not installed: {how_to_install(package)}"


def one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
