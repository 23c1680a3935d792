"""Runs the command line on mutated inputs: no crash, hang or traceback, bounded memory, and every input accounted for.

    python -m benchmarks.fuzz [--seed 0] [--kinds images tars parquet coco recipes] [--only KIND/NUMBER] [--keep FOLDER]

500 images, 100 tars, 100 Parquet files, 100 COCO jsons and 100 recipes, each drawn from the seed and its number alone,
so that `--only coco/17` gives the same json again. `engine run --runner inline` and `engine status` run in a process
with at most 4 GiB; a command that has not ended after 60 s counts as a hang. Exits 1 on any fault.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.commands import Done
from benchmarks.fuzz_inputs import mutated_image, mutated_tar, write_coco, write_parquet
from benchmarks.fuzz_recipes import write_recipe
from benchmarks.fuzz_worker import Worker

COUNTS = {"images": 500, "tars": 100, "parquet": 100, "coco": 100, "recipes": 100}
A_SET = 25  # images in a data set
MEMORY = 4 << 30
_INPUTS = re.compile(r"^inputs +([\d,]+) = (.*?) +\((adds up|DOES NOT)", re.MULTILINE)


@dataclass(slots=True)
class Row:
    """The results of one kind."""

    tried: int = 0
    refused: int = 0  # ended with an error message
    accounted: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Item:
    """One data set: its folder with a recipe, and how many inputs and annotations its source holds."""

    folder: Path
    tried: int = 1
    holds: int = 0  # inputs that must be listed, unless the engine reports why not
    exact: bool = False
    labels: int = 0  # annotations that must be stored, unless the engine reports why not
    dry: bool = False  # whether to make a dry run first
    more: tuple[str, ...] = ()


def make_images(folder: Path, dice: random.Random) -> Item:
    (folder / "photos").mkdir()
    for number in range(A_SET):
        ending, data = mutated_image(dice)
        (folder / f"photos/{number:03d}.{ending}").write_bytes(data)
    _write(folder, {"folder": "photos"}, {"quality": {"use": "image_quality"}}, ["near_duplicate"])
    return Item(folder, tried=A_SET, holds=A_SET, exact=True)


def make_tar(folder: Path, dice: random.Random) -> Item:
    data = mutated_tar(dice)
    (folder / "a.tar").write_bytes(data)
    _write(folder, {"webdataset": "a.tar"}, {"alt": {"use": "source_texts"}}, [])
    return Item(folder, holds=_images_in(data))


def _images_in(data: bytes) -> int:
    """Files with the extension of an image that Python's tarfile finds, also after the end of each tar in the file."""
    found = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", ignore_zeros=True) as tar:
            for info in tar:
                found += info.isreg() and info.name.lower().endswith((".jpg", ".png", ".jpeg"))
    except (tarfile.TarError, ValueError, OverflowError, EOFError):
        pass
    return found


def make_parquet(folder: Path, dice: random.Random) -> Item:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_parquet(folder / "a.parquet", dice)
    _write(folder, {"parquet": "a.parquet"}, {"alt": {"use": "source_texts"}}, [])
    try:
        holds = pq.ParquetFile(folder / "a.parquet").metadata.num_rows
    except (pa.ArrowException, OSError, ValueError):
        holds = 0
    return Item(folder, holds=holds if 0 <= holds < 10_000 else 0)


def make_coco(folder: Path, dice: random.Random) -> Item:
    write_coco(folder, dice)
    source = {"coco": {"instances": "inst.json", "images": "photos", "captions": "caps.json"}}
    _write(folder, source, {"human": {"use": "human"}}, ["box_sanity"])
    found = [_listed(folder / name) for name in ("inst.json", "caps.json")]
    return Item(folder, holds=found[0]["images"], labels=found[0]["annotations"] + found[1]["annotations"])


def _listed(path: Path) -> dict[str, int]:
    """How many images and annotations a json lists, if it can be parsed."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        content = {}
    content = content if isinstance(content, dict) else {}
    return {key: len(content[key]) if isinstance(content.get(key), list) else 0 for key in ("images", "annotations")}


def make_recipe(folder: Path, dice: random.Random) -> Item:
    return Item(folder, dry=True, more=tuple(write_recipe(folder, dice)))


def _write(folder: Path, source: dict[str, Any], annotate: dict[str, Any], rules: list[Any]) -> None:
    from engine.running.run_options import RunOptions

    run = {name: value for name, value in {"max_failed_share": 1.0}.items() if name in RunOptions.model_fields}
    data = {"dataset": "ds", "ingest": {"sources": [source]}, "annotate": annotate, "filter": rules, "run": run}
    (folder / "recipe.yaml").write_text(json.dumps(data | {"emit": {"name": "v1"}}))


MAKERS: dict[str, Callable[[Path, random.Random], Item]] = {
    "images": make_images,
    "tars": make_tar,
    "parquet": make_parquet,
    "coco": make_coco,
    "recipes": make_recipe,
}


def attempt(worker: Worker, item: Item, row: Row, *, verbose: bool = False) -> list[str]:
    """Runs one data set and checks its account. Returns a sentence for each fault."""
    row.tried += item.tried
    if item.dry:
        dry = worker.run(item.folder, "run", "--dry-run", *item.more)
        if wrong := dry.faults():
            return wrong
    done = worker.run(item.folder, "run", "--runner", "inline", *item.more)
    if wrong := done.faults():
        return wrong
    row.refused += bool(done.code)
    if verbose:
        print(f"{item.folder.parent.name}/{item.folder.name}: {done.code} {done.sentence or done.text[-200:]}")
    made = sorted(item.folder.glob("**/dataset.json"))  # a recipe may name another folder
    if not made:
        return [] if done.code else [f"exit code 0 and no data set: {done.text[:300]}"]
    status = worker.run(item.folder, "status", "-d", str(made[0].parent))
    wrong = status.faults() or account(item, done, status)
    row.accounted += 0 if wrong else item.tried
    return wrong


def account(item: Item, done: Done, status: Done) -> list[str]:
    found = _INPUTS.search(status.out)
    if found is None or found[3] != "adds up" or "DOES NOT ADD UP" in status.out:
        return [f"the account does not add up: {status.text[:300]}"]
    inputs = int(found[1].replace(",", ""))
    parts = {name: int(number.replace(",", "")) for number, name in re.findall(r"([\d,]+) ([a-z]+)", found[2])}
    wrong = []
    if done.code == 0 and parts.get("pending"):
        wrong.append(f"exit code 0 with {parts['pending']} pending: {done.text[:300]}")
    if item.exact and inputs != item.holds:
        wrong.append(f"{inputs} inputs of {item.holds} files")
    is_reported = done.code != 0 or "left out" in f"{done.text} {status.text}"
    if inputs < item.holds and not is_reported and not parts.get("quarantined"):
        wrong.append(f"{item.holds} in the source, {inputs} inputs, and not a word: {status.text[:200]}")
    given = sum(int(n.replace(",", "")) for n in re.findall(r"^  (?:regions|texts) +([\d,]+) =", status.out, re.M))
    if given < item.labels and not is_reported and inputs >= item.holds and not parts.get("quarantined"):
        wrong.append(f"{item.labels} labels in the source, {given} given, and not a word")
    return wrong


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", nargs="+", choices=sorted(COUNTS), default=list(COUNTS))
    options.add_argument("--only", metavar="KIND/NUMBER", default="")
    options.add_argument("--keep", type=Path, help="leave the folders of what fails here")
    options.add_argument("--verbose", action="store_true", help="print how each command ended")
    given = options.parse_args()
    kinds = [given.only.split("/")[0]] if given.only else given.kinds
    worker, table, started = Worker(MEMORY), {kind: Row() for kind in kinds}, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        for kind in kinds:
            count = COUNTS[kind] // (A_SET if kind == "images" else 1)
            for number in [int(given.only.split("/")[1])] if given.only else range(count):
                folder = (given.keep or Path(temporary)) / kind / str(number)
                row, seed = table[kind], f"{given.seed}/{kind}/{number}"
                _one(kind, folder, worker, row, seed, keep=given.keep is not None, verbose=given.verbose)
    worker.close()
    print(f"\n{'kind':<10}{'tried':>7}{'refused':>9}{'accounted':>11}{'faults':>8}")
    for kind, row in table.items():
        print(f"{kind:<10}{row.tried:>7}{row.refused:>9}{row.accounted:>11}{len(row.faults):>8}")
    print(f"{time.monotonic() - started:.0f} s, at most {worker.peak_kib / 2**20:.2f} GiB resident")
    sys.exit(1 if any(row.faults for row in table.values()) else 0)


def _one(kind: str, folder: Path, worker: Worker, row: Row, seed: str, *, keep: bool, verbose: bool) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    item = MAKERS[kind](folder, random.Random(seed))
    wrong = attempt(worker, item, row, verbose=verbose)
    row.faults += wrong
    for sentence in wrong:
        print(f"{seed.partition('/')[2]}: {sentence}", flush=True)
    if not (wrong and keep):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
