"""Kills a run again and again, then compares its release byte for byte with that of an undisturbed run.

    python -m benchmarks.soak [--runner local] [--kills 50] [--seed 0]

Each time, after a random delay, it kills with SIGKILL, and then runs the same command again. With Ray it kills the
whole run (driver, Ray and workers) or a worker. With local processes it kills the driver alone, a worker, or, more
rarely, the process that starts workers; the others must then end by themselves within 10 seconds. In the end every
record must name files with the recorded bytes, every file must be named by a record, and the accounts must balance. A
kill may cost only the units in progress: one for each killed worker, two for a driver. Exits 1 on any difference.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.race_measure import children, descendants
from tests.runs import (
    check_commits,
    draw_photos,
    engine,
    engine_in_background,
    journal,
    recipe_data,
    release_files,
    write_recipe,
)

SHARD = 10  # images
ENDS_WITHIN_S = 10.0  # the processes of a killed driver
NODES = ("probe", "first", "second", "objects", "judge", "emit", "images", "inputs", "labels")


@dataclass(slots=True)
class Tally:
    runs: int = 0
    drivers: int = 0  # whole runs killed, or only their drivers
    workers: int = 0  # single workers killed
    servers: int = 0  # processes killed that start workers
    left: int = 0  # processes that ran 10 seconds after their driver was killed
    slowest: float = 0.0  # seconds until the last process of a killed driver had ended
    repeated: int = 0  # shards that `begin_again` removed
    survived: int = 0  # runs that ended before their kill
    resumed_at: int = 0  # most records found at a kill

    @property
    def kills(self) -> int:
        return self.drivers + self.workers + self.servers

    @property
    def units_at_risk(self) -> int:
        """The most units that the kills may have interrupted."""
        return 2 * (self.drivers + self.servers) + self.workers


def write_recipes(scratch: Path, photos: int, slow: float) -> dict[str, Path]:
    draw_photos(scratch / "photos", photos)
    nodes = {
        "first": {"use": "faulty", "slow_s": slow, "batch_size": 4, "journal": str(scratch / "journal")},
        "second": {"use": "faulty", "slow_s": slow, "batch_size": 4, "seed": 1, "journal": str(scratch / "journal")},
        "objects": {"use": "consensus"},
    }
    made = {}
    for name in ("peace", "soak"):
        # A worker killed while it loads counts as failing to start, which may end the run; the command is run again.
        data = recipe_data(scratch / name, scratch / "photos", {}, annotate=nodes)
        data["ingest"]["shard_size"], data["run"] = SHARD, {"max_workers": 2}
        made[name] = write_recipe(scratch / f"{name}.yaml", data)
    return made


# --- killing ---------------------------------------------------------------------------------


def soak(recipe: Path, runner: str, dataset: Path, kills: int, longest: float, dice: random.Random) -> Tally:
    tally = Tally()
    while tally.kills < kills:
        run = engine_in_background("run", "-c", str(recipe), "--runner", runner)
        tally.runs += 1
        try:
            while tally.kills < kills and run.poll() is None:
                _kill_once(run, runner, longest, dice, tally)
                tally.resumed_at = max(tally.resumed_at, records(dataset))
        finally:
            end(run)
        if finished(dataset) and tally.kills < kills:
            tally.repeated += begin_again(dataset)  # the run had finished
    return tally


def _kill_once(run: subprocess.Popen[str], runner: str, longest: float, dice: random.Random, tally: Tally) -> None:
    draw, until = dice.random(), time.monotonic() + dice.uniform(0.5, longest)
    while time.monotonic() < until:
        if run.poll() is not None:
            tally.survived += 1
            return
        time.sleep(0.02)
    servers = list(children(run.pid)) if runner == "local" else []
    if draw < 0.5:
        tally.drivers += 1
        _kill_driver(run, runner, tally)
    elif draw > 0.95 and servers:
        tally.servers += 1
        _kill(servers[0])
    elif found := _workers(run, servers):
        tally.workers += 1
        _kill(dice.choice(sorted(found)))


def _workers(run: subprocess.Popen[str], servers: Sequence[int]) -> list[int]:
    ray = [process for process, name in session(run.pid) if name.startswith(("ray::RemoteWork", "ray::IDLE"))]
    return ray + [worker for server in servers for worker in children(server)]


def _kill_driver(run: subprocess.Popen[str], runner: str, tally: Tally) -> None:
    """Kills the whole run with Ray; with local processes only the driver, and waits until the others have ended."""
    if runner == "ray":
        end(run)
        return
    others = {process: _began(process) for process in descendants(run.pid)}
    begun = time.monotonic()
    _kill(run.pid)
    run.communicate()
    while left := [process for process, began in others.items() if began and _began(process) == began]:
        if time.monotonic() - begun > ENDS_WITHIN_S:
            tally.left += len(left)
            break
        time.sleep(0.02)
    tally.slowest = max(tally.slowest, time.monotonic() - begun)


def _began(process: int) -> str:
    """When a process began, in the kernel's unit; '' if it has ended. Ids are used again, so the id is not enough."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


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


def begin_again(dataset: Path) -> int:
    """Removes verdicts, consensus, release and half of the answers. Returns how many shards are to annotate again."""
    import shutil

    for name in ("judge", "objects", "emit", "releases"):
        shutil.rmtree(dataset / name, ignore_errors=True)
    removed = sorted(dataset.glob("first/*/*.json"))[::2] + sorted(dataset.glob("second/*/*.json"))[1::2]
    for path in removed:
        path.unlink()
    return len(removed)


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


def wasted(scratch: Path, photos: int, tally: Tally) -> list[str]:
    """A sentence if more images were annotated twice than the kills explain."""
    answered = len(journal(scratch / "journal"))
    twice = answered - 2 * photos - SHARD * tally.repeated
    most = SHARD * tally.units_at_risk
    print(f"{answered} images annotated, {twice} of them again because of kills (at most {most} were in progress)")
    return [f"{twice} images were annotated again, expected at most {most}"] if twice > most else []


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


def summary(tally: Tally) -> str:
    killed = f"{tally.drivers} runs, {tally.workers} workers and {tally.servers} servers killed in {tally.runs} runs"
    ended = f"the last process of a killed driver ended after {tally.slowest:.1f} s at most"
    return f"{killed} ({tally.survived} kills came too late), up to {tally.resumed_at} records found; {ended}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runner", choices=("local", "ray"), default="local")
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
        left = engine("run", "-c", str(recipes["peace"]), "--runner", given.runner)
        if left.returncode != 0:
            raise SystemExit(f"The run left in peace failed: {left.stderr[-1000:]}")
        print(f"left in peace: {time.monotonic() - started:.0f} s", flush=True)
        (scratch / "journal").unlink()
        dice = random.Random(given.seed)
        tally = soak(recipes["soak"], given.runner, scratch / "soak", given.kills, given.longest, dice)
        last = engine("run", "-c", str(recipes["soak"]), "--runner", given.runner)
        print(summary(tally))
        problems = wasted(scratch, given.photos, tally) + differences(scratch, recipes["soak"])
        if tally.left:
            problems.append(f"{tally.left} processes ran {ENDS_WITHIN_S:g} s after their driver was killed")
        if last.returncode != 0:
            problems.append(f"the last run failed: {last.stderr[-1000:]}")
        print("\n".join(problems) or "no difference", f"({time.monotonic() - started:.0f} s)")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
