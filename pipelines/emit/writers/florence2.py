"""florence2/<split>/annotations.jsonl: a line for each training pair, for tools that fine-tune Florence-2.

Each line is {"image", "prefix", "suffix"}, the format of maestro. `image` is relative to the folder of the file.
`prefix` is the short form of the prompt (model/pairs/prefixes.py), `suffix` the target. The files of train, valid and
test always exist, because maestro asks for all three; a split without pairs has an empty file.

maestro opens an image with Pillow and does not apply EXIF. If EXIF turns the image, its boxes would be wrong there, so
its pairs are left out. Pairs are left out for these reasons:

reason          the pair
turned_by_exif  its image is turned or mirrored by its EXIF data
task_in_prompt  its prompt contains the name of a task, which processors would expand
"""

from __future__ import annotations

import json
from collections import Counter
from typing import BinaryIO

from engine.images.decode import PILLOW_PIXELS, Limits, probe
from engine.layout import RELEASE_SPLITS
from engine.reading.release_manifest import Manifest
from model.pairs.prefixes import prefix_of
from pipelines.emit.markdown import table
from pipelines.emit.writers.format import Format, Merge, Sample, Shard

_ANY_SIZE = Limits(max_pixels=PILLOW_PIXELS, max_bytes=1 << 40)  # ingest applied the limits of the recipe


class Florence2Writer:
    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._lines = file, 0
        self.left_out: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        turned = bool(sample.pairs) and is_turned(sample.data)
        for pair in sample.pairs:
            prefix = prefix_of(pair.task, pair.prompt)
            if turned or not prefix:
                self.left_out["turned_by_exif" if turned else "task_in_prompt"] += 1
            else:
                self._file.write(line(sample.image_path, prefix, pair.target) + b"\n")
                self._lines += 1

    def finish(self) -> int:
        return self._lines


def is_turned(data: bytes) -> bool:
    """Whether EXIF data turn or mirror an image. Pillow itself turns a TIFF, so this is false for a TIFF."""
    header = probe(data, _ANY_SIZE)
    return header.orientation != 1 and header.format != "TIFF"


def line(image_path: str, prefix: str, suffix: str) -> bytes:
    """One line. It is ASCII, because maestro 1.0 opens the file with the encoding of the operating system."""
    content = {"image": f"../../{image_path}", "prefix": prefix, "suffix": suffix}
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def annotations_file(split: str) -> str:
    return f"florence2/{split}/annotations.jsonl"


def merge(parts: Merge) -> None:
    for split in RELEASE_SPLITS:
        with parts.file(annotations_file(split)) as file:
            for text in parts.lines(split):
                file.write(text + b"\n")
                file.rows += 1


def card_section(manifest: Manifest) -> str:
    """The section of the data card about these files, with the number of lines and of pairs left out."""
    lines = {file["name"]: file["rows"] for file in manifest["files"]}
    rows = [(f"`{name}`", f"{lines.get(name, 0):,}") for name in map(annotations_file, RELEASE_SPLITS)]
    left_out = manifest.get("formats", {}).get("florence2", {"left_out": {}})["left_out"]
    rows += [(f"left out: {reason}", f"{number:,}") for reason, number in left_out.items()]
    return _SECTION.format(lines=table(("file", "lines"), rows))


_SECTION = """\
## Lines for fine-tuning Florence-2

`florence2/<split>/annotations.jsonl` has the training pairs as `{{"image", "prefix", "suffix"}}`, which maestro reads
(give it the folder `florence2`). `image` is a path relative to the folder of the file, so keep `florence2` and `images`
together. `prefix` is the name of a task and its input: a processor of Florence-2 expands it to the prompt. Pairs of
images that EXIF turns are left out (`turned_by_exif`), because maestro does not apply EXIF.

{lines}"""

FLORENCE2 = Format(
    Florence2Writer,
    merge=merge,
    files=("florence2/",),
    loose_images=True,
    verifier="pipelines.emit.verifiers.florence2:Florence2Verifier",
    card=card_section,
)
