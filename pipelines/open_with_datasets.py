"""What `datasets` makes of a release: run as a program by pipelines/verify.py, prints one line of json.

In a process of its own, because `datasets` settles where it caches and whether it may use the network on import.
It must stay free of the engine: it is what a stranger's loader sees.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any


def main(folder: str, part: str) -> None:
    """`part` is a folder of the same or fewer shards: what is loaded whole is copied into a cache first."""
    answers: dict[str, Any] = {}
    for kind in ("tars", "tables"):
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
    if kind == "tables":
        given = {"path": "parquet", "data_files": "train-*.parquet", "data_dir": folder}
    samples = datasets.load_dataset(**given, split="train", streaming=streaming)
    images = [name for name, feature in samples.features.items() if isinstance(feature, datasets.Image)]
    if kind == "tars":
        if not images:  # without its card a folder is taken for its Parquet files
            raise ValueError(f"no column of images among {', '.join(samples.features)}")
        _check_first(samples, images)
    for name in images:
        samples = samples.cast_column(name, datasets.Image(decode=False))
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
