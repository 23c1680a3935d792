"""Kills a run at chosen moments of each stage, runs the same command again, and compares every byte.

    python -m benchmarks.kills [--kills 10] [--seed 0] [--stages ingest placing ...] [--keep FOLDER]

A small world is ingested, annotated, judged and released; another one goes through a round of refinement (training,
proposing, merging); a third command fits a calibration. In the end the data set, apart from runs/, must have the same
files with the same bytes as after an undisturbed run. A run is killed before, inside, after or some time after one of
its changes to the data set (benchmarks/kill_launcher.py), drawn by seed within the stage. It starts from a copy of the
data set at the beginning of that stage. Runs in one process (`--runner inline`); benchmarks/soak.py kills workers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.commands import Done, command
from benchmarks.kill_launcher import WHENS

# {stage: the top folders that it writes}
STAGES: dict[str, tuple[str, ...]] = {
    "ingest": ("inputs", "probe"),
    "placing": ("splits", "images", "labels", "truth", "placed"),
    "annotate": ("noisy", "quality", "objects"),
    "survey": ("survey", "surveyed"),
    "judge": ("judge",),
    "emit": ("emit", "releases"),
    "training": ("models",),
    "proposing": ("round-1-pairs", "round-1-propose"),
    "merging": ("round-1-merge", "rounds"),
    "fit": ("calibration",),
}
REFINED = ("training", "proposing", "merging")
RUN, FIT = ("run", "--runner", "inline"), ("eval", "--fit")
LONGEST = 300.0  # seconds that a command may take


def recipe(rounds: int) -> dict[str, Any]:
    lenient = {"min_agreement": 0.0, "max_dropped": 1.0, "max_relabelled": 1.0, "max_added": 20.0, "max_f1_fall": 1.0}
    return {
        "dataset": "ds",
        "ingest": {"sources": ["world://?images=40&size=64&words=0"], "shard_size": 20, "audit": {"fraction": 0.3}},
        "annotate": {
            "noisy": {"use": "noisy_annotator"},
            "objects": {"use": "consensus"},
            "quality": {"use": "image_quality"},
        },
        "filter": ["near_duplicate", {"min_score": {"floor": 0.35}}, {"nms": {"across": 0.5}}],
        "emit": {"name": "v1", "pairs": {"order": "reading", "tasks": ["<OD>"]}},
        "train": {"size": 64, "vocabulary": 300, "steps": 8, "batch_size": 4, "warmup": 2, "checkpoint_every": 3},
        "refine": {
            "rounds": rounds,
            "max_new_tokens": 40,
            "merge": {"add": 0.0, "relabel": 0.0, "drop": 0.02},
            "gate": {**lenient, "class_fall": 1.0, "min_right": 0.0},
        },
    }


@dataclass(frozen=True, slots=True)
class Start:
    """The starting point of runs that are killed in one stage: a data set, its recipe's folder, the stage's changes."""

    folder: Path
    changes: tuple[int, ...]
    arguments: tuple[str, ...] = RUN

    def begin(self, scratch: Path) -> None:
        shutil.rmtree(scratch / "ds", ignore_errors=True)
        if (self.folder / "ds").exists():
            shutil.copytree(self.folder / "ds", scratch / "ds")
        shutil.copy(self.folder / "recipe.yaml", scratch / "recipe.yaml")


def launch(folder: Path, at: int, when: str, arguments: Sequence[str]) -> tuple[Done, list[str]]:
    """Runs one command. Returns the names of what it changed, in order."""
    log = folder / "changes.log"
    log.unlink(missing_ok=True)
    given = (str(log), str(at), when, *arguments)
    done = command(*given, cwd=folder, module="benchmarks.kill_launcher", hangs_after=LONGEST)
    return done, [line.split(" ", 1)[1] for line in log.read_text().splitlines()] if log.exists() else []


def stage_of(name: str) -> str:
    first = name.split("/", 1)[0]
    return next((stage for stage, folders in STAGES.items() if first in folders), "")


def contents(dataset: Path) -> dict[str, str]:
    """{name: sha256} of every file outside of runs/."""
    files = {str(path.relative_to(dataset)): path for path in dataset.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if not name.startswith("runs/")
    }


def differences(right: dict[str, str], found: dict[str, str]) -> list[str]:
    problems = [f"{name} is missing" for name in sorted(right.keys() - found)]
    problems += [f"{name} is one too many" for name in sorted(found.keys() - right)]
    return problems + [
        f"{name} has other bytes" for name in sorted(right) if found.get(name, right[name]) != right[name]
    ]


def prepare(folder: Path, stages: Sequence[str]) -> tuple[dict[str, Start], dict[str, dict[str, str]]]:
    """The start of each stage, and the final contents of an undisturbed run."""
    starts: dict[str, Start] = {}
    right: dict[str, dict[str, str]] = {}
    for rounds in (0, 1):
        wanted = [stage for stage in stages if (stage in REFINED) == bool(rounds)]
        if not wanted:
            continue
        place = folder / f"rounds-{rounds}"
        place.mkdir()
        (place / "recipe.yaml").write_text(json.dumps(recipe(rounds)))
        done, changes = launch(place, -1, "before", RUN)
        _must(done)
        whole = contents(place / "ds")
        right |= dict.fromkeys(wanted, whole)
        for stage in (name for name in wanted if name != "fit"):
            starts[stage] = _start(folder / stage, place, stage, changes)
        if "fit" in wanted:
            done, changes = launch(place, -1, "before", FIT)
            _must(done)
            right["fit"] = contents(place / "ds")
            shutil.rmtree(place / "ds" / "calibration")
            shutil.copytree(place, folder / "fit", dirs_exist_ok=True)
            starts["fit"] = Start(folder / "fit", tuple(range(len(changes))), FIT)
    return starts, right


def _start(folder: Path, place: Path, stage: str, changes: list[str]) -> Start:
    """The data set at the start of a stage: made by a run that is killed before the stage's first change."""
    shutil.copytree(place, folder, ignore=lambda *_: ["ds"])
    first = next(number for number, name in enumerate(changes) if stage_of(name) == stage)
    done, _ = launch(folder, first, "before", RUN)
    if done.code != -signal.SIGKILL:
        raise SystemExit(f"{stage}: the run was not killed: {done.text[-500:]}")
    rest = launch_rest(folder)
    return Start(folder, tuple(number for number, name in enumerate(rest) if stage_of(name) == stage))


def launch_rest(folder: Path) -> list[str]:
    """The changes that a run from here makes, found by running it in a copy."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        copy = Path(temporary) / "copy"
        shutil.copytree(folder, copy)
        done, changes = launch(copy, -1, "before", RUN)
        _must(done)
        return changes


def _must(done: Done) -> None:
    if done.code:
        raise SystemExit(f"A run left in peace failed: {done.text[-800:]}")


def attempt(
    start: Start, right: dict[str, str], scratch: Path, number: int, dice: random.Random
) -> tuple[str, list[str]]:
    """Kills one run and runs it again. Returns where it was killed, and a sentence for each fault."""
    start.begin(scratch)
    at, when = dice.choice(start.changes), WHENS[number % len(WHENS)]
    done, changes = launch(scratch, at, when, start.arguments)
    moment = f"{when} change {at}, {changes[-1] if changes else 'none'}"
    if done.code not in (0, -signal.SIGKILL):  # 0: it ended before it was to be killed
        return moment, [f"the killed run ended with {done.code}: {done.text[-300:]}"]
    again = command(*start.arguments, cwd=scratch, hangs_after=LONGEST)
    wrong = again.faults()
    if again.code:
        wrong.append(f"the same command again: exit code {again.code}: {again.sentence}")
    wrong += differences(right, contents(scratch / "ds"))
    status = command("status", cwd=scratch)
    if status.code:
        wrong.append(f"status does not add up: {status.text[:200]}")
    return moment, wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=10, help="of each stage")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    options.add_argument("--keep", type=Path, help="work in this folder, and leave it behind")
    given = options.parse_args()
    begun, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        starts, right = prepare(folder, given.stages)
        print(f"prepared in {time.monotonic() - begun:.0f} s", flush=True)
        scratch = folder / "scratch"
        scratch.mkdir()
        for stage, start in starts.items():
            bad = 0
            for number in range(given.kills):
                dice = random.Random(f"{given.seed}/{stage}/{number}")
                moment, wrong = attempt(start, right[stage], scratch, number, dice)
                bad += bool(wrong)
                if wrong:
                    print(f"{stage} {number} ({moment}): {'; '.join(wrong)[:800]}", flush=True)
            failed += bad
            print(f"{stage:<12}{given.kills:>4} kills{bad:>4} wrong  ({time.monotonic() - begun:.0f} s)", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
