"""A folder as a source: every file below it, on any file system that fsspec supports.

A subfolder that cannot be listed becomes an input with a reason, and so does a name that is not UTF-8. All other files
are listed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.errors import ConfigError
from engine.storage.files import storage_errors
from engine.storage.open_uri import why_unreadable
from pipelines.ingest.sources.file_uris import utf8_uri
from pipelines.ingest.sources.fingerprints import local_fingerprint, remote_fingerprint
from pipelines.ingest.sources.globs import Globs
from pipelines.ingest.sources.source import LICENCE, PATH, Entry
from pipelines.ingest.sources.source_path import resolve_source, source_errors

_ABSENT = (FileNotFoundError, NotADirectoryError)


@dataclass(slots=True)
class Item:
    """A file or folder that is in a folder."""

    name: str
    path: str  # in its file system, without a protocol
    is_folder: bool = False
    is_link: bool = False
    fingerprint: str | None = None  # None for a folder, pipe, socket or device
    error: str = ""  # why it cannot be read, if that is known when it is listed


@dataclass(slots=True)
class Level:
    """A folder that the walk is in. The walk keeps a stack of these levels, from the root down."""

    items: Iterator[Item]
    below: str  # path relative to the root, with a slash at its end; '' for the root
    real: str  # path with symbolic links resolved
    included: bool  # whether `include` matches the folder itself, and so everything in it


class Folder:
    """Lists every file below a folder, folder by folder, sorted by name.

    Hidden files and folders (with a leading dot), pipes, sockets and devices are left out. Links are followed, but not
    in circles. A broken link is listed, so that the probe reports it as missing.

    `include` and `exclude` are globs for the path relative to the folder, in which `*` also matches slashes. A glob
    without a slash also matches names at any depth. A glob that matches a folder applies to everything in it. An
    excluded folder is not opened.
    """

    OPTIONS: ClassVar = {
        "path": PATH,
        "licence": LICENCE,
        "include": "globs over the path below the folder; only files that match are listed",
        "exclude": "globs over the path below the folder; files that match are not listed",
    }
    LISTS: ClassVar = {"include": "globs such as ['*.jpg']", "exclude": "globs such as ['*.jpg']"}

    def __init__(
        self, path: str, licence: str = "", include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
    ) -> None:
        self.name, self._fs = resolve_source(path)
        self.licence, self.include, self.exclude = licence, include, exclude
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        self._included, self._excluded = Globs(self.include), Globs(self.exclude)
        self._all = tuple(self.include) == ("*",) and not self.exclude
        yield from self._walk()
        for option, globs in (("include", self._included), ("exclude", self._excluded)):
            self.notes += [f"{option}: '{glob}' matches nothing in '{self.name}'." for glob in globs.unmatched]

    def _walk(self) -> Iterator[Entry]:
        """Yields the entries. It uses a stack, because folders may be nested deeper than Python's recursion limit."""
        root, list_items = self._root()
        levels = [Level(list_items(root), "", os.path.realpath(root) if self._fs is None else root, included=False)]
        above = {levels[0].real}
        while levels:
            level = levels[-1]
            item = next(level.items, None)
            if item is None:
                above.discard(levels.pop().real)
            elif not self._wanted(item, level):
                continue
            elif not item.is_folder:
                yield self._entry(item)
            elif (real := os.path.realpath(item.path) if item.is_link else f"{level.real}/{item.name}") not in above:
                try:
                    with storage_errors(item.path):
                        items = list_items(item.path)
                except Exception as error:  # noqa: BLE001  # _unlisted raises what concerns more than this folder
                    yield self._unlisted(item, error)
                    continue
                below = f"{level.below}{item.name}"
                included = level.included or self._included.match(below, item.name, is_folder=True)
                levels.append(Level(items, f"{below}/", real, included))
                above.add(real)

    def _root(self) -> tuple[str, Callable[[str], Iterator[Item]]]:
        """The root, and a function that lists a folder. Raises ConfigError if the root cannot be listed."""
        if self._fs is None:
            _check_folder(self.name, exists=os.path.exists(self.name), is_folder=os.path.isdir(self.name))
            with source_errors(self.name):
                os.scandir(self.name).close()
            return self.name, _local_items
        fs, root = self._fs, str(self._fs._strip_protocol(self.name)).rstrip("/")
        with source_errors(self.name):
            try:
                listed = fs.ls(root, detail=True)
            except _ABSENT:
                listed = None
        files = [info for info in listed or () if info["type"] != "directory"]
        is_file = len(files) == 1 and len(listed) == 1 and str(files[0]["name"]) == root
        _check_folder(self.name, exists=listed is not None, is_folder=not is_file)
        return root, lambda folder: _remote_items(fs, folder)

    def _wanted(self, item: Item, level: Level) -> bool:
        """Whether to list the item; if not, counts the reason.

        Tries every glob, to find out which globs match nothing.
        """
        if self._all and not item.name.startswith(".") and (item.is_folder or item.fingerprint is not None):
            return True
        path = f"{level.below}{item.name}"
        excluded = self._excluded.match(path, item.name, is_folder=item.is_folder)
        included = item.is_folder or self._included.match(path, item.name, is_folder=False) or level.included
        if item.name.startswith("."):
            self.left_out["a hidden file or folder"] += 1
        elif excluded:
            self.left_out["a file or folder that exclude matches"] += 1
        elif not included:
            self.left_out["a file that include does not match"] += 1
        elif not item.is_folder and item.fingerprint is None:
            self.left_out["a pipe, socket or device"] += 1
        else:
            return True
        return False

    def _entry(self, item: Item) -> Entry:
        uri = self._uri(item)
        if uri.isascii() and not item.error:
            return Entry(uri, item.fingerprint or "", self.licence)
        file = utf8_uri(uri)
        reason, error = ("unreadable", item.error) if item.error else (file.reason, file.error)
        return Entry(file.uri, item.fingerprint or "", self.licence, reason=reason, error=error)

    def _unlisted(self, folder: Item, error: Exception) -> Entry:
        uri = utf8_uri(self._uri(folder)).uri
        if isinstance(error, _ABSENT):
            return Entry(
                uri, licence=self.licence, reason="missing", error="the folder was removed while it was listed"
            )
        if not (why := why_unreadable(error)):
            raise error
        return Entry(uri, licence=self.licence, reason="unreadable", error=f"the folder cannot be listed: {why}")

    def _uri(self, item: Item) -> str:
        return item.path if self._fs is None else str(self._fs.unstrip_protocol(item.path))


def _check_folder(name: str, *, exists: bool, is_folder: bool) -> None:
    if not exists:
        raise ConfigError(f"No folder '{name}': check the path of the source.")
    if not is_folder:
        raise ConfigError(f"'{name}' is a file: give the folder that holds it.")


def _local_items(folder: str) -> Iterator[Item]:
    with os.scandir(folder) as found:
        items = sorted(found, key=lambda item: item.name)
    return map(_local_item, items)


def _local_item(item: os.DirEntry[str]) -> Item:
    try:
        is_folder = item.is_dir()
    except OSError:  # raised for a link that leads in circles
        is_folder = False
    if is_folder:
        return Item(item.name, item.path, True, item.is_symlink())
    return Item(item.name, item.path, fingerprint=local_fingerprint(item))


def _remote_items(fs: Any, folder: str) -> Iterator[Item]:
    folder = folder.rstrip("/")
    listed = sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"]))
    return (item for info in listed for item in _remote_item(fs, folder, info))


def _remote_item(fs: Any, folder: str, info: Mapping[str, Any]) -> Iterator[Item]:
    path, is_folder = str(info["name"]), info["type"] == "directory"
    if path.rstrip("/") != folder:
        path = path.rstrip("/") if is_folder else path
        yield _remote_file(path, folder, info) if not is_folder else Item(path.rsplit("/", 1)[-1], path, True)
    elif is_folder and path != folder:  # for keys such as dir//a.jpg, which a listing of the folder does not show
        found = fs.find(folder, detail=True)
        for key in sorted(name for name in found if name.startswith(f"{folder}//")):
            yield _remote_file(key, folder, found[key])
    elif info.get("size"):  # some stores represent a folder by an empty object
        yield _remote_file(f"{folder}/", folder, info)


def _remote_file(path: str, folder: str, info: Mapping[str, Any]) -> Item:
    error = "its key ends in '/', but the name of a file cannot: rename it" if path.endswith("/") else ""
    return Item(path.removeprefix(f"{folder}/") or "/", path, fingerprint=remote_fingerprint(info), error=error)
