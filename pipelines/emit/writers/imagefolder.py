"""images/<split>/metadata.jsonl: the annotations in the form that the builder `imagefolder` of `datasets` reads.

One line for each image beside it: {"file_name", "image_id", "width", "height", "licence", "objects": {"bbox",
"categories", "areas", "scores", "human"}, "captions", "granularities"}. Lists of `objects` have one entry for each
object, the other two lists one for each text. Boxes are x, y, width, height in pixels of the upright image. Categories
are labels, because a release without emit.label_list has no numbered classes.

Two things about `datasets` decide the form:

* It takes the types of columns from the first 10 MB of a file. If it finds only empty lists there, later values fail.
  So the lines of a split begin with the first image that has an object and the first that has a text.
* It reads the file with pyarrow, which reads [null, 0.9] as [0.9, 0.0] (seen in 26.0.1). So no list has a null: objects
  that people marked have the score 1.0, and true in `human`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from engine.layout import LOOSE_IMAGES
from engine.reading.release_manifest import Manifest
from pipelines.emit.objects import bbox_of, objects
from pipelines.emit.segmentations import shape_of
from pipelines.emit.writers.format import Format, Merge, Sample, Shard

METADATA = "metadata.jsonl"

Json = dict[str, Any]


class ImagefolderWriter:
    """Writes one line of metadata.jsonl for each image."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._rows = file, 0
        self.left_out: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        line, left_out = metadata(sample)
        self.left_out.update(left_out)
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        self._rows += 1

    def finish(self) -> int:
        return self._rows


def metadata(sample: Sample) -> tuple[Json, Counter[str]]:
    """The line of an image, and the number of left-out annotations by reason."""
    row = sample.row
    found, left_out = objects(row)
    shapes = [shape_of(one, row["width"], row["height"]) for one in found]
    left_out.update(shape.fault for shape in shapes if shape.fault)
    line = {"file_name": sample.file_name, **{name: row[name] for name in ("image_id", "width", "height", "licence")}}
    line["objects"] = {
        "bbox": [bbox_of(one.box) for one in found],
        "categories": [one.region["label"] for one in found],
        "areas": [shape.area for shape in shapes],
        "scores": [1.0 if one.region["score"] is None else one.region["score"] for one in found],
        "human": [one.region["score"] is None for one in found],
    }
    line["captions"] = [text["text"] for text in row["texts"]]
    line["granularities"] = [text["granularity"] for text in row["texts"]]
    return line, left_out


def merge_imagefolder(merge: Merge) -> None:
    for split in merge.splits:
        first = _typed_lines(merge.lines(split))
        with merge.file(f"{LOOSE_IMAGES}/{split}/{METADATA}") as file:
            for line in first.values():
                file.write(line + b"\n")
                file.rows += 1
            for number, line in enumerate(merge.lines(split)):
                if number not in first:
                    file.write(line + b"\n")
                    file.rows += 1


# What a line must have so that the types of all columns can be seen in the first lines.
_TYPED: tuple[Callable[[Json], bool], ...] = (
    lambda line: bool(line["objects"]["bbox"]),
    lambda line: bool(line["captions"]),
)


def _typed_lines(lines: Iterator[bytes]) -> dict[int, bytes]:
    """{number: line} of the first line of each kind. Reads only as far as needed."""
    found: dict[int, bytes] = {}
    missing = list(_TYPED)
    for number, line in enumerate(lines):
        if not missing:
            break
        parsed = json.loads(line)
        left = [has for has in missing if not has(parsed)]
        if len(left) < len(missing):
            found[number], missing = line, left
    return found


def card_section(manifest: Manifest) -> str:
    split = next(iter(manifest.get("splits", {})), "")
    return _SECTION.format(name=manifest["name"], split=split) if split else ""


_SECTION = """\
## imagefolder

`images/<split>/metadata.jsonl` has one line for each image of the folder: `objects` (`bbox`: x, y, width, height in
pixels of the upright image; `categories`: labels; `areas`; `scores`; `human`: true for objects that people marked,
whose score is 1), `captions` and their `granularities`. Crowds are not objects here. `datasets` turns the images
upright.

```python
from datasets import load_dataset

samples = load_dataset("imagefolder", data_dir="{name}/images/{split}", split="train")  # a folder of its own: train
for sample in samples:
    print(sample["image"].size, sample["objects"]["bbox"], sample["objects"]["categories"])

names = sorted({{label for row in samples["objects"] for label in row["categories"]}})  # names.index(label): its class
```"""

IMAGEFOLDER = Format(
    ImagefolderWriter,
    merge=merge_imagefolder,
    files=(f"{LOOSE_IMAGES}/",),
    loose_images=True,
    verifier="pipelines.emit.verifiers.imagefolder:ImagefolderVerifier",
    card=card_section,
)
