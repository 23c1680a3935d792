"""The formats of a release.

A new format needs a file in this folder, a line in `FORMATS` and a file in verifiers/. The tar stays first: its writer
determines where an image is, and its verifier reads the records that other verifiers compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import ConfigError, unknown
from engine.layout import LOOSE_FILES, LOOSE_IMAGES
from engine.reading.release_manifest import shard_file
from pipelines.emit.writers.coco import COCO
from pipelines.emit.writers.embeddings import EMBEDDING_TABLE
from pipelines.emit.writers.energon import ENERGON
from pipelines.emit.writers.florence2 import FLORENCE2
from pipelines.emit.writers.format import Format
from pipelines.emit.writers.imagefolder import IMAGEFOLDER
from pipelines.emit.writers.odvg import ODVG
from pipelines.emit.writers.pairs import PAIRS_TABLE
from pipelines.emit.writers.parquet import PARQUET_TABLE
from pipelines.emit.writers.qwen2_5_vl import QWEN2_5_VL
from pipelines.emit.writers.qwen3_vl import QWEN3_VL
from pipelines.emit.writers.swift import SWIFT
from pipelines.emit.writers.webdataset import WEBDATASET
from pipelines.emit.writers.yolo import YOLO
from pipelines.release_options import Emit

FORMATS: Mapping[str, Format] = {
    "webdataset": WEBDATASET,
    "parquet": PARQUET_TABLE,
    "pairs": PAIRS_TABLE,
    "embeddings": EMBEDDING_TABLE,
    "energon": ENERGON,
    "odvg": ODVG,
    "florence2": FLORENCE2,
    "swift": SWIFT,
    "qwen3_vl": QWEN3_VL,
    "qwen2_5_vl": QWEN2_5_VL,
    "coco": COCO,
    "yolo": YOLO,
    "imagefolder": IMAGEFOLDER,
}
ALWAYS = "parquet"  # the records: every verifier of another format compares with them
HOLD_ALL = ("webdataset", "parquet", "pairs", "embeddings", "energon")  # they leave out no annotation of a record
_BY_OPTION = ("embeddings",)  # chosen by an option of its own


def chosen_formats(options: Emit) -> list[str]:
    """The formats of a release, in the order of FORMATS. Raises ConfigError for an unknown name.

    Raises ConfigError as well if no chosen format holds the images.
    """
    named = [name for name in FORMATS if name not in _BY_OPTION]
    for name in options.formats:
        if name in _BY_OPTION and name in FORMATS:
            raise ConfigError(
                f"emit.formats names '{name}', which emit.{name} chooses: list nodes there, as in emit.{name}: [NODE]."
            )
        if name not in named:
            raise unknown("format in emit.formats", name, named)
    wanted = {*options.formats, ALWAYS, *(["embeddings"] if options.embeddings else [])}
    wanted |= {other for name in options.formats for other in FORMATS[name].needs}
    chosen = [name for name in FORMATS if name in wanted]
    if "webdataset" not in wanted and not needs_loose_images(chosen):
        given = f"is [{', '.join(options.formats)}], none of which holds the images" if options.formats else "is empty"
        raise ConfigError(f"emit.formats {given}: add webdataset.")
    return chosen


def needs_loose_images(chosen: Sequence[str]) -> bool:
    """Whether one of these formats refers to images as files of their own."""
    return any(FORMATS[name].loose_images for name in chosen)


def is_of_a_format(name: str) -> bool:
    """Whether a file of this name in a release would be read by a loader. `name`: below the folder of the release."""
    if shard_file(name) or name.startswith((f"{LOOSE_IMAGES}/", LOOSE_FILES)):
        return True
    begins = [form.stem for form in FORMATS.values() if form.stem]
    return name.startswith((*begins, *(start for form in FORMATS.values() for start in form.files)))
