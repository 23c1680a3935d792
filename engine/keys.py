"""What makes an answer stale: the key of a node.

Hashed: the component's name and integer version, the options that change answers and differ from their
defaults, the digests of its weights, the keys of the nodes it reads. Not hashed: batch size, resources,
time-outs, where the weights lie, package versions (those are recorded with the run).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from engine.errors import ConfigError
from engine.storage.files import sha256_file
from engine.storage.open_uri import read_uri

RUN_OPTIONS = frozenset({"batch_size", "timeout_s", "cpus", "gpus", "memory", "max_workers"})


def node_key(
    component: str,
    version: int,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
    weights: Sequence[str],
    inputs: Mapping[str, str],
) -> str:
    """64 hex digits; the first eight name the folder. `inputs`: {node name: its key}."""
    changed = {
        name: value
        for name, value in options.items()
        if name not in RUN_OPTIONS
        and name not in ("weights", "sha256")
        and value != defaults.get(name)
        and not _is_place(value, weights)
    }
    pinned = str(options.get("sha256") or "")  # of the first file; others (labels) are hashed as they are
    digests = [weights_digest(path, "" if number else pinned) for number, path in enumerate(weights)]
    return stable_hash([component, version, changed, digests, dict(inputs)])


def _is_place(value: Any, weights: Sequence[str]) -> bool:
    """The path of files that are hashed (weights, labels, a calibration), or of their folder, not what is in it."""
    if not isinstance(value, str) or not value:
        return False
    return any(path == value or path.startswith(value.rstrip("/") + "/") for path in weights)


def stable_hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def weights_digest(path: str, pinned: str) -> str:
    """The pinned sha256 if there is one (checked when the weights are loaded), else the file's own."""
    if pinned:
        return pinned
    if path.endswith(".json") and "://" in path:
        return hashlib.sha256(_small(path)).hexdigest()
    if "://" in path:
        raise ConfigError(f"Weights at '{path}' need their sha256 in the recipe: a URL may change what it serves.")
    if not os.path.isfile(path):
        raise ConfigError(f"No file at '{path}': correct the path in the recipe.")
    return _file_digest(path, os.path.getsize(path), os.path.getmtime(path))


def _small(url: str) -> bytes:
    """Tables are small enough to be read for every plan; weights are not."""
    try:
        return read_uri(url)
    except FileNotFoundError as error:
        raise ConfigError(f"No file at '{url}': correct the path in the recipe.") from error


@cache
def _file_digest(path: str, size: int, mtime: float) -> str:
    return sha256_file(path)
