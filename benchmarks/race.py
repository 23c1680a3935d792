"""The engine beside the scripts that a user would write instead, on one machine.

    python -m benchmarks.race --data FOLDER [--only annotate filter parse ingest] [--peers FOLDER]

Each side is a command that runs as a process of its own, in turns with the others. It runs with a size and with twice
that size. `whole` is the smaller run, with start-up. `steady` is the difference of the two runs, in which start-up and
end cancel out. Ratios are to the first side of each contest; all figures are medians of the rounds. CPU seconds, of all
processes together, depend less on other load than elapsed time. Memory is the peak of the smaller run (see
race_measure.py). The contest `annotate` leaves ingest out, because the scripts have no such step. --data: a folder with
coco/dev and weights.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parse import generated_texts
from benchmarks.photos import real, repeated
from benchmarks.race_measure import Cost, RaceError, measured
from benchmarks.race_peers import daft_python
from engine import PACKAGES
from engine.running.backends.fork_start import KEEP_MEMORY

REPO = Path(__file__).parents[1]
CONTESTS = ("annotate", "filter", "parse", "ingest")
Command = Callable[[int, Path], Sequence[str]]  # of a size and an empty folder for what it writes


@dataclass(frozen=True, slots=True)
class Side:
    """`prepare`: makes what the command needs, before each run and outside of its time.

    `counted`: whether its CPU time can be measured; Ray's daemon discards that of its workers.
    """

    name: str
    command: Command
    prepare: Callable[[int, Path], None] = lambda size, out: None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Contest:
    """`unit`: what sizes count. The first side is the reference."""

    title: str
    unit: str
    size: int
    sides: Sequence[Side]


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def engine(recipe: Path, stage: str, runner: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pipelines.cli",
        "run",
        "-c",
        str(recipe),
        "--stage",
        stage,
        "--runner",
        runner,
    ]


def write_recipe(path: Path, **sections: Any) -> Path:
    """A recipe in JSON, which is YAML. Its data set is `ds`, in the folder of the recipe."""
    path.write_text(json.dumps({"dataset": str(path.parent / "ds"), **sections}))
    return path


# --- the contests --------------------------------------------------------------------------------


def annotating(scratch: Path, data: Path, size: int, daft: str) -> Contest:
    weights = str(data / "weights" / "yolox_nano_coco80_416.onnx")
    photos = real(data / "coco" / "dev" / "images")
    detector = {"use": "onnx_detector", "weights": weights, "head": "yolox"}
    for count in (size, 2 * size):
        repeated(photos, scratch / f"photos-{count}", count)
        (scratch / f"ingested-{count}").mkdir()
        sections = {"sources": [{"folder": str(scratch / f"photos-{count}")}], "shard_size": 50}
        recipe = write_recipe(scratch / f"ingested-{count}" / "recipe.yaml", ingest=sections)
        measured(engine(recipe, "ingest", "local"), REPO)

    def ingested(count: int, out: Path) -> None:
        shutil.copytree(scratch / f"ingested-{count}" / "ds", out / "ds")
        sources = {"sources": [{"folder": str(scratch / f"photos-{count}")}], "shard_size": 50}
        write_recipe(out / "recipe.yaml", ingest=sources, annotate={"boxes": detector}, run={"max_workers": 2})

    def by_script(program: Sequence[str], side: str) -> Command:
        def command(count: int, out: Path) -> Sequence[str]:
            return [*program, side, weights, str(scratch / f"photos-{count}"), str(out / "boxes"), str(count)]

        return command

    def by_engine(runner: str) -> Side:
        command: Command = lambda _, out: engine(out / "recipe.yaml", "annotate", runner)  # noqa: E731
        return Side(f"engine, {runner}", command, ingested, counted=runner != "ray")

    script = "benchmarks.race_annotate"
    sides = [Side("pool of 2 processes", by_script([sys.executable, "-m", script], "pool"))]
    sides += [Side("Daft, 2 processes", by_script([daft, "-m", script], "daft"))] if daft else []
    return Contest("annotate with YOLOX nano", "photos", size, [*sides, by_engine("local"), by_engine("ray")])


def filtering(scratch: Path, size: int, daft: str) -> Contest:
    for count in (size, 2 * size):
        measured(python("race_filters", "make", str(scratch / f"regions-{count}"), "--regions", str(count)), REPO)

    def fresh(count: int, out: Path) -> None:
        for name in ("judge", "runs", "current.json"):
            path = scratch / f"regions-{count}" / name
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)

    def by_script(program: Sequence[str]) -> Command:
        return lambda count, out: [*program, str(scratch / f"regions-{count}"), str(out)]

    def by_engine(runner: str) -> Side:
        command: Command = lambda n, out: engine(scratch / f"regions-{n}" / "recipe.yaml", "filter", runner)  # noqa: E731
        return Side(f"engine, {runner}", command, fresh, counted=runner != "ray")

    names = {
        "rewrite": "pyarrow: reads and rewrites",
        "arrow": "pyarrow: judges",
        "pandas": "pandas",
        "duckdb": "DuckDB",
    }
    sides = [Side(title, by_script(python("race_filters", name))) for name, title in names.items()]
    sides += [Side("Daft", by_script([daft, "-m", "benchmarks.race_filters_daft"]))] if daft else []
    return Contest("filter", "regions", size, [*sides, by_engine("local"), by_engine("ray")])


def parsing(scratch: Path, size: int) -> Contest:
    texts = scratch / "texts.json"
    texts.write_text(json.dumps(generated_texts(2 * size)))

    settings = [f"{name}={value}" for name, value in KEEP_MEMORY.items()]  # those of the engine's workers

    def side(name: str) -> Side:
        program = ["env", *settings, *python("race_loops", name.split()[-1], str(texts))]
        return Side(name, lambda count, out: [*program, str(count)])

    return Contest("parse captions", "texts", size, [side("spaCy pipe"), side("spacy_parse's parse")])


def ingesting(scratch: Path, data: Path, size: int) -> Contest:
    photos = real(data / "coco" / "dev" / "images")
    for count in (size, 2 * size):
        repeated(photos, scratch / f"inputs-{count}", count)

    def recipe(count: int, out: Path) -> None:
        write_recipe(out / "recipe.yaml", ingest={"sources": [{"folder": str(scratch / f"inputs-{count}")}]})

    loop = Side(
        "read, hash, header", lambda n, out: python("race_loops", "headers", str(scratch / f"inputs-{n}"), str(n))
    )
    engines = [
        Side("engine, local", lambda _, out: engine(out / "recipe.yaml", "ingest", "local"), recipe),
    ]
    return Contest("ingest a folder", "photos", size, [loop, *engines])


# --- running and printing ------------------------------------------------------------------------


def run_side(side: Side, size: int, scratch: Path, *, tries: int = 3) -> Cost:
    """The cost of one run. A run that fails is repeated, because Daft sometimes crashes after its work."""
    out = Path(tempfile.mkdtemp(dir=scratch, prefix="out-"))
    try:
        side.prepare(size, out)
        return measured(side.command(size, out), REPO, {"PYTHONPATH": str(REPO), "RAY_AUTH_MODE": "disabled"})
    except RaceError as error:
        if tries == 1:
            raise
        print(f"{side.name}: once more, because {error}", file=sys.stderr)
    finally:
        shutil.rmtree(out)
    return run_side(side, size, scratch, tries=tries - 1)


def race(contest: Contest, rounds: int, scratch: Path) -> dict[str, list[tuple[Cost, Cost]]]:
    """(cost of the size, cost of twice the size) of each round, by side. A side that fails is left out, with a line."""
    found: dict[str, list[tuple[Cost, Cost]]] = {side.name: [] for side in contest.sides}
    for number in range(rounds):
        turn = number % len(contest.sides)
        for side in [*contest.sides[turn:], *contest.sides[:turn]]:
            if side.name not in found:
                continue
            try:
                found[side.name].append(
                    (run_side(side, contest.size, scratch), run_side(side, 2 * contest.size, scratch))
                )
            except RaceError as error:
                print(f"{contest.title}, {side.name}: left out, because {error}", file=sys.stderr)
                del found[side.name]
    return found


def rows(contest: Contest, found: Mapping[str, Sequence[tuple[Cost, Cost]]]) -> list[str]:
    first, counted = found[contest.sides[0].name], {side.name for side in contest.sides if side.counted}
    lines = []
    for name, costs in found.items():
        cells = [f"{contest.title}, {contest.size:,} {contest.unit}", name]
        cells += [f"{statistics.median(getattr(one, what) for one, _ in costs):.2f}" for what in ("elapsed", "cpu")]
        cells.append(f"{statistics.median(one.memory for one, _ in costs):.0f}")
        for steady in (False, True):
            cells += [ratio(costs, first, what, steady=steady) for what in ("elapsed", "cpu")]
        if name not in counted:
            cells[3] = cells[6] = cells[8] = "–"
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def ratio(costs: Sequence[tuple[Cost, Cost]], first: Sequence[tuple[Cost, Cost]], what: str, *, steady: bool) -> str:
    """The median over rounds of the quotient to the reference."""

    def value(pair: tuple[Cost, Cost]) -> float:
        small, large = (float(getattr(one, what)) for one in pair)
        return large - small if steady else small

    return f"{statistics.median(value(ours) / value(theirs) for ours, theirs in zip(costs, first, strict=True)):.2f}"


HEAD = (
    "contest",
    "side",
    "whole: elapsed s",
    "CPU s",
    "peak MiB",
    "whole: elapsed ratio",
    "CPU ratio",
    "steady: elapsed ratio",
    "CPU ratio",
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--only", nargs="+", choices=CONTESTS, default=list(CONTESTS))
    options.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "fld-race-peers")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--images", type=int, default=600)
    options.add_argument("--regions", type=int, default=1_000_000)
    options.add_argument("--texts", type=int, default=3000)
    given = options.parse_args()
    os.environ["PYTHONPATH"] = str(REPO)
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    for folder in (*PACKAGES, "benchmarks"):
        compileall.compile_dir(REPO / folder, quiet=1)  # as `pip install` does
    data = given.data.resolve()
    daft = daft_python(given.peers.absolute()) if {"annotate", "filter"} & set(given.only) else ""
    makers: dict[str, Callable[[Path], Contest]] = {
        "annotate": lambda scratch: annotating(scratch, data, given.images, daft),
        "filter": lambda scratch: filtering(scratch, given.regions, daft),
        "parse": lambda scratch: parsing(scratch, given.texts),
        "ingest": lambda scratch: ingesting(scratch, data, 5 * given.images),
    }
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            contest = makers[name](Path(folder))
            print("\n".join(rows(contest, race(contest, given.rounds, Path(folder)))), flush=True)


if __name__ == "__main__":
    main()
