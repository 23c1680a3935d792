"""A check of a release, and how errors of the libraries that read it become faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.extras import how_to_install

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


def not_installed(package: str) -> str:
    return f"{package} is not installed: {how_to_install(package)}"


def one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
