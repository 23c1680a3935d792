"""Reads folders of images with the builder `imagefolder` of `datasets`. `ask` runs this file in another process.

A process of its own is needed because `datasets` decides on import where its cache is and whether it may use the
network. The program imports nothing of the engine, so that it reads what any other user of `datasets` would read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = Mapping[str, int | str]  # rows and digest, {"missing": package} or {"error": text}
WAYS = ("streamed", "loaded")
DECODED = 8  # images of a folder that are decoded
FIELDS = ("image_id", "width", "height", "licence", "objects", "captions", "granularities")


class Digest:
    """A digest of the values of all rows."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, row: Mapping[str, Any]) -> None:
        """`row`: a line of metadata.jsonl."""
        values = [row["file_name"], *(row[name] for name in FIELDS)]
        self._hash.update(json.dumps(values, sort_keys=True).encode() + b"\n")

    def value(self) -> str:
        return self._hash.hexdigest()


def ask(images: Path, splits: Sequence[str], cache: Path) -> dict[str, Answer]:
    """The answers by "<split> <way>". If the program fails, each answer is an "error"."""
    from pipelines.emit.verifiers.datasets_program import run_offline

    done = run_offline([__file__, str(images), *splits], cache)
    try:
        answers: dict[str, Answer] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last_line = (done.stderr.splitlines() or [""])[-1]
        failed = {"error": f"it ended with exit code {done.returncode}: {last_line}"}
        return {f"{split} {way}": failed for split in splits for way in WAYS}
    return answers


def main(images: str, *splits: str) -> None:
    """The program: prints the answers that `ask` returns as one line of json."""
    answers: dict[str, Answer] = {}
    for split in splits:
        for way in WAYS:
            try:
                answers[f"{split} {way}"] = _read(f"{images}/{split}", streaming=way == "streamed")
            except ImportError as error:
                answers[f"{split} {way}"] = {"missing": error.name or str(error)}
            except Exception as error:  # noqa: BLE001  # a foreign loader raises anything
                cause = error.__cause__ or error
                answers[f"{split} {way}"] = {"error": f"{type(cause).__name__}: {cause}"}
    print(json.dumps(answers))


def _read(folder: str, *, streaming: bool) -> Answer:
    import datasets

    samples = datasets.load_dataset("imagefolder", data_dir=folder, split="train", streaming=streaming)
    _check_first(samples)
    digest, rows = Digest(), 0
    for sample in samples.cast_column("image", datasets.Image(decode=False)):
        digest.add({**sample, "file_name": Path(sample["image"]["path"]).name})
        rows += 1
    return {"rows": rows, "digest": digest.value()}


def _check_first(samples: Any) -> None:
    """Raises ValueError if an image, which `datasets` turns upright, has another size than its line states."""
    for number, sample in enumerate(samples):
        if number == DECODED:
            return
        size = (sample["width"], sample["height"])
        if sample["image"].size != size:
            raise ValueError(f"the image {sample['image_id']} is {sample['image'].size}, its line has {size}")


if __name__ == "__main__":
    main(*sys.argv[1:])
