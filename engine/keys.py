"""The key of a node: a hash of everything that affects its answers. If the key changes, the answers are stale.

Hashed: the component's name and version, the options that differ from their defaults, the digests of its weights, the
keys of the nodes it reads, and which images it works on. Not hashed: batch size, resources, time-outs, `compile`, the
path of the weights, licences, and package versions (the run record has those).
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
_NOT_HASHED = RUN_OPTIONS | {"compile", "weights", "sha256"}  # the last two: the content of the weights is hashed


def node_key(
    component: str,
    version: int,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
    weights: Sequence[str],
    inputs: Mapping[str, str],
    where: Any = None,
) -> str:
    """64 hex digits, of which the first eight are in the folder's name.

    `inputs`: {node name: its key}. `where`: what limits the node to some images.
    """
    changed = {
        name: value
        for name, value in options.items()
        if name not in _NOT_HASHED and value != defaults.get(name) and not _is_path_of(value, weights)
    }
    pinned = str(options.get("sha256") or "")  # of the first file; further ones (label lists) are hashed
    digests = [weights_digest(path, "" if number else pinned) for number, path in enumerate(weights)]
    return stable_hash([component, version, changed, digests, dict(inputs), *([where] if where else [])])


def _is_path_of(value: Any, weights: Sequence[str]) -> bool:
    """Whether the option is the path of hashed files or of their folder. Such a path is not part of the key."""
    if not isinstance(value, str) or not value:
        return False
    return any(path == value or path.startswith(value.rstrip("/") + "/") for path in weights)


def stable_hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def weights_digest(path: str, pinned: str) -> str:
    """The pinned sha256 if there is one (loading the weights checks it), else that of the file."""
    if pinned:
        return pinned
    if path.endswith(".json") and "://" in path:
        return hashlib.sha256(_read_table(path)).hexdigest()
    if "://" in path:
        raise ConfigError(f"Weights at '{path}' need their sha256 in the recipe: the content of a URL may change.")
    if not os.path.isfile(path):
        raise ConfigError(f"No file at '{path}': correct the path in the recipe.")
    return _file_digest(path, os.path.getsize(path), os.path.getmtime(path))


def _read_table(url: str) -> bytes:
    """Reads a JSON file at a URL. Unlike weights it is small enough to be hashed each time."""
    try:
        return read_uri(url)
    except FileNotFoundError as error:
        raise ConfigError(f"No file at '{url}': correct the path in the recipe.") from error


@cache
def _file_digest(path: str, size: int, mtime: float) -> str:
    return sha256_file(path)
