"""How people name files, made into one URI or path for each, and what tells that a file changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.containers import split_uri
from engine.errors import ConfigError, StorageError
from engine.storage import storage_errors
from engine.web import is_web


def normalised(path: str) -> tuple[str, Any]:
    """An absolute local path and None, or a URL and its file system."""
    if urlsplit(path).scheme in ("", "file", "local") or "://" not in path:
        local = path.split("://", 1)[1] if "://" in path else path
        return os.path.abspath(Path(local).expanduser()), None
    import fsspec

    try:
        # Listings are read once; keeping them would hold every name of a bucket in memory.
        fs, root = fsspec.core.url_to_fs(path, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"Cannot open the source '{path}': {error}") from error
    return str(fs.unstrip_protocol(root)).rstrip("/"), fs


def absolute(name: str, folder: str) -> str:
    """A URI, or the path of a file, given as it is or below a folder."""
    return sayable(name if "://" in name or name.startswith("/") else f"{folder}/{name}")


class Fingerprints:
    """Of files that are named one by one: a remote folder is listed once, not asked for each of its files."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, str]] = {}

    def of(self, uri: str) -> str:
        """'' for what is not there, or not told."""
        _, _, uri = split_uri(uri)
        if "://" not in uri:
            return local_fingerprint(Path(uri)) or ""
        if is_web(uri):
            return ""  # asking costs as much as reading it
        folder = uri.rsplit("/", 1)[0] if uri.count("/") > 2 else uri  # scheme://name has none
        if folder not in self._listed:
            self._listed[folder] = dict(_files_of(folder))
        return self._listed[folder].get(uri, "")


def _files_of(folder: str) -> list[tuple[str, str]]:
    """Nothing where a folder is not there or must not be listed: what is wrong is told when a file is read."""
    try:
        _, fs = normalised(folder)
        with storage_errors(folder):
            listed = fs.ls(fs._strip_protocol(folder), detail=True)
    except (FileNotFoundError, NotADirectoryError, NotImplementedError, ConfigError):
        return []
    except StorageError as error:
        if isinstance(error.__cause__, PermissionError):
            return []
        raise
    files = (info for info in listed if info["type"] != "directory")
    return [(str(fs.unstrip_protocol(str(info["name"]))), remote_fingerprint(info)) for info in files]


def sayable(uri: str) -> str:
    try:
        uri.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"The file name {uri!r} is not UTF-8: rename the file.") from None
    return uri


def local_fingerprint(item: os.DirEntry[str] | Path) -> str | None:
    """None for what is no file; '' for what is not there."""
    try:
        status = item.stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def remote_fingerprint(info: Mapping[str, Any]) -> str:
    """Size and whatever the store tells of the version, as far as it is stable from one listing to the next."""
    version = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if info.get(key)), ""
    )
    version = version.isoformat() if hasattr(version, "isoformat") else version
    return f"{info['size']}-{version}".replace('"', "") if version and info.get("size") is not None else ""
