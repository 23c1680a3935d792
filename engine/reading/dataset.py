"""A data set for reading: its current nodes, and the committed file of each shard.

A Dataset is a snapshot: it lists each folder once, so later changes during a run do not appear in it. Only files that a
commit record names are read. Other files in a folder are unfinished or left over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    LISTINGS,
    MANIFEST,
    PROBE,
    RELEASES,
    RUN,
    RUNS,
    SURVEYED,
    release_folder,
)
from engine.reading.release_manifest import tables_of
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, check_holes, check_tail
from engine.storage.files import Storage
from engine.storage.migrate import check_version, has_older_files
from engine.storage.removals import require_no_removal
from engine.storage.sealed import check_digests, read_sealed

_CHECKED = 4 << 30  # most bytes that are checked before a query: about two seconds on two cores
_HEADER = "restore it from a backup, or write it again with 'engine check -c RECIPE --repair'."
_REWRITE = "run the recipe again with 'engine run', which writes the file again and repeats no work."
Revisions = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CurrentNode:
    """A node of current.json.

    `columns`: its columns that are part of the record. Empty if another node replaces its whole output.
    """

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
    resolved: Mapping[str, str] = field(default_factory=dict)  # values found for its options, such as a commit
    where: str = ""  # the SQL that limits it to some images

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> CurrentNode:
        known: dict[str, Any] = {name: given[name] for name in cls.__dataclass_fields__ if name in given}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known)


@dataclass(slots=True)
class Dataset:
    """A data set that is read. All paths are relative to it.

    nodes: in graph order.
    judge, probe: folders; '' if there is none.
    release: if not '', the folder of a release, which is read instead of the nodes' answers.
    """

    storage: Storage
    nodes: Sequence[CurrentNode]
    judge: str
    probe: str
    release: str = ""
    older: bool = False  # files of an earlier schema version may lack columns
    _files: dict[str, dict[int, str]] = field(default_factory=dict)
    _revisions: dict[str, Revisions] = field(default_factory=dict)
    _changes: dict[tuple[str, int], str] | None = None
    _digests: dict[str, str] = field(default_factory=dict)  # {path: sha256} of files whose name does not contain it

    @classmethod
    def open(cls, url: str) -> Dataset:
        """Open a data set for reading.

        During the first ingest it has no nodes. Raises ConfigError if there is no data set, or if a removal of images
        has not ended.
        """
        storage = Storage(url)
        header = read_header(storage)
        require_no_removal(storage)
        try:
            current = read_current(storage)
        except FileNotFoundError:
            keys = [key for key in storage.names(PROBE) if "." not in key]
            current = {"probe": {"folder": f"{PROBE}/{keys[0]}"} if len(keys) == 1 else None}
        try:
            nodes = [CurrentNode.from_json(node) for node in current.get("nodes", [])]
            judge, probe = ((current.get(name) or {}).get("folder", "") for name in ("judge", "probe"))
        except (TypeError, AttributeError):
            raise DamageError(f"The {CURRENT} of '{url}' lacks its list of nodes: {_REWRITE}") from None
        return cls(storage, nodes, judge, probe, older=has_older_files(header))

    def of(self, name: str) -> Dataset:
        """The same data set with the verdicts "judge/<key>", or with the content of the release "releases/<name>"."""
        kind, _, rest = name.strip("/").partition("/")
        readers = {JUDGE: self._of_judge, RELEASES: self._of_release}
        if kind not in readers or not rest:
            raise unknown("verdicts or release", name, self.verdicts_and_releases())
        return readers[kind](f"{kind}/{rest}")

    def verdicts_and_releases(self) -> list[str]:
        """The names that `of` accepts: the folders of all verdicts and of complete releases."""
        judges = [f"{JUDGE}/{key}" for key in self.storage.names(JUDGE) if "." not in key]
        releases = [release_folder(name) for name in self.storage.names(RELEASES)]
        return sorted(judges) + sorted(r for r in releases if self.storage.exists(f"{r}/{MANIFEST}"))

    def _of_judge(self, folder: str) -> Dataset:
        """The data set with these verdicts and the answers that they judged.

        These answers may have been made with other options than the current ones.
        """
        commits = Commits(self.storage, folder)
        judged = np.flatnonzero(commits.revisions() >= 0)
        if not len(judged):
            raise unknown("verdicts or release", folder, self.verdicts_and_releases())
        record = commits.record(int(judged[0]), int(commits.revisions()[judged[0]]))
        read = {path.split("/")[0]: path.rpartition("/")[0] for path in record.inputs}
        judged_nodes, current = sorted(set(read) - {IMAGES, SURVEYED}), sorted(node.name for node in self.nodes)
        if read and judged_nodes != current:
            raise ConfigError(
                f"The verdicts '{folder}' are on the nodes {', '.join(judged_nodes)}, but the data set now has "
                f"{', '.join(current)}: run the recipe that made the verdicts, then repeat the query."
            )
        nodes = [replace(node, folder=read.get(node.name, node.folder)) for node in self.nodes]
        return replace(self, nodes=nodes, judge=folder, _files={}, _revisions={}, _changes=None)

    def _of_release(self, folder: str) -> Dataset:
        """The data set with the content of a release. The parse of its texts still comes from the data set."""
        try:
            manifest = read_sealed(self.storage, f"{folder}/{MANIFEST}")
        except FileNotFoundError:
            raise unknown("verdicts or release", folder, self.verdicts_and_releases()) from None
        check_version(f"{self.url}/{folder}", manifest)
        if not all(_lists(manifest, name, fields) for name, fields in _MANIFEST.items()):
            raise DamageError(f"'{folder}/{MANIFEST}' lists no nodes and files: it is not the manifest of a release.")
        made = {node["name"]: f"{node['name']}/{node['key'][:8]}" for node in manifest["nodes"]}
        parses = [node for node in self.nodes if node.over == "texts"]
        nodes = [CurrentNode("release", "", folder, columns=tuple(ANNOTATIONS))]
        nodes += [replace(node, folder=made.get(node.name, node.folder)) for node in parses]
        tables = tables_of(file["name"] for file in manifest["files"])
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
        """The nodes whose annotations make up the record. With `column`, only those that fill this column."""
        return [node for node in self.nodes if (column in node.columns if column else node.columns)]

    def files(self, folder: str) -> dict[int, str]:
        """{shard: path} of the latest committed data files of a node's folder. Empty for the folder ''."""
        if folder not in self._files:
            if folder in (IMAGES, INPUTS):
                self.revisions(folder)  # raises if a shard is missing
            found = Commits(self.storage, folder).data_files() if folder else {}
            self._files[folder] = dict(sorted(found.items()))
        return self._files[folder]

    def check_digests(self, paths: Iterable[str], digests: Mapping[str, str] = MappingProxyType({})) -> int:
        """Compare files with their digests. Raises DamageError for the first one that was changed.

        It reads a limited number of bytes and returns how many it left out. 'engine check' checks all files.
        """
        known = {**self._digests, **digests}
        return check_digests(self.storage, ((path, known.get(path, "")) for path in paths), _CHECKED)

    def changes(self) -> dict[tuple[str, int], str]:
        """The files of changes that refinement rounds made: {(node, shard): path}."""
        if self._changes is None:
            merges = [node for node in self.nodes if node.component == "merge"]
            found = {node.name: Commits(self.storage, node.folder).data_files("changes") for node in merges}
            self._changes = {(name, shard): paths[shard] for name, paths in found.items() for shard in sorted(paths)}
        return self._changes

    def of_shards(self, shards: Collection[int]) -> Dataset:
        """The same data set with only these shards of images, so that a query about few images reads few files.

        It has no inputs, listings and probe, because their chunks are not those of the images.
        """
        of_images = [IMAGES, self.judge, self.release, *(node.folder for node in self.nodes)]
        files: dict[str, dict[int, str]] = {INPUTS: {}, LISTINGS: {}, self.probe: {}}
        for folder in of_images:
            files[folder] = {shard: path for shard, path in self.files(folder).items() if shard in shards}
        changes = {(name, shard): path for (name, shard), path in self.changes().items() if shard in shards}
        return replace(self, _files=files, _changes=changes)

    def revisions(self, folder: str) -> Revisions:
        """The committed revision of each shard; -1 for a shard that is not committed."""
        if folder not in self._revisions:
            found = Commits(self.storage, folder).revisions() if folder else np.zeros(0, np.int32)
            if folder in (IMAGES, INPUTS):
                check_holes(self.storage, folder, found)
            self._revisions[folder] = found
        return self._revisions[folder]

    @property
    def surveyed(self) -> str:
        """The folder of the facts about the whole data set that the rules used; '' if no rule used any."""
        judged = np.flatnonzero(self.revisions(self.judge) >= 0)
        if not len(judged):
            return ""
        shard = int(judged[0])
        record = Commits(self.storage, self.judge).record(shard, int(self.revisions(self.judge)[shard]))
        return str(record.counts.get("surveyed", ""))

    def judged_files(self) -> dict[int, str]:
        """{shard: path} of the files of verdicts that are up to date.

        Leaves out a shard if a node annotated it again after it was judged (--retry-failed, new labels).
        """
        latest = np.full(self.shards, -1, np.int32)
        for node in self.record_nodes():
            latest = np.maximum(latest, self._revisions_of_images(node.folder))
        own = self._revisions_of_images(self.judge)
        files = self.files(self.judge)
        return {shard: path for shard, path in files.items() if shard < self.shards and own[shard] >= latest[shard]}

    def done(self, node: CurrentNode) -> npt.NDArray[np.bool_]:
        """Which shards of images are done.

        A shard is done if the node's answers were made from the latest answers of the nodes that it reads.
        """
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
        """The absolute path or URL of a file, for DuckDB and fsspec."""
        if self.storage.local:
            return self.storage.path(path)
        protocol = self.storage.url.partition("://")[0]
        return f"{protocol}://{self.storage.path(path)}"

    def runs(self) -> list[str]:
        """The folders of runs with a record, oldest first."""
        names = [name for name in self.storage.names(RUNS) if name.partition("-")[0].isdigit()]
        names.sort(key=lambda name: (int(name.partition("-")[0]), name))
        return [f"{RUNS}/{name}" for name in names if self.run(f"{RUNS}/{name}")]

    def run(self, folder: str) -> dict[str, Any]:
        """The record of a run. {} if it is missing or damaged ('engine check' reports the damage)."""
        try:
            record = read_sealed(self.storage, f"{folder}/{RUN}")
        except (FileNotFoundError, DamageError):
            return {}
        return record if isinstance(record.get("nodes"), list) else {}


_MANIFEST = {"nodes": {"name", "key"}, "files": {"name", "sha256"}}  # the fields of a manifest that are read here


def _lists(manifest: dict[str, Any], name: str, fields: set[str]) -> bool:
    items = manifest.get(name)
    return isinstance(items, list) and all(isinstance(item, dict) and fields <= set(item) for item in items)


def read_header(storage: Storage) -> dict[str, Any]:
    """The content of dataset.json.

    Raises ConfigError if the file is missing, or if its schema version is later than that of this engine.
    """
    try:
        header = read_sealed(storage, HEADER, _HEADER)
    except FileNotFoundError:
        raise ConfigError(
            f"'{storage.url}' is no data set, it has no {HEADER}: give the folder that a recipe's 'dataset' "
            "names, or make one with 'engine run'."
        ) from None
    check_version(storage.url, header)
    if not isinstance(header.get("shard_size"), int) or not isinstance(header.get("audit", {}), dict):
        raise DamageError(f"'{storage.url}/{HEADER}' lacks the shard size: {_HEADER}")
    return header


def read_current(storage: Storage) -> dict[str, Any]:
    """The content of current.json.

    Raises FileNotFoundError before the first run, and DamageError if the file was changed.
    """
    return read_sealed(storage, CURRENT, _REWRITE)
