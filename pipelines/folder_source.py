"""A folder as a source: every file below it, on any file system fsspec knows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from engine.errors import ConfigError, StorageError
from pipelines.names import local_fingerprint, normalised, remote_fingerprint, sayable
from pipelines.sources import Entry


class Folder:
    """Every file below a folder of any file system fsspec knows, folder by folder, names sorted.

    Left out: hidden files and folders (leading dot), and what is no file (pipes, sockets). Links are followed,
    except round in circles. A broken link is an entry, so that ingest can say it is missing. `include` and
    `exclude` are globs over the path below the folder; what they leave out is no input.
    """

    def __init__(
        self, path: str, licence: str = "", include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
    ) -> None:
        self.name, self._fs = normalised(path)
        self.licence, self.include, self.exclude = licence, include, exclude
        self._all = list(include) == ["*"] and not exclude
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def _wanted(self, uri: str) -> bool:
        path = uri.removeprefix(self.name).lstrip("/")
        included, excluded = (any(fnmatchcase(path, glob) for glob in globs) for globs in (self.include, self.exclude))
        return included and not excluded

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        if self._fs is None:
            _check_folder(self.name, exists=os.path.exists(self.name), is_folder=os.path.isdir(self.name))
            found = _walk_local(self.name, (os.path.realpath(self.name),))
        else:
            root = self._fs._strip_protocol(self.name)
            _check_folder(self.name, exists=self._fs.exists(root), is_folder=self._fs.isdir(root))
            found = _walk_remote(self._fs, root)
        for uri, fingerprint in found:
            if self._all or self._wanted(uri):
                yield Entry(sayable(uri), fingerprint, self.licence)


def _check_folder(name: str, *, exists: bool, is_folder: bool) -> None:
    if not exists:
        raise ConfigError(f"No folder '{name}': check the path of the source.")
    if not is_folder:
        raise ConfigError(f"'{name}' is a file: give the folder it lies in.")


def _walk_local(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(folder) as found:
            items = sorted((item for item in found if not item.name.startswith(".")), key=lambda item: item.name)
    except PermissionError as error:
        raise StorageError(f"No permission to list the folder '{folder}'.") from error
    for item in items:
        if _is_folder(item):
            real = os.path.realpath(item.path) if item.is_symlink() else item.path
            if real not in above:
                yield from _walk_local(item.path, (*above, real))
            continue
        fingerprint = local_fingerprint(item)
        if fingerprint is not None:
            yield item.path, fingerprint


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # links that lead round in circles
        return False


def _walk_remote(fs: Any, folder: str) -> Iterator[tuple[str, str]]:
    folder = folder.rstrip("/")
    try:
        listed = sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"]))
    except PermissionError as error:
        raise StorageError(f"No permission to list the folder '{folder}'.") from error
    for info in listed:
        path = str(info["name"]).rstrip("/")
        name = path.rsplit("/", 1)[-1]
        if path == folder or name.startswith("."):  # some stores list the folder itself, as an empty object
            continue
        if info["type"] == "directory":
            yield from _walk_remote(fs, path)
        elif not str(info["name"]).endswith("/"):
            yield str(fs.unstrip_protocol(path)), remote_fingerprint(info)
