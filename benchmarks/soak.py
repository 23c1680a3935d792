"""Kills a run again and again, then compares its release byte for byte with that of an undisturbed run.

    python -m benchmarks.soak [--kills 50] [--seed 0]

Each time, after a random delay, it kills either the whole run (driver, Ray and workers) or one of its workers with
SIGKILL, and then runs the same command again. In the end every record must name files with the recorded bytes, every
file must be named by a record, and the accounts must balance. Exits 1 on any difference.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.runs import (
    check_commits,
    draw_photos,
    engine,
    engine_in_background,
    recipe_data,
    release_files,
    write_recipe,
)

NODES = ("probe", "first", "second", "objects", "judge", "emit", "images", "inputs", "labels")


@dataclass(slots=True)
class Tally:
    runs: int = 0
    drivers: int = 0  # whole runs killed
    workers: int = 0  # single workers killed
    survived: int = 0  # runs that ended before their kill
    resumed_at: int = 0  # most records found at a kill


def write_recipes(scratch: Path, photos: int, slow: float) -> dict[str, Path]:
    draw_photos(scratch / "photos", photos)
    nodes = {
        "first": {"use": "faulty", "slow_s": slow, "batch_size": 4},
        "second": {"use": "faulty", "slow_s": slow, "batch_size": 4, "seed": 1, "objects": 4},
        "objects": {"use": "consensus"},
    }
    made = {}
    for name in ("peace", "soak"):
        # A worker killed while it loads counts as failing to start, which may end the run; the command is run again.
        data = recipe_data(scratch / name, scratch / "photos", {}, annotate=nodes)
        data["ingest"]["shard_size"], data["run"] = 10, {"max_workers": 2}
        made[name] = write_recipe(scratch / f"{name}.yaml", data)
    return made


# --- killing ---------------------------------------------------------------------------------


def soak(recipe: Path, dataset: Path, kills: int, longest: float, dice: random.Random) -> Tally:
    tally = Tally()
    while tally.drivers + tally.workers < kills:
        run = engine_in_background("run", "-c", str(recipe))
        tally.runs += 1
        try:
            while tally.drivers + tally.workers < kills and run.poll() is None:
                _kill_once(run, longest, dice, tally)
                tally.resumed_at = max(tally.resumed_at, records(dataset))
        finally:
            end(run)
        if finished(dataset) and tally.drivers + tally.workers < kills:
            begin_again(dataset)  # the run had finished
    return tally


def _kill_once(run: subprocess.Popen[str], longest: float, dice: random.Random, tally: Tally) -> None:
    whole, until = dice.random() < 0.5, time.monotonic() + dice.uniform(0.5, longest)
    while time.monotonic() < until:
        if run.poll() is not None:
            tally.survived += 1
            return
        time.sleep(0.02)
    if whole:
        tally.drivers += 1
        end(run)
        return
    found = [process for process, name in session(run.pid) if name.startswith(("ray::RemoteWork", "ray::IDLE"))]
    if found:
        tally.workers += 1
        _kill(dice.choice(sorted(found)))


def session(leader: int) -> Iterator[tuple[int, str]]:
    """(id, name) of each process in the session that this process started."""
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    yield int(place.name), (place / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue


def end(run: subprocess.Popen[str]) -> None:
    """Kills what is left of the run, in its own session only."""
    for process, _ in list(session(run.pid)):
        _kill(process)
    if run.stdout is not None and not run.stdout.closed:
        run.communicate()


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


# --- the data set ----------------------------------------------------------------------------


def records(dataset: Path) -> int:
    return sum(1 for name in NODES for _ in dataset.glob(f"{name}/**/*.json"))


def finished(dataset: Path) -> bool:
    return (dataset / "releases" / "v1" / "manifest.json").exists()


def begin_again(dataset: Path) -> None:
    """Removes verdicts, consensus, release and half of the answers, so that there is work again."""
    import shutil

    for name in ("judge", "objects", "emit", "releases"):
        shutil.rmtree(dataset / name, ignore_errors=True)
    for path in sorted(dataset.glob("first/*/*.json"))[::2] + sorted(dataset.glob("second/*/*.json"))[1::2]:
        path.unlink()


def orphans(dataset: Path) -> list[str]:
    """Files in the nodes' folders that no record names, including temporary ones."""
    import json

    named: set[str] = set()
    found: set[str] = set()
    for name in NODES:
        for path in (dataset / name).glob("**/*"):
            if path.suffix == ".json" and not path.name.startswith("."):
                named |= {file["path"] for file in json.loads(path.read_text()).get("files", {}).values()}
            elif path.is_file():
                found.add(str(path.relative_to(dataset)))
    return sorted(found - named)


def differences(scratch: Path, recipe: Path) -> list[str]:
    """A sentence for each difference from the undisturbed data set."""
    peace, soaked = scratch / "peace", scratch / "soak"
    problems = []
    expected, found = release_files(peace), release_files(soaked)
    problems += [f"{name} differs" for name in sorted(expected.keys() | found) if expected.get(name) != found.get(name)]
    try:
        print(f"{check_commits(soaked)} files match their records; {len(found)} files of the release compared")
    except AssertionError as error:
        problems.append(str(error))
    problems += [f"no record names {name}" for name in orphans(soaked)]
    status = engine("status", "-c", str(recipe))
    if status.returncode != 0:
        problems.append(f"engine status does not balance: {status.stdout[-500:]} {status.stderr[-500:]}")
    return problems


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--photos", type=int, default=300)
    options.add_argument("--slow", type=float, default=0.05, help="seconds an image takes each detector")
    options.add_argument("--longest", type=float, default=20.0, help="seconds between two kills at most")
    options.add_argument("--keep", type=Path, help="work in this folder, and leave it behind")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = given.keep or Path(temporary)
        recipes = write_recipes(scratch, given.photos, given.slow)
        started = time.monotonic()
        left = engine("run", "-c", str(recipes["peace"]))
        if left.returncode != 0:
            raise SystemExit(f"The run left in peace failed: {left.stderr[-1000:]}")
        print(f"left in peace: {time.monotonic() - started:.0f} s", flush=True)
        tally = soak(recipes["soak"], scratch / "soak", given.kills, given.longest, random.Random(given.seed))
        last = engine("run", "-c", str(recipes["soak"]))
        killed = f"{tally.drivers} runs and {tally.workers} workers killed in {tally.runs} runs"
        print(f"{killed} ({tally.survived} kills came too late), up to {tally.resumed_at} records found")
        problems = differences(scratch, recipes["soak"])
        if last.returncode != 0:
            problems.append(f"the last run failed: {last.stderr[-1000:]}")
        print("\n".join(problems) or "no difference", f"({time.monotonic() - started:.0f} s)")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
