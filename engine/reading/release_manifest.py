"""manifest.json of a release: what it contains and what made it.

It is written last, so a release that has one is complete. Manifests of earlier versions lack some keys:
`read_manifest` checks only those that every reader needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast

from engine.errors import DamageError
from engine.layout import MANIFEST
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal


class ReleaseFile(TypedDict):
    """One file of the release folder, such as train-00000.tar."""

    name: str
    sha256: str
    bytes: int
    rows: int


class PairTotals(TypedDict):
    """Numbers of pairs: proven by task, left out by task and reason, and those cut to the token limit."""

    proven: dict[str, int]
    left_out: dict[str, dict[str, int]]
    truncated: int


class ReleaseNode(TypedDict):
    """One component that made the annotations."""

    name: str
    component: str
    version: int
    key: str
    deterministic: bool
    code_licence: str
    weights_licence: str  # '' without weights
    resolved: NotRequired[Mapping[str, str]]  # what was found for its options: the commit of a hub id


class Column(TypedDict):
    """A column of train-*.parquet; the type in Arrow's notation."""

    name: str
    type: str


class Manifest(TypedDict):
    """The fields of manifest.json, in the order in which they are written."""

    name: str
    content: str  # key of everything the release was made from
    schema_version: int
    counts: dict[str, int]  # images, each annotation column, and "<column>.<granularity or kind>"
    pairs: PairTotals
    accounting: dict[str, int]  # inputs, the outcomes they add up to, and kept_to_measure
    files: list[ReleaseFile]
    image_extensions: list[str]
    schema: list[Column]
    lost: list[list[str]]  # (image id, reason) of images whose bytes could not be read
    recipe: Mapping[str, Any]
    nodes: list[ReleaseNode]
    versions: dict[str, str]  # of packages
    card_sha256: NotRequired[str]  # of README.md, which is written from the manifest


def sealed_manifest(manifest: Manifest, card: bytes) -> bytes:
    """The bytes of manifest.json: with the digest of the card, and one of itself."""
    return seal({**manifest, "card_sha256": hashlib.sha256(card).hexdigest()})


def read_manifest(storage: Storage, folder: str = "") -> Manifest:
    """FileNotFoundError if no release is finished there; DamageError if the manifest was changed or is none."""
    name = f"{folder}/{MANIFEST}" if folder else MANIFEST
    found = read_sealed(storage, name, "restore it from a backup, or make the release again under another name.")
    files = found.get("files")
    named = isinstance(files, list) and all(isinstance(file, dict) and "name" in file for file in files)
    if not named or not isinstance(found.get("content"), str):
        raise DamageError(f"The manifest '{storage.url}/{name}' lists no files: it is not the manifest of a release.")
    return cast(Manifest, found)
