"""The key of a node: a hash of everything that affects its answers. If the key changes, the answers are stale.

Hashed: the component's name and version, the options that differ from their defaults, the digests of its weights, the
keys of the nodes it reads, and what limits it to some images. Not hashed: batch size, resources, time-outs, `compile`,
the path of the weights, licences, and package versions (which are in the run record).
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
# Instead of `weights` and `sha256`, the digest of the weights is hashed.
_NOT_HASHED = RUN_OPTIONS | {"compile", "weights", "sha256"}


def node_key(
    component: str,
    version: int,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
    weights: Sequence[str],
    inputs: Mapping[str, str],
    where: Any = None,
) -> str:
    """The key of a node: 64 hex digits. Its first eight digits are in the name of the node's folder.

    `inputs`: the nodes that it reads, {name: key}. `where`: what limits the node to some images.
    """
    changed = {
        name: value
        for name, value in options.items()
        if name not in _NOT_HASHED and value != defaults.get(name) and not _is_path_of(value, weights)
    }
    # The recipe's sha256 is that of the first file. Other files (label lists) are hashed here.
    pinned = str(options.get("sha256") or "")
    digests = [weights_digest(path, "" if number else pinned) for number, path in enumerate(weights)]
    return stable_hash([component, version, changed, digests, dict(inputs), *([where] if where else [])])


def _is_path_of(value: Any, weights: Sequence[str]) -> bool:
    """Whether the option is the path of the weights or of a folder that holds them.

    Such an option is not part of the key.
    """
    if not isinstance(value, str) or not value:
        return False
    return any(path == value or path.startswith(value.rstrip("/") + "/") for path in weights)


def stable_hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def weights_digest(path: str, pinned: str) -> str:
    """The sha256 of a weights file.

    `pinned`: the sha256 in the recipe, returned as it is, because loading checks it.

    Raises ConfigError if nothing is pinned and the file is missing or is at a URL. A JSON file at a URL is read and
    hashed.
    """
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
    """The bytes of a JSON file at a URL. It is small, so it is read and hashed each time, unlike weights."""
    try:
        return read_uri(url)
    except FileNotFoundError as error:
        raise ConfigError(f"No file at '{url}': correct the path in the recipe.") from error


@cache
def _file_digest(path: str, size: int, mtime: float) -> str:
    return sha256_file(path)
