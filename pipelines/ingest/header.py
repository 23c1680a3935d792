"""dataset.json: how a data set is cut into shards and split. It no longer changes once the data set holds images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from engine.errors import ConfigError, StorageError
from engine.layout import HEADER, IMAGES, SPLITS
from engine.reading.dataset import read_header
from engine.schema import SCHEMA_VERSION
from engine.storage.commits import Commits
from engine.storage.files import Storage
from engine.storage.migrate import raised
from engine.storage.sealed import seal
from pipelines.ingest.splits import listed_for
from pipelines.recipe import Recipe


class DatasetHeader(TypedDict):
    schema_version: int
    shard_size: int
    audit: Mapping[str, Any]  # the recipe's `ingest.audit`; empty without an audit split


def open_dataset(storage: Storage, recipe: Recipe) -> None:
    """Creates dataset.json, or checks that the recipe agrees with it and updates its schema version.

    Raises ConfigError if the recipe does not agree.
    """
    try:
        storage.check_writable()
    except StorageError as error:
        why = str(error).rstrip(".")
        raise StorageError(f"{why}: choose another folder with --set dataset=FOLDER.") from error
    if not storage.exists(HEADER):
        listed_for(recipe.ingest.audit)  # first, because it raises if the audit list is unreadable
    wanted = _header_for(recipe)
    if storage.create(HEADER, seal(wanted, None)):
        return
    if read_header(storage) != wanted and not _has_images(storage):
        storage.put(HEADER, seal(wanted, None))
    check_dataset(storage, recipe)
    header = read_header(storage)
    if (now := raised(header)) != header:
        storage.put(HEADER, seal(now, None))


def check_dataset(storage: Storage, recipe: Recipe) -> None:
    """Raises ConfigError if the recipe would cut or split the images of this data set differently. Writes nothing."""
    if not storage.exists(HEADER):
        return
    found, wanted = read_header(storage), _header_for(recipe)
    if not _has_images(storage):
        return
    if found["shard_size"] != wanted["shard_size"]:
        raise ConfigError(
            f"'{storage.url}' is cut into shards of {found['shard_size']}, the recipe says {wanted['shard_size']}: "
            f"set ingest.shard_size back to {found['shard_size']}, or use another dataset folder."
        )
    if _draw_of(found.get("audit", {})) != _draw_of(wanted["audit"]):
        before, now = (json.dumps(audit) if audit else "none" for audit in (found.get("audit", {}), wanted["audit"]))
        raise ConfigError(
            f"'{storage.url}' was split with the audit {before}, the recipe says {now}: images keep their split, so "
            "set ingest.audit back, or use another dataset folder."
        )


def _header_for(recipe: Recipe) -> DatasetHeader:
    audit = recipe.ingest.audit.model_dump(mode="json") if recipe.ingest.audit.wanted else {}
    return {"schema_version": SCHEMA_VERSION, "shard_size": recipe.ingest.shard_size, "audit": audit}


def _has_images(storage: Storage) -> bool:
    """Whether any image is in a shard or has a split."""
    return any(len(Commits(storage, folder).revisions()) for folder in (IMAGES, SPLITS))


def _draw_of(audit: Mapping[str, Any]) -> tuple[float, int, bool]:
    """The options that decide how images are split.

    The audit list counts only as given or not: it may be moved or extended.
    """
    return audit.get("fraction", 0.0), audit.get("seed", 0), bool(audit.get("list"))
