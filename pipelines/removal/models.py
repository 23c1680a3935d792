"""Which trained models saw images: those that were trained on a release, or on the pairs of a round, that holds them.

A model that saw an image cannot forget it, so a removal does not change models. It names them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import DamageError
from engine.layout import MODELS, RELEASES, TRAINED
from engine.storage.commits import Commits
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed
from pipelines.removal.transaction import read_table

UNKNOWN = "may have seen them: its training.json does not name what it was trained on"
UNFINISHED = "may have seen them: its training has not ended"


def models_that_saw(storage: Storage, images: Collection[str], releases: Collection[str]) -> dict[str, str]:
    """{model: how it saw the images}. `releases`: the folders of the releases that hold them."""
    saw: dict[str, str] = {}
    starts: dict[str, str] = {}  # {model: the model that it started from}
    for name in storage.names(MODELS):
        try:
            record = read_sealed(storage, f"{MODELS}/{name}/{TRAINED}")
        except FileNotFoundError:
            saw[name] = UNFINISHED
            continue
        except DamageError:
            saw[name] = UNKNOWN
            continue
        starts[name] = str(record.get("init", ""))
        if reason := _reason(storage, record, images, releases):
            saw[name] = reason
    return dict(sorted(_with_descendants(saw, starts).items()))


def _reason(storage: Storage, record: Mapping[str, Any], images: Collection[str], releases: Collection[str]) -> str:
    trained_on: list[str] | None = record.get("trained_on")
    if trained_on is None:
        return UNKNOWN
    for folder in trained_on:
        if folder in releases:
            return f"was trained on {folder}"
        if folder.startswith(f"{RELEASES}/") and not storage.tree(folder):
            return f"may have seen them: it was trained on {folder}, which is gone"
        if "/" not in folder:
            return f"may have seen them: it was trained on '{folder}' of another data set"
        if not folder.startswith(f"{RELEASES}/") and _has_pairs(storage, folder, images, record.get("only", {})):
            return f"was trained on {folder}"
    return ""


def _has_pairs(storage: Storage, folder: str, images: Collection[str], only: Mapping[str, Any]) -> bool:
    """Whether a round has pairs of one of the images. `only`: {column: values}, as a student of one fold read them."""
    ids = pa.array(sorted(images), pa.string())
    for record in Commits(storage, folder).latest_records():
        table = read_table(storage, record.files["data"].path)
        for column, values in only.items():
            kind = table.schema.field(column).type
            table = table.filter(pc.is_in(table[column], value_set=pa.array(values, kind)))
        if pc.any(pc.is_in(table["image_id"], value_set=ids)).as_py():
            return True
    return False


def _with_descendants(saw: Mapping[str, str], starts: Mapping[str, str]) -> dict[str, str]:
    """Adds the models whose training started from one that saw the images."""
    found = dict(saw)
    while new := {name: init for name, init in starts.items() if init in found and name not in found}:
        found |= {name: f"started from {init}" for name, init in new.items()}
    return found
