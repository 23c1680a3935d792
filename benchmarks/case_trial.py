"""Runs the commands of one case of ../shared/data/cases in its folder, and collects what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.commands import Done, command, rows

_REGIONS = (
    "SELECT i.uri, i.width, i.height, label, x1, y1, x2, y2, rle FROM regions r JOIN images i USING (image_id) "
    "ORDER BY ALL"
)
_OUTCOME = re.compile(r"^inputs +([\d,]+) = (.*?) +\((adds up|DOES NOT)", re.MULTILINE)


@dataclass(slots=True)
class Trial:
    """One case in its own folder, with one runner. `before`: a command that starts each command (such as ulimit)."""

    folder: Path
    runner: str
    wrong: list[str] = field(default_factory=list)
    before: Sequence[str] = ()
    memory: int = 0
    dataset: str = "ds"

    def run(self, *more: str, code: int | None = 0) -> Done:
        """`engine run`. `code`: the expected exit code, None for any."""
        done = self.engine("run", "--runner", self.runner, *more)
        if code is not None and done.code != code and done.code is not None:
            self.wrong.append(f"exit code {done.code}, right is {code}: {(done.sentence or done.err)[-160:]!r}")
        return done

    def engine(self, *arguments: str) -> Done:
        done = command(*arguments, cwd=self.folder, before=self.before, memory=self.memory, hangs_after=120)
        self.wrong += done.faults()
        return done

    def expect_output(self, done: Done, *patterns: str) -> None:
        """Checks that the output holds each of these texts, in upper or lower case."""
        for pattern in patterns:
            if not re.search(pattern, done.text, re.IGNORECASE):
                self.wrong.append(f"{done.arguments[0]} does not print /{pattern}/")

    def query(self, sql: str) -> list[dict[str, Any]]:
        return rows(self.engine("query", sql, "--format", "json", "-d", self.dataset))

    def inputs(self, **right: int) -> Done:
        """Checks that the account of inputs adds up, with these numbers of outcomes and no others."""
        done, parts = self.account()
        if parts and parts != dict.fromkeys(parts, 0) | right:
            self.wrong.append(f"inputs are {parts}, right is {right}")
        return done

    def account(self) -> tuple[Done, dict[str, int]]:
        """Checks that the account in `engine status` adds up. Returns the number of inputs with each outcome."""
        done = self.engine("status", "-d", self.dataset)
        found = _OUTCOME.search(done.out)
        if found is None or found[3] != "adds up":
            self.wrong.append(f"the account does not add up: {done.out[:200]!r}")
            return done, {}
        parts = re.findall(r"([\d,]+) ([a-z]+)", found[2])
        return done, {name: int(number.replace(",", "")) for number, name in parts}

    def same(self, what: str, found: Any, right: Any) -> None:
        if found != right:
            self.wrong.append(f"{what}: {str(found)[:300]}, right is {str(right)[:300]}")

    def regions(self, right: int) -> list[dict[str, Any]]:
        found = self.query(_REGIONS)
        self.same("regions", len(found), right)
        return found

    def nothing_placed(self) -> None:
        made = sorted(path.name for path in (self.folder / self.dataset).glob("images/*"))
        self.same("placed images", made, [])
