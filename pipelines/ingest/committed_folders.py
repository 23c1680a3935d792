"""Lists the folders of a data set that hold commits."""

from __future__ import annotations

from engine.layout import (
    INPUTS,
    LISTINGS,
    MODELS,
    PLACED,
    PROBE,
    RELEASES,
    REMOVED,
    ROUNDS,
    RUNS,
    SPLITS,
    SURVEYED,
)
from engine.storage.commits import Commits
from engine.storage.files import Storage

# Folders whose commits are not numbered like the shards of images.
OTHER_NUMBERS = frozenset((INPUTS, LISTINGS, PROBE, PLACED, SPLITS, SURVEYED, RELEASES, MODELS, RUNS, ROUNDS, REMOVED))


def committed_folders(storage: Storage) -> list[str]:
    """Every folder that may hold commits. It is NAME, or NAME/KEY for the answers of a node."""
    tops = [name for name in storage.names("") if "." not in name]
    return [folder for top in tops for folder in (top, *(f"{top}/{k}" for k in storage.names(top) if "." not in k))]


def latest_revision(storage: Storage) -> int:
    """The highest revision number in the whole data set.

    If a shard gets a higher revision, everything that was made from its earlier revisions becomes stale.
    """
    revisions = (Commits(storage, name).revisions().max(initial=0) for name in committed_folders(storage))
    return max(map(int, revisions), default=0)
