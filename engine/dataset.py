"""A data set as its readers see it: which nodes make it up now, and which committed file holds which shard.

A snapshot: listings are made once, so one Dataset keeps saying the same while a run goes on beside it. Only
files that a commit record names are given out; a folder's other files are on their way or left over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.graph import IMAGES
from engine.schema import SCHEMA_VERSION
from engine.shards import Commits
from engine.storage import Storage

INPUTS = "inputs"
Revisions = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CurrentNode:
    """A node of current.json. `columns`: what of its answer is part of the record; none if it is re-emitted."""

    name: str
    key: str
    folder: str
    component: str = ""
    version: int = 1
    deterministic: bool = True
    over: str = "images"
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> CurrentNode:
        known: dict[str, Any] = {name: given[name] for name in cls.__dataclass_fields__ if name in given}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known)


@dataclass(slots=True)
class Dataset:
    """`nodes` in graph order; `judge` and `probe` are folders, '' where there is none."""

    storage: Storage
    nodes: Sequence[CurrentNode]
    judge: str
    probe: str
    _files: dict[str, dict[int, str]] = field(default_factory=dict)
    _revisions: dict[str, Revisions] = field(default_factory=dict)

    @classmethod
    def open(cls, url: str) -> Dataset:
        """ConfigError if there is no data set. One that is still being ingested for the first time has no nodes."""
        storage = Storage(url)
        _check_schema(storage)
        try:
            current = json.loads(storage.read("current.json"))
        except FileNotFoundError:
            keys = [key for key in storage.names("probe") if "." not in key]
            current = {"probe": {"folder": f"probe/{keys[0]}"} if len(keys) == 1 else None}
        nodes = [CurrentNode.from_json(node) for node in current.get("nodes", [])]
        judge, probe = ((current.get(name) or {}).get("folder", "") for name in ("judge", "probe"))
        return cls(storage, nodes, judge, probe)

    @property
    def url(self) -> str:
        return self.storage.url

    @property
    def shards(self) -> int:
        return len(self.revisions(IMAGES))

    def node(self, name: str) -> CurrentNode | None:
        return next((node for node in self.nodes if node.name == name), None)

    def record_nodes(self, column: str = "") -> list[CurrentNode]:
        """The nodes whose annotations make up the record, or this column of it."""
        return [node for node in self.nodes if (column in node.columns if column else node.columns)]

    def files(self, folder: str) -> dict[int, str]:
        """{shard: path relative to the data set} of committed data, latest revision. Nothing for ''."""
        if folder not in self._files:
            found = Commits(self.storage, folder).data_files() if folder else {}
            self._files[folder] = dict(sorted(found.items()))
        return self._files[folder]

    def revisions(self, folder: str) -> Revisions:
        """The committed revision of each shard, -1 where there is none."""
        if folder not in self._revisions:
            found = Commits(self.storage, folder).revisions() if folder else np.zeros(0, np.int32)
            self._revisions[folder] = found
        return self._revisions[folder]

    def judged_files(self) -> dict[int, str]:
        """Verdicts that are on the annotations as they are now.

        Where a node has answered again since (--retry-failed, new labels), the old verdicts lie beside other
        annotations: those shards are not judged yet.
        """
        latest = np.full(self.shards, -1, np.int32)
        for node in self.record_nodes():
            latest = np.maximum(latest, self._revisions_of_images(node.folder))
        own = self._revisions_of_images(self.judge)
        files = self.files(self.judge)
        return {shard: path for shard, path in files.items() if shard < self.shards and own[shard] >= latest[shard]}

    def done(self, node: CurrentNode) -> npt.NDArray[np.bool_]:
        """Per image shard: whether this node has answered from the latest answers of what it reads."""
        needed = np.zeros(self.shards, np.int32)
        if "labels" in node.needs:
            needed = np.maximum(needed, self.revisions(IMAGES))
        current = np.ones(self.shards, np.bool_)
        for name in node.inputs:
            if given := self.node(name):
                needed = np.maximum(needed, self._revisions_of_images(given.folder))
                current &= self.done(given)
        own = self._revisions_of_images(node.folder)
        return current & (own >= 0) & (own >= needed)

    def _revisions_of_images(self, folder: str) -> Revisions:
        found = self.revisions(folder)[: self.shards]
        return np.concatenate([found, np.full(self.shards - len(found), -1, np.int32)])

    def location(self, path: str) -> str:
        """A path of this data set as DuckDB and fsspec open it from anywhere."""
        if self.storage.local:
            return self.storage.path(path)
        protocol = self.storage.url.partition("://")[0]
        return f"{protocol}://{self.storage.path(path)}"

    def runs(self) -> list[str]:
        """The folders of runs that have written their record, oldest first."""
        names = [name for name in self.storage.names("runs") if name.partition("-")[0].isdigit()]
        names.sort(key=lambda name: (int(name.partition("-")[0]), name))
        return [f"runs/{name}" for name in names if self.storage.exists(f"runs/{name}/run.json")]


def _check_schema(storage: Storage) -> None:
    try:
        header = json.loads(storage.read("dataset.json"))
    except FileNotFoundError:
        raise ConfigError(
            f"'{storage.url}' is no data set, it holds no dataset.json: give the folder that a recipe's 'dataset' "
            "names, or make one with 'engine run'."
        ) from None
    except (ValueError, IsADirectoryError) as error:
        raise ConfigError(f"The dataset.json of '{storage.url}' cannot be read: {error}.") from None
    found = header.get("schema_version") if isinstance(header, dict) else None
    if found != SCHEMA_VERSION:
        raise ConfigError(
            f"'{storage.url}' has schema version {found}, this engine reads {SCHEMA_VERSION}: open it with the "
            "version that wrote it."
        )
