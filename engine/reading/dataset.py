"""A data set as its readers see it: which nodes make it up now, and which committed file holds which shard.

A snapshot: listings are made once, so one Dataset keeps saying the same while a run goes on beside it. Only
files that a commit record names are given out; a folder's other files are on their way or left over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, DamageError, unknown
from engine.layout import (
    CURRENT,
    HEADER,
    IMAGES,
    INPUTS,
    JUDGE,
    MANIFEST,
    PROBE,
    RELEASES,
    RUN,
    RUNS,
    SAMPLE_FILES,
    SURVEYED,
    release_folder,
)
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, check_holes, check_tail
from engine.storage.files import Storage
from engine.storage.migrate import check_version, has_older_files
from engine.storage.sealed import hold, read_sealed

_HELD = 4 << 30  # bytes of a data set that are held to their digests before a query: about two seconds on two cores
_HEADER = "restore it from a backup, or write it again with 'engine check -c RECIPE --repair'."
_REWRITE = "run the recipe again with 'engine run', which writes it anew and does nothing twice."
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
    """`nodes` in graph order; `judge` and `probe` are folders, '' where there is none.

    `release` is the folder of the release that is read instead of the nodes that annotate; '' for the nodes.
    """

    storage: Storage
    nodes: Sequence[CurrentNode]
    judge: str
    probe: str
    release: str = ""
    older: bool = False  # files of an earlier schema version may lack columns
    _files: dict[str, dict[int, str]] = field(default_factory=dict)
    _revisions: dict[str, Revisions] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)  # sha256 of files whose names do not hold one

    @classmethod
    def open(cls, url: str) -> Dataset:
        """ConfigError if there is no data set. One that is still being ingested for the first time has no nodes."""
        storage = Storage(url)
        header = read_header(storage)
        try:
            current = read_current(storage)
        except FileNotFoundError:
            keys = [key for key in storage.names(PROBE) if "." not in key]
            current = {"probe": {"folder": f"{PROBE}/{keys[0]}"} if len(keys) == 1 else None}
        try:
            nodes = [CurrentNode.from_json(node) for node in current.get("nodes", [])]
            judge, probe = ((current.get(name) or {}).get("folder", "") for name in ("judge", "probe"))
        except (TypeError, AttributeError):
            raise DamageError(f"The {CURRENT} of '{url}' names no nodes as expected: {_REWRITE}") from None
        return cls(storage, nodes, judge, probe, older=has_older_files(header))

    def of(self, name: str) -> Dataset:
        """The same with the verdicts "judge/<key>", or with what the release "releases/<name>" holds."""
        kind, _, rest = name.strip("/").partition("/")
        readers = {JUDGE: self._of_judge, RELEASES: self._of_release}
        if kind not in readers or not rest:
            raise unknown("kept record", name, self.kept_records())
        return readers[kind](f"{kind}/{rest}")

    def kept_records(self) -> list[str]:
        """What `of` takes: folders of verdicts, releases that are complete."""
        judges = [f"{JUDGE}/{key}" for key in self.storage.names(JUDGE) if "." not in key]
        releases = [release_folder(name) for name in self.storage.names(RELEASES)]
        return sorted(judges) + sorted(r for r in releases if self.storage.exists(f"{r}/{MANIFEST}"))

    def _of_judge(self, folder: str) -> Dataset:
        """Verdicts with the answers they are on, which may be of other options than the current ones."""
        commits = Commits(self.storage, folder)
        judged = np.flatnonzero(commits.revisions() >= 0)
        if not len(judged):
            raise unknown("kept record", folder, self.kept_records())
        record = commits.record(int(judged[0]), int(commits.revisions()[judged[0]]))
        read = {path.split("/")[0]: path.rpartition("/")[0] for path in record.inputs}
        judged_nodes, current = sorted(set(read) - {IMAGES, SURVEYED}), sorted(node.name for node in self.nodes)
        if read and judged_nodes != current:
            raise ConfigError(
                f"The verdicts '{folder}' are on {', '.join(judged_nodes)}, the data set is now made by "
                f"{', '.join(current)}: run the recipe that made them, and ask again."
            )
        nodes = [replace(node, folder=read.get(node.name, node.folder)) for node in self.nodes]
        return replace(self, nodes=nodes, judge=folder, _files={}, _revisions={})

    def _of_release(self, folder: str) -> Dataset:
        """A release, and of the data set the parse that its texts had."""
        try:
            manifest = read_sealed(self.storage, f"{folder}/{MANIFEST}")
        except FileNotFoundError:
            raise unknown("kept record", folder, self.kept_records()) from None
        check_version(f"{self.url}/{folder}", manifest)
        if not all(_lists(manifest, name, fields) for name, fields in _MANIFEST.items()):
            raise DamageError(f"'{folder}/{MANIFEST}' names no nodes and files: it is not one of a release.")
        made = {node["name"]: f"{node['name']}/{node['key'][:8]}" for node in manifest["nodes"]}
        parses = [node for node in self.nodes if node.over == "texts"]
        nodes = [CurrentNode("release", "", folder, columns=tuple(ANNOTATIONS))]
        nodes += [replace(node, folder=made.get(node.name, node.folder)) for node in parses]
        names = sorted(file["name"] for file in manifest["files"])
        tables = [name for name in names if name.startswith(SAMPLE_FILES) and name.endswith(".parquet")]
        files = {folder: {number: f"{folder}/{name}" for number, name in enumerate(tables)}}
        digests = {f"{folder}/{file['name']}": file["sha256"] for file in manifest["files"]}
        older = self.older or has_older_files(manifest)
        return Dataset(self.storage, nodes, "", "", folder, older, _files=files, _digests=digests)

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
            if folder in (IMAGES, INPUTS):
                self.revisions(folder)  # complains of a shard that is gone
            found = Commits(self.storage, folder).data_files() if folder else {}
            self._files[folder] = dict(sorted(found.items()))
        return self._files[folder]

    def hold(self, paths: Iterable[str], digests: Mapping[str, str] = MappingProxyType({})) -> int:
        """DamageError for the first of these files that is not as it was committed, before DuckDB reads them.

        Returns how many bytes were left unread because there are so many: 'engine check' reads everything.
        """
        known = {**self._digests, **digests}
        return hold(self.storage, ((path, known.get(path, "")) for path in paths), _HELD)

    def changes(self) -> dict[tuple[str, int], str]:
        """{(node, shard): path} of what each refinement round changed."""
        merges = [node for node in self.nodes if node.component == "merge"]
        found = {node.name: Commits(self.storage, node.folder).data_files("changes") for node in merges}
        return {(name, shard): path for name, paths in found.items() for shard, path in sorted(paths.items())}

    def revisions(self, folder: str) -> Revisions:
        """The committed revision of each shard, -1 where there is none."""
        if folder not in self._revisions:
            found = Commits(self.storage, folder).revisions() if folder else np.zeros(0, np.int32)
            if folder in (IMAGES, INPUTS):
                check_holes(self.storage, folder, found)
            self._revisions[folder] = found
        return self._revisions[folder]

    @property
    def surveyed(self) -> str:
        """The folder of the survey that the verdicts were given by, '' if no rule needed one."""
        judged = np.flatnonzero(self.revisions(self.judge) >= 0)
        if not len(judged):
            return ""
        shard = int(judged[0])
        record = Commits(self.storage, self.judge).record(shard, int(self.revisions(self.judge)[shard]))
        return str(record.counts.get("surveyed", ""))

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
        if {"labels", "scene"} & set(node.needs):
            needed = np.maximum(needed, self.revisions(IMAGES))
        current = np.ones(self.shards, np.bool_)
        for name in node.inputs:
            if given := self.node(name):
                needed = np.maximum(needed, self._revisions_of_images(given.folder))
                current &= self.done(given)
        own = self._revisions_of_images(node.folder)
        return current & (own >= 0) & (own >= needed)

    def _revisions_of_images(self, folder: str) -> Revisions:
        found = self.revisions(folder)
        check_tail(self.storage, IMAGES, self.shards, folder, len(found))
        found = found[: self.shards]
        return np.concatenate([found, np.full(self.shards - len(found), -1, np.int32)])

    def location(self, path: str) -> str:
        """A path of this data set as DuckDB and fsspec open it from anywhere."""
        if self.storage.local:
            return self.storage.path(path)
        protocol = self.storage.url.partition("://")[0]
        return f"{protocol}://{self.storage.path(path)}"

    def runs(self) -> list[str]:
        """The folders of runs that have written their record, oldest first."""
        names = [name for name in self.storage.names(RUNS) if name.partition("-")[0].isdigit()]
        names.sort(key=lambda name: (int(name.partition("-")[0]), name))
        return [f"{RUNS}/{name}" for name in names if self.run(f"{RUNS}/{name}")]

    def run(self, folder: str) -> dict[str, Any]:
        """The record of a run; {} where there is none, or it is damaged: 'engine check' names it."""
        try:
            told = read_sealed(self.storage, f"{folder}/{RUN}")
        except (FileNotFoundError, DamageError):
            return {}
        return told if isinstance(told.get("nodes"), list) else {}


_MANIFEST = {"nodes": {"name", "key"}, "files": {"name", "sha256"}}  # what is read of a manifest here


def _lists(manifest: dict[str, Any], name: str, fields: set[str]) -> bool:
    items = manifest.get(name)
    return isinstance(items, list) and all(isinstance(item, dict) and fields <= set(item) for item in items)


def read_header(storage: Storage) -> dict[str, Any]:
    """What dataset.json says. ConfigError where there is none, or it is of a later schema version."""
    try:
        header = read_sealed(storage, HEADER, _HEADER)
    except FileNotFoundError:
        raise ConfigError(
            f"'{storage.url}' is no data set, it holds no {HEADER}: give the folder that a recipe's 'dataset' "
            "names, or make one with 'engine run'."
        ) from None
    check_version(storage.url, header)
    if not isinstance(header.get("shard_size"), int) or not isinstance(header.get("audit", {}), dict):
        raise DamageError(f"'{storage.url}/{HEADER}' lacks the shard size: {_HEADER}")
    return header


def read_current(storage: Storage) -> dict[str, Any]:
    """What current.json says. FileNotFoundError before the first run; DamageError where it is not as it was written."""
    return read_sealed(storage, CURRENT, _REWRITE)
