"""What `datasets` makes of a release. `ask` runs this very file as a program, which prints one line of json.

In a process of its own, because `datasets` settles where it caches and whether it may use the network on import.
It must stay free of the engine: it is what a stranger's loader sees.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def ask(folder: Path, part: Path, cache: Path) -> dict[str, Any]:
    """{"tars streamed": counts, "tars loaded": .., the same of tables and of pairs}, or {"error": why}."""
    places = {"HF_HOME": "", "HF_DATASETS_CACHE": "datasets", "HF_HUB_CACHE": "hub", "HF_MODULES_CACHE": "modules"}
    environment = os.environ | {name: str(cache / place) for name, place in places.items()}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    # -P: what lies beside this file (query.py, status.py, ...) must not be imported in place of a library.
    command = [sys.executable, "-P", __file__, str(folder), str(part)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = (done.stderr.splitlines() or [""])[-1]
        return {"error": f"it ended with exit code {done.returncode}: {said}"}
    return answers


def main(folder: str, part: str) -> None:
    """`part` is a folder of the same or fewer shards: what is loaded whole is copied into a cache first."""
    answers: dict[str, Any] = {}
    for kind in ("tars", "tables", "pairs"):
        for way, place in (("streamed", folder), ("loaded", part)):
            try:
                answers[f"{kind} {way}"] = _open(kind, place, streaming=way == "streamed")
            except ImportError as error:
                answers[f"{kind} {way}"] = {"missing": error.name or str(error)}
            except Exception as error:  # noqa: BLE001  # whatever a foreign loader raises is the finding
                cause = error.__cause__ or error
                answers[f"{kind} {way}"] = {"error": f"{type(cause).__name__}: {cause}"}
    print(json.dumps(answers))


def _open(kind: str, folder: str, *, streaming: bool) -> dict[str, int]:
    import datasets

    given: dict[str, Any] = {"path": folder}
    if kind != "tars":
        name = {"tables": "train-*.parquet", "pairs": "pairs-*.parquet"}[kind]
        given = {"path": "parquet", "data_files": name, "data_dir": folder}
    samples = datasets.load_dataset(**given, split="train", streaming=streaming)
    images = [name for name, feature in samples.features.items() if isinstance(feature, datasets.Image)]
    if kind == "tars":
        if not images:  # without its card a folder is taken for its Parquet files
            raise ValueError(f"no column of images among {', '.join(samples.features)}")
        _check_first(samples, images)
    for name in images:
        samples = samples.cast_column(name, datasets.Image(decode=False))
    if kind == "pairs":
        return {"pairs": sum(1 for _ in samples)}
    counts: Counter[str] = Counter(images=0)
    for sample in samples:
        if images and sum(sample[name] is not None for name in images) != 1:
            raise ValueError(f"sample {sample['__key__']} has not one image")
        counts["images"] += 1
        counts.update({name: len(value) for name, value in _lists(sample.get("json", sample)).items()})
    return dict(counts)


def _check_first(samples: Any, images: list[str]) -> None:
    """One image decoded by `datasets` itself, which turns it upright."""
    for sample in samples:
        image = next(sample[name] for name in images if sample[name] is not None)
        record = sample["json"]
        if image.size != (record["width"], record["height"]):
            raise ValueError(f"the first image is {image.size}, its record says {record['width']}x{record['height']}")
        return


def _lists(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: value for name, value in record.items() if isinstance(value, list) and name != "sources"}


if __name__ == "__main__":
    main(*sys.argv[1:3])
