"""Flips one bit in a file of a finished data set and runs every command: each must report it or answer as before.

    python -m benchmarks.bit_flips [--flips 60] [--seed 0] [--only N] [--keep FOLDER]

The data set is drawn, packed, judged and released. Each flip is made in a fresh copy at the same path. A command passes
if it ends with an error message or its answer is byte for byte the one before the flip; a new release must have the
same bytes or not be made. `engine verify` must find every flip in a release, and `engine check` every flip in a file
that records cover. Files in runs/ are logs: for them only tracebacks count as faults. Exits 1 if a flip is not noticed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.commands import Done
from benchmarks.fuzz_worker import Worker
from tests.runs import release_files
from tests.written_sources import photographs

VIEWS = ("images", "regions", "texts", "region_texts", "phrases", "inputs", "failures")
KINDS = ("data", "record", "packed", "release", "control", "run")
Answer = tuple[Done, object]  # how a command ended, and what it is compared by
OUTCOMES = ("reported", "the same", "silent")


def write_recipe(folder: Path) -> None:
    photographs(folder / "photos", 24)
    (folder / "photos/broken.jpg").write_bytes(b"no image")
    data = {
        "dataset": "ds",
        "ingest": {"sources": [{"folder": "photos"}], "shard_size": 8, "pack": True},
        "annotate": {
            "a": {"use": "fake_detector"},
            "b": {"use": "fake_detector", "seed": 1},
            "objects": {"use": "consensus"},
            "quality": {"use": "image_quality"},
            "captions": {"use": "composer"},
        },
        "filter": ["near_duplicate", "box_sanity", {"min_score": {"floor": 0.35}}, "nms"],
        "emit": {"name": "v1"},
    }
    (folder / "recipe.yaml").write_text(json.dumps(data))


def kind_of(path: str) -> str:
    """The kind of a file, by its path relative to the data set."""
    if path.startswith("runs/"):
        return "run"
    if path.startswith("releases/"):
        return "release"
    if "/" not in path:
        return "control"
    return "record" if path.endswith(".json") else "packed" if path.endswith(".tar") else "data"


def commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """The commands in the order to run them: commands that only read come first."""
    rows = " UNION ALL ".join(f"SELECT '{view}' AS view, to_json(v)::VARCHAR AS row FROM {view} v" for view in VIEWS)
    return {
        "status": ("status",),
        "query": ("query", f"{rows} ORDER BY ALL", "--format", "json"),
        "verify": ("verify", str(folder / "ds/releases/v1")),
        "check": ("check",),
        "emit": ("run", "--runner", "inline", "--stage", "emit", "--set", "emit.name=v2"),
        "run": ("run", "--runner", "inline"),
    }


def answers(worker: Worker, folder: Path) -> dict[str, Answer]:
    """Each command's exit code with what is compared: its output, or the files of the release it made."""
    found: dict[str, Answer] = {}
    for name, arguments in commands(folder).items():
        done = worker.run(folder, *arguments)
        compared: object = done.out
        if name == "emit":
            compared = release_files(folder / "ds", "v2") if done.code == 0 else {}
        elif name == "run":
            compared = release_files(folder / "ds", "v1") if done.code == 0 else {}
        found[name] = (done, compared)
    return found


def flip(path: Path, dice: random.Random) -> str:
    data = bytearray(path.read_bytes())
    at, bit = dice.randrange(len(data)), dice.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return f"byte {at} of {len(data)}, bit {bit}"


def judge(kind: str, before: dict[str, Answer], after: dict[str, Answer]) -> tuple[dict[str, str], list[str]]:
    """{command: outcome}, and a sentence for each fault."""
    outcomes, wrong = {}, []
    for name, (done, compared) in after.items():
        if before[name][0].code == 2:
            continue  # a command this engine has not
        wrong += done.faults()
        same = compared == before[name][1] and done.code == 0
        outcomes[name] = "reported" if done.code else "the same" if same else "silent"
        if outcomes[name] == "silent" and (kind == "run" or (kind, name) == ("release", "run")):
            outcomes[name] = "the same"  # logs may differ; `engine verify` checks a release that exists
        if outcomes[name] == "silent":
            wrong.append(f"{name} answers otherwise, in silence: {_first_difference(before[name][1], compared)}")
    must = {"release": "verify", "data": "check", "record": "check", "packed": "check", "control": "check"}.get(kind)
    if must and outcomes.get(must, "reported") != "reported":
        wrong.append(f"{must} finds nothing")
    return outcomes, wrong


def _first_difference(before: object, after: object) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        return f"release files {', '.join(names)}"
    one, other = str(before).splitlines(), str(after).splitlines()
    pairs = ((a, b) for a, b in zip(one, other, strict=False) if a != b)
    first = next(pairs, (f"{len(one)} lines", f"{len(other)} lines"))
    return f"{first[0].strip()[:80]!r} is now {first[1].strip()[:80]!r}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--flips", type=int, default=60)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", type=int, help="this flip alone")
    options.add_argument("--keep", type=Path, help="work in this folder, and leave it behind")
    given = options.parse_args()
    started, worker, table, wrong = time.monotonic(), Worker(4 << 30), Counter[tuple[str, str]](), 0
    with tempfile.TemporaryDirectory(prefix="flips-") as temporary:
        folder = given.keep or Path(temporary)
        before = whole_set(worker, folder)
        for number in range(given.flips) if given.only is None else [given.only]:
            wrong += attempt(worker, folder, before, number, f"{given.seed}/{number}", table)
    worker.close()
    print(f"\n{'command':<10}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES))
    for name in before:
        print(f"{name:<10}" + "".join(f"{table[name, outcome]:>10}" for outcome in OUTCOMES))
    print(f"{wrong} of {given.flips} flips went wrong ({time.monotonic() - started:.0f} s)")
    sys.exit(1 if wrong else 0)


def whole_set(worker: Worker, folder: Path) -> dict[str, Answer]:
    """Makes the data set and a copy of it in `whole`; returns the answer of each command."""
    folder.mkdir(exist_ok=True)
    for name in ("ds", "whole"):
        shutil.rmtree(folder / name, ignore_errors=True)
    write_recipe(folder)
    done = worker.run(folder, "run", "--runner", "inline")
    if done.code:
        raise SystemExit(f"The undisturbed run failed: {done.text[-500:]}")
    shutil.copytree(folder / "ds", folder / "whole")
    return answers(worker, folder)


def attempt(
    worker: Worker, folder: Path, before: dict[str, Answer], number: int, seed: str, table: Counter[tuple[str, str]]
) -> bool:
    """Makes one flip in a fresh copy. True if a command fails the test."""
    shutil.rmtree(folder / "ds")
    shutil.copytree(folder / "whole", folder / "ds")
    dice, kind = random.Random(seed), KINDS[number % len(KINDS)]
    found = [path for path in (folder / "ds").rglob("*") if path.is_file() and path.stat().st_size]
    names = sorted(str(path.relative_to(folder / "ds")) for path in found)
    path = dice.choice([name for name in names if kind_of(name) == kind])
    where = flip(folder / "ds" / path, dice)
    outcomes, wrong = judge(kind, before, answers(worker, folder))
    for name, outcome in outcomes.items():
        table[name, outcome] += 1
    reported = ", ".join(name for name, outcome in outcomes.items() if outcome == "reported")
    reported = reported or "none: all the same"
    print(f"{number:>3} {path} ({where}): {'; '.join(wrong) or f'reported by {reported}'}", flush=True)
    return bool(wrong)


if __name__ == "__main__":
    main()
