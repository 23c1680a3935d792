""".nv-meta/: what Megatron Energon needs to read the tars of a release, apart from its index.

.info.json has the number of samples of each tar, split.yaml the tars of each split, and dataset.yaml the class that
reads them: CrudeWebdataset gives a sample as a dictionary of its members, which a cooker of the training code turns
into what the model needs.

`energon prepare --tar-index-only` then makes the index, which is index.sqlite, index.uuid and a file beside each tar.
The index is not in the release: its layout changes with the version of Energon, and index.uuid is random. With
.info.json, `prepare` needs no question and no option about splits, and leaves these three files as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from engine.reading.release_manifest import Manifest
from pipelines.emit.writers.format import Format, Merge, Sample, Shard

FOLDER = ".nv-meta/"
DATASET, SPLIT, INFO = (f"{FOLDER}{name}" for name in ("dataset.yaml", "split.yaml", ".info.json"))
PARTS: Mapping[str, str] = {"train": "train", "valid": "val", "test": "test"}  # {split: its name in Energon}


class EnergonWriter:
    """Its part is one line with the name of the shard's tar and its number of samples."""

    def __init__(self, file: BinaryIO, shard: Shard) -> None:
        self._file, self._tar, self._samples = file, f"{shard.name}.tar", 0

    def add(self, sample: Sample) -> None:
        self._samples += 1

    def finish(self) -> int:
        if not self._samples:
            return 0
        self._file.write(json.dumps([self._tar, self._samples]).encode() + b"\n")
        return 1


def merge(release: Merge) -> None:
    """Writes the three files. Without images there are none, because Energon refuses an empty set."""
    counts: dict[str, int] = {}
    lines = ["split_parts:"]
    for split in release.splits:
        own: dict[str, int] = dict(json.loads(line) for line in release.lines(split))
        counts |= own
        lines += [f"  {PARTS[split]}:", *(f"  - {pattern}" for pattern in patterns(own))]
    if not counts:
        return
    texts = {
        INFO: json.dumps({"shard_counts": counts}, indent=2) + "\n",
        DATASET: "__module__: megatron.energon\n__class__: CrudeWebdataset\n",
        SPLIT: "\n".join([*lines, "exclude: []", ""]),
    }
    for name, text in texts.items():
        with release.file(name) as file:
            file.write(text.encode())
            file.rows = len(counts) if name == INFO else 1


def patterns(tars: Iterable[str]) -> list[str]:
    """Patterns in braces for the names of tars of one split, which are in the order of their numbers.

    Numbers of one pattern have the same number of digits, because the expansion of braces pads all to the widest.
    """
    runs: list[list[str]] = []
    for name in tars:
        number = name.removesuffix(".tar").rpartition("-")[2]
        if runs and len(runs[-1][1]) == len(number) and int(number) == int(runs[-1][1]) + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number, name.removesuffix(f"{number}.tar")])
    return [f"{stem}{_range(first, last)}.tar" for first, last, stem in runs]


def _range(first: str, last: str) -> str:
    return first if first == last else f"{{{first}..{last}}}"


def card_section(manifest: Manifest) -> str:
    """The section of the data card: how to make the index, and how to read samples."""
    if not manifest["counts"].get("images"):
        return ""
    return _SECTION.format(name=manifest["name"])


_SECTION = """\
## Megatron Energon

Make the index once, then read the release as a crude dataset. The parts are `train`, `val` (the split valid) and
`test`. Energon does not apply the EXIF orientation of an image, but boxes are in pixels of the upright image.

```sh
energon prepare --tar-index-only {name}
```

```py
from megatron.energon import Cooker, DefaultTaskEncoder, WorkerConfig, get_loader, get_train_dataset, stateless


@stateless
def cook(sample):  # its members by their extension, the image decoded
    return {{"__key__": sample["__key__"], "pairs": sample["json"]["pairs"]}}


class Encoder(DefaultTaskEncoder):
    cookers = [Cooker(cook)]


workers = WorkerConfig(rank=0, world_size=1, num_workers=0)
options = dict(worker_config=workers, batch_size=None, shuffle_buffer_size=None, max_samples_per_sequence=None)
for sample in get_loader(get_train_dataset("{name}", task_encoder=Encoder(), **options)):
    print(sample["__key__"], len(sample["pairs"]))
    break
```"""

ENERGON = Format(
    EnergonWriter,
    merge=merge,
    files=(DATASET, SPLIT, INFO),
    verifier="pipelines.emit.verifiers.energon:EnergonVerifier",
    card=card_section,
    needs=("webdataset",),
)
