"""Reads a release with the library `datasets` and counts what it finds. `ask` runs this file in another process.

A process of its own is needed because `datasets` decides on import where its cache is and whether it may use the
network. The program imports nothing of the engine, so that it reads what any other user of `datasets` would read.
It begins with the import of `datasets`, which takes a second, and then reads what to do from its standard input. So
`engine verify` can start it before it imports the engine itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Answer = Mapping[str, int | str]  # counts, {"missing": package} or {"error": text}
KINDS, WAYS = ("tars", "tables", "pairs"), ("streamed", "loaded")
SPLITS = ("train", "valid", "test")


class _Started(NamedTuple):
    """The program, waiting for a request, and the folder of its cache."""

    process: subprocess.Popen[str]
    cache: tempfile.TemporaryDirectory[str]


def ask(folder: Path, part: Path, kinds: Sequence[str] = KINDS) -> dict[str, Answer]:
    """Asks the program. Returns its answers by "<kind> <way>"; if it fails, each answer is an "error".

    `kinds`: the kinds of files to read. `folder`: the release, which is streamed. `part`: a folder with some or all of
    its shards. They are loaded whole, which copies them into a temporary cache.
    """
    process, cache = _early.pop() if _early else _start()
    with cache:
        printed, errors = process.communicate(json.dumps([str(folder), str(part), *kinds]))
    try:
        answers: dict[str, Answer] = json.loads(printed.replace(f"{cache.name}/", "cache/").splitlines()[-1])
    except (IndexError, ValueError):
        last_line = (errors.splitlines() or [""])[-1]
        return {key: {"error": f"it ended with exit code {process.returncode}: {last_line}"} for key in _answers(kinds)}
    return answers


def start_early() -> None:
    """Starts the program for a later `ask`. It is killed if there is none."""
    _early.append(_start())


def _start() -> _Started:
    cache = tempfile.TemporaryDirectory(prefix="verify-")
    pipe = subprocess.PIPE
    program = subprocess.Popen(
        _command([__file__]), env=_offline(Path(cache.name)), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    return _Started(program, cache)


_early: list[_Started] = []


@atexit.register
def _end_early() -> None:
    for process, cache in _early:
        process.kill()
        process.communicate()
        cache.cleanup()
    _early.clear()


def run_offline(program: Sequence[str], cache: Path) -> subprocess.CompletedProcess[str]:
    """Runs a Python program, with its arguments, that uses `datasets` without a network and with this cache."""
    return subprocess.run(_command(program), env=_offline(cache), capture_output=True, text=True, check=False)


def _offline(cache: Path) -> dict[str, str]:
    """The environment of a program that uses `datasets` without a network and with this cache."""
    folders = {"HF_HOME": "", "HF_DATASETS_CACHE": "datasets", "HF_HUB_CACHE": "hub", "HF_MODULES_CACHE": "modules"}
    environment = os.environ | {name: str(cache / subfolder) for name, subfolder in folders.items()}
    return environment | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


def _command(program: Sequence[str]) -> list[str]:
    # -P, because this folder has files named like the libraries (datasets.py, webdataset.py), which Python would
    # import.
    return [sys.executable, "-P", *program]


def _answers(kinds: Sequence[str]) -> list[str]:
    return [f"{kind} {way}" for kind in kinds for way in WAYS]


def main(folder: str, part: str, *kinds: str) -> None:
    """The program: prints the answers that `ask` returns as one line of json."""
    answers: dict[str, Answer] = {}
    for kind in kinds:
        for way, source in zip(WAYS, (folder, part), strict=True):
            try:
                answers[f"{kind} {way}"] = _read(kind, source, streaming=way == "streamed")
            except ImportError as error:
                answers[f"{kind} {way}"] = {"missing": error.name or str(error)}
            except Exception as error:  # noqa: BLE001  # a foreign loader raises anything
                cause = error.__cause__ or error
                answers[f"{kind} {way}"] = {"error": f"{type(cause).__name__}: {cause}"}
    print(json.dumps(answers))


def _read(kind: str, folder: str, *, streaming: bool) -> Answer:
    """Counts the samples, and the annotations in each.

    Raises ValueError if a sample does not have exactly one image.
    """
    counts: Counter[str] = Counter()
    for samples in _splits(kind, folder, streaming=streaming):
        counts.update(_count(kind, samples))
    return dict(counts)


def _splits(kind: str, folder: str, *, streaming: bool) -> Iterator[Any]:
    """The samples of each split. The card names the splits of tars."""
    import datasets

    if kind == "tars":
        yield from datasets.load_dataset(folder, streaming=streaming).values()
        return
    stem = "pairs-" if kind == "pairs" else ""
    for split in SPLITS:
        older = ["pairs-[0-9]*.parquet"] if kind == "pairs" and split == "train" else []
        for pattern in (f"{stem}{split}-*.parquet", *older):
            if any(Path(folder).glob(pattern)):
                source = {"data_files": pattern, "data_dir": folder}
                yield datasets.load_dataset("parquet", **source, split="train", streaming=streaming)


def _count(kind: str, samples: Any) -> Counter[str]:
    import datasets

    images = [name for name, feature in samples.features.items() if isinstance(feature, datasets.Image)]
    if kind == "tars":
        if not images:  # if the card is missing, `datasets` reads the Parquet files of the folder instead
            raise ValueError(f"no column of images among {', '.join(samples.features)}")
        _check_first(samples, images)
    for name in images:
        samples = samples.cast_column(name, datasets.Image(decode=False))
    if kind == "pairs":
        return Counter(pairs=sum(1 for _ in samples))
    counts: Counter[str] = Counter(images=0)
    for sample in samples:
        if images and sum(sample[name] is not None for name in images) != 1:
            raise ValueError(f"sample {sample['__key__']} has not one image")
        counts["images"] += 1
        counts.update({name: len(value) for name, value in _lists(sample.get("json", sample)).items()})
    return counts


def _check_first(samples: Any, images: list[str]) -> None:
    """Raises ValueError if the first image, which `datasets` turns upright, has another size than its record states."""
    for sample in samples:
        image = next(sample[name] for name in images if sample[name] is not None)
        record = sample["json"]
        if image.size != (record["width"], record["height"]):
            raise ValueError(f"the first image is {image.size}, its record has {record['width']}x{record['height']}")
        return


def _lists(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: value for name, value in record.items() if isinstance(value, list) and name != "sources"}


if __name__ == "__main__":
    gc.set_threshold(50_000)  # with Python's 700, looking for garbage takes a tenth of the time of imports
    with contextlib.suppress(Exception):  # `main` reports it
        import datasets  # noqa: F401
    main(*json.load(sys.stdin))
