"""Fingerprints of files.

A fingerprint changes when its file does, and is made from listings, without reading the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.storage.files import storage_errors
from engine.storage.open_uri import is_of_the_store, why_unreadable
from engine.storage.uris import split_uri
from engine.storage.urls import scheme_of
from engine.storage.web import is_web
from pipelines.ingest.sources.source_path import resolve_source


class Fingerprints:
    """The fingerprints of single files. A remote folder is listed once, which saves a request for each of its files."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, str]] = {}

    def of(self, uri: str) -> str:
        """The fingerprint of a file. '' if the file does not exist, or if its store states no size or version."""
        _, _, uri = split_uri(uri)
        if not scheme_of(uri):
            return local_fingerprint(Path(uri)) or ""
        if is_web(uri):
            return ""  # because a request would cost as much as reading the file
        folder = uri.rsplit("/", 1)[0] if uri.count("/") > 2 else uri  # scheme://name has none
        if folder not in self._listed:
            self._listed[folder] = dict(_files_of(folder))
        return self._listed[folder].get(uri, "")


def _files_of(folder: str) -> list[tuple[str, str]]:
    """(URI, fingerprint) of each file in a remote folder.

    Empty if it cannot be listed, which reading a file will report.
    """
    try:
        _, fs = resolve_source(folder)
        listed = fs.ls(fs._strip_protocol(folder), detail=True) if fs is not None else []
    except Exception as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError, ConfigError)) or why_unreadable(error):
            return []
        if is_of_the_store(error, folder):
            with storage_errors(folder):
                raise
        return []
    files = (info for info in listed if info["type"] != "directory")
    return [(str(fs.unstrip_protocol(str(info["name"]))), remote_fingerprint(info)) for info in files]


def local_fingerprint(item: os.DirEntry[str] | Path) -> str | None:
    """A file's size and time. None for a folder, pipe or device; '' if the file does not exist."""
    try:
        status = item.stat()
    except (OSError, ValueError):  # a name that file systems refuse raises ValueError
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def remote_fingerprint(info: Mapping[str, Any]) -> str:
    """A file's size and version, from fsspec's `info`. '' if the store does not state both."""
    version = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if info.get(key)), ""
    )
    version = version.isoformat() if hasattr(version, "isoformat") else version
    return f"{info['size']}-{version}".replace('"', "") if version and info.get("size") is not None else ""
