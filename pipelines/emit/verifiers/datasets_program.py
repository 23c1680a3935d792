"""Reads a release with the library `datasets` and counts what it finds. `ask` runs this file in another process.

A process of its own is needed because `datasets` decides on import where its cache is and whether it may use the
network. The program imports nothing of the engine, so that it reads what any other user of `datasets` would read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = Mapping[str, int | str]  # counts, {"missing": package} or {"error": text}
KINDS, WAYS = ("tars", "tables", "pairs"), ("streamed", "loaded")
SPLITS = ("train", "valid", "test")


def ask(folder: Path, part: Path, cache: Path, kinds: Sequence[str] = KINDS) -> dict[str, Answer]:
    """Runs the program. Returns its answers by "<kind> <way>"; if it fails, each answer is an "error".

    `kinds`: the kinds of files to read. `folder`: the release, which is streamed. `part`: a folder with some or all of
    its shards. They are loaded whole, which copies them into `cache`.
    """
    done = run_offline([__file__, str(folder), str(part), *kinds], cache)
    try:
        answers: dict[str, Answer] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last_line = (done.stderr.splitlines() or [""])[-1]
        return {key: {"error": f"it ended with exit code {done.returncode}: {last_line}"} for key in _answers(kinds)}
    return answers


def run_offline(program: Sequence[str], cache: Path) -> subprocess.CompletedProcess[str]:
    """Runs a Python program, with its arguments, that uses `datasets` without a network and with this cache."""
    folders = {"HF_HOME": "", "HF_DATASETS_CACHE": "datasets", "HF_HUB_CACHE": "hub", "HF_MODULES_CACHE": "modules"}
    environment = os.environ | {name: str(cache / subfolder) for name, subfolder in folders.items()}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    # -P, because this folder has files named like the libraries (datasets.py, webdataset.py), which Python would
    # import.
    command = [sys.executable, "-P", *program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


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
    main(*sys.argv[1:])
