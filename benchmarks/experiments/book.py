"""Runs experiments, each in its own process. Its figures become a JSON file, with the commit and the settings.

An experiment that has its JSON file is not run again unless its settings changed. A stopped one resumes in its folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.keys import stable_hash
from engine.running.progress import clock

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "experiments"
Table = dict[str, dict[str, Any]]  # {row: {column: value}}


@dataclass(slots=True)
class Outcome:
    """What an experiment found. tables: {title: {row: {column: value}}}. notes: sentences, such as the gate's."""

    tables: dict[str, Table]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment. settings: everything that its figures depend on. run: gets a folder and the settings. after: the
    experiments whose models it reads."""

    name: str
    asks: str
    settings: Mapping[str, Any]
    run: Callable[[Path, Mapping[str, Any]], Outcome]
    after: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return stable_hash(["experiment", self.name, dict(self.settings)])

    @property
    def file(self) -> Path:
        return RESULTS / f"{self.name}.json"

    @property
    def done(self) -> bool:
        return self.file.exists() and json.loads(self.file.read_bytes())["recipe"] == self.digest


def perform(experiment: Experiment, out: Path) -> None:
    """Runs one experiment in this process and writes its figures. CPU seconds add up over interrupted runs."""
    folder = out / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    changed = _git("status", "--porcelain", "-uno", "--", ".", ":!docs")
    commit = _git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    started, before = time.process_time(), folder / "cpu_seconds"
    try:
        outcome = experiment.run(folder, experiment.settings)
    finally:
        spent = time.process_time() - started + (float(before.read_text()) if before.exists() else 0.0)
        before.write_text(f"{spent:.0f}")
    content = {
        "name": experiment.name,
        "asks": experiment.asks,
        "commit": commit,
        "recipe": experiment.digest,
        "settings": experiment.settings,
        "cpu_seconds": round(spent),
        "tables": outcome.tables,
        "notes": outcome.notes,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    experiment.file.write_text(json.dumps(content, indent=1) + "\n")


def _git(*words: str) -> str:
    """The output of git; '' outside of a checkout."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


class Book:
    """Runs the experiments that are not done, `jobs` at a time, one thread each. Logs are beside their folders."""

    def __init__(self, experiments: Sequence[Experiment], out: Path, jobs: int) -> None:
        self.experiments, self.out, self.jobs = experiments, out, jobs
        self.started = time.monotonic()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> list[str]:
        """Runs until nothing is left. Returns the names of experiments that failed, or that depend on a failed one."""
        waiting = [one for one in self.experiments if not one.done]
        done = len(self.experiments) - len(waiting)
        self._print(
            f"{done} of {len(self.experiments)} are done" + (" already; --again runs them again" if done else "")
        )
        failed: list[str] = []
        try:
            while waiting or self.running:
                for name, process in list(self.running.items()):
                    if process.poll() is not None:
                        del self.running[name]
                        failed += [name] if process.returncode else []
                        self._print(f"{name} " + (f"FAILED, see {self._log(name)}" if process.returncode else "done"))
                failed += [one.name for one in waiting if {*one.after} & {*failed}]
                waiting = [one for one in waiting if one.name not in failed]
                ready = [one for one in waiting if not self._blocked(one, waiting)]
                for one in ready[: self.jobs - len(self.running)]:
                    waiting.remove(one)
                    self._start(one)
                time.sleep(0.5)
        finally:
            for process in self.running.values():
                process.terminate()
        return failed

    def _blocked(self, one: Experiment, waiting: Sequence[Experiment]) -> bool:
        return bool({*one.after} & ({*self.running} | {other.name for other in waiting}))

    def _start(self, one: Experiment) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.experiments", "--alone", one.name, "--out", str(self.out)]
        with self._log(one.name).open("ab") as log:
            self.running[one.name] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        self._print(f"{one.name} started: {one.asks}")

    def _log(self, name: str) -> Path:
        return self.out / f"{name}.log"

    def _print(self, what: str) -> None:
        print(f"{clock(time.monotonic() - self.started)}  {what}", flush=True)
