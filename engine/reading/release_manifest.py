"""manifest.json of a release: what the release contains and what made it.

It is written last, so a release that has a manifest is complete. Manifests of earlier versions lack some keys:
`read_manifest` checks only those that every reader needs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict, cast

from engine.errors import DamageError
from engine.layout import MANIFEST, PAIR_FILES, RELEASE_SPLITS
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal


class ReleaseFile(TypedDict):
    """One file of the release folder, such as train-00000.tar."""

    name: str
    sha256: str
    bytes: int
    rows: int


class PairTotals(TypedDict):
    """Numbers of training pairs: written, by task; left out, by task and reason; cut to the token limit."""

    proven: dict[str, int]
    left_out: dict[str, dict[str, int]]
    truncated: int


class ReleaseNode(TypedDict):
    """One node whose component made annotations of the release."""

    name: str
    component: str
    version: int
    key: str
    deterministic: bool
    code_licence: str
    weights_licence: str  # '' without weights
    resolved: NotRequired[Mapping[str, str]]  # values found for its options, such as the commit of a hub id


class FormatTotals(TypedDict):
    """What a format of the release left out, as numbers of annotations by reason."""

    left_out: dict[str, int]


class LabelTotals(TypedDict):
    """Numbers of regions and tags that emit.labels changed, as {"old -> new": number}, and left out, by label."""

    renamed: dict[str, int]
    dropped: dict[str, int]


class Figures(TypedDict):
    """Numbers for the data card. Each dictionary has the highest number first, except where it says otherwise."""

    licences: dict[str, int]  # images by licence; '' if it is not stated
    sources: dict[str, int]  # images by source; an image in several sources counts in each
    sides: dict[str, int]  # images by the length of their longer side, from small to large
    languages: dict[str, int]  # texts by the language that was found
    labels: dict[str, int]  # objects by label: the most frequent labels
    distinct_labels: int
    labels_cut: int  # shards with too many labels to count all: if it is not 0, labels have at least these numbers
    producers: dict[str, dict[str, dict[str, int]]]  # {column: {producer: {kind of score, or "people": number}}}
    objects: int  # regions of the kind `object` that were not merged into another
    words: int  # of all texts
    masks: int  # regions with an rle


class ReleaseRound(TypedDict):
    """The decision on one round of refinement."""

    round: int
    accepted: bool
    changed: float  # share of the regions or of the texts that it changed
    changes: dict[str, int]  # by rule
    reasons: list[str]  # why it was refused
    students: list[str]  # names of the models, one for each fold


class Column(TypedDict):
    """A column of the tables of images, with its type as Arrow writes it."""

    name: str
    type: str


class Manifest(TypedDict):
    """The fields of manifest.json, in the order in which they are written."""

    name: str
    content: str  # a hash of everything that the release was made from
    schema_version: int
    splits: NotRequired[dict[str, int]]  # number of images by split: train, valid, test
    formats: NotRequired[dict[str, FormatTotals]]  # by the names of emit.formats
    left_out: NotRequired[dict[str, int]]  # kept training images that were not chosen, by reason
    labels: NotRequired[LabelTotals]  # what emit.labels did
    counts: dict[str, int]  # number by name: "images", each annotation column, "<column>.<granularity or kind>"
    pairs: PairTotals
    accounting: dict[str, int]  # number by name: "inputs", each outcome of inputs, "kept_to_measure"
    files: list[ReleaseFile]
    image_extensions: list[str]
    schema: list[Column]
    figures: NotRequired[Figures]
    dropped: NotRequired[dict[str, dict[str, int]]]  # {"images" or annotation column: {rule: number}} in the data set
    rounds: NotRequired[list[ReleaseRound]]  # of refinement
    lost: list[list[str]]  # (image id, reason) of images whose bytes could not be read
    recipe: Mapping[str, Any]
    nodes: list[ReleaseNode]
    versions: dict[str, str]  # of packages
    card_sha256: NotRequired[str]  # digest of README.md, which is written from the manifest


def sealed_manifest(manifest: Manifest, card: bytes) -> bytes:
    """The bytes of manifest.json. The digests of the card and of the manifest itself are added."""
    return seal({**manifest, "card_sha256": hashlib.sha256(card).hexdigest()})


def read_manifest(storage: Storage, folder: str = "") -> Manifest:
    """The manifest of a release.

    Raises FileNotFoundError if there is none, so the release is not finished. Raises DamageError if the file was
    changed or is not a manifest.
    """
    name = f"{folder}/{MANIFEST}" if folder else MANIFEST
    found = read_sealed(storage, name, "restore it from a backup, or make the release again under another name.")
    files = found.get("files")
    named = isinstance(files, list) and all(isinstance(file, dict) and "name" in file for file in files)
    if not named or not isinstance(found.get("content"), str):
        raise DamageError(f"The manifest '{storage.url}/{name}' lists no files: it is not the manifest of a release.")
    return cast(Manifest, found)


def formats_of(manifest: Manifest) -> list[str]:
    """The names of the formats of a release. Releases from before formats could be chosen have these four."""
    return list(manifest.get("formats", ("webdataset", "parquet", "pairs", "embeddings")))


# --- names of files -----------------------------------------------------------------------------

_SPLIT = "|".join(RELEASE_SPLITS)
_SHARD_FILE = re.compile(rf"(?P<prefix>|[a-z]+-)(?P<split>{_SPLIT})-(?P<number>\d{{5,}})\.(?P<suffix>tar|parquet)")


def shard_file(name: str) -> re.Match[str] | None:
    """Takes the name of a file that holds a part of one shard apart: prefix, split, number, suffix. None for others."""
    return _SHARD_FILE.fullmatch(name)


def shards_of(names: Iterable[str]) -> list[str]:
    """The names of all shards, such as "train-00000", by their tars and tables. Ordered by split, then by number."""
    found = {
        (RELEASE_SPLITS.index(match["split"]), int(match["number"]), f"{match['split']}-{match['number']}")
        for match in map(shard_file, names)
        if match and not match["prefix"]
    }
    return [name for _, _, name in sorted(found)]


def tables_of(names: Iterable[str]) -> list[str]:
    """The names of the tables of images, in the order of `shards_of`."""
    there = set(names)
    return [f"{shard}.parquet" for shard in shards_of(there) if f"{shard}.parquet" in there]


def pair_files(names: Iterable[str], split: str) -> list[str]:
    """The tables of training pairs of a split, in order.

    Releases from before splits have pairs-<5 digits>.parquet, which belong to train.
    """
    older = rf"|{PAIR_FILES}\d{{5,}}" if split == "train" else ""
    return sorted(name for name in names if re.fullmatch(rf"({PAIR_FILES}{split}-\d{{5,}}{older})\.parquet", name))
