"""How people name files, made into one URI or path for each; and what tells that a file changed.

Lists come from many tools: `file://` URIs, Windows' backslashes, quotes, percent signs, names below the list's folder.
A local name is taken as it is written where such a file is there, and only else in another spelling.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.errors import ConfigError, StorageError
from engine.extras import how_to_install
from engine.keys import stable_hash
from engine.storage.files import storage_errors
from engine.storage.open_uri import is_of_the_store, one_line, shortened, why_unreadable
from engine.storage.uris import split_uri
from engine.storage.urls import file_system, scheme_of
from engine.storage.web import is_web

MAX_NAME = 8192  # characters; no file system takes more, and few hosts do
NOT_UTF8 = "name_not_utf8"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input lies, or why nothing can lie there: then `reason` and `error` are those of a quarantined input."""

    uri: str
    reason: str = ""
    error: str = ""


def locate(name: str, folder: str) -> Place:
    """Where a file lies that a list or a table names: by a URI, by its path, or below a folder, local or remote."""
    if _DATA.match(name):
        told = "a data: URI is not read: write the image to a file, or into a column of bytes"
        return Place(_stand_in(name, folder), "unreadable", told)
    if len(name) > MAX_NAME:
        told = f"its name has {len(name)} characters, expected a path or a URL: {shortened(name, 60)}"
        return Place(_stand_in(name, folder), "unreadable", told)
    if "\0" in name:
        return Place(
            _stand_in(name.replace("\0", "\\0"), folder),
            "unreadable",
            "its name holds a NUL, which no file's name does",
        )
    return utf8_place(_uri(name, folder))


def utf8_place(uri: str) -> Place:
    """A URI that can be written down, quarantined if it cannot."""
    told = printable(uri)
    return Place(uri) if told == uri else Place(told, NOT_UTF8, "its name is not UTF-8: rename the file")


def printable(name: str) -> str:
    """A name with what is no Unicode written as \\xff."""
    return name.encode("utf-8", "surrogateescape" if _is_bytes(name) else "backslashreplace").decode(
        "utf-8", "backslashreplace"
    )


def _is_bytes(name: str) -> bool:
    """Whether its surrogates stand for bytes, as Python gives names of files; those of a JSON do not."""
    return all("\udc80" <= letter <= "\udcff" for letter in name if "\ud800" <= letter <= "\udfff")


_DATA = re.compile(r"data:[\w.+/-]*[;,]", re.IGNORECASE)
_FILE = re.compile(r"(?:file|local)://([^/]*)(/.*)?$|file:(/.*)$", re.IGNORECASE | re.DOTALL)
_ODD = re.compile(r"""^[/~"'<]|[\\%]|(^|/)\.{1,2}(/|$)|//|["'>]$""")


def _stand_in(name: str, folder: str) -> str:
    return f"{folder}/{printable(name[:100])}...{stable_hash(name)[:8]}" if len(name) > 100 else f"{folder}/{name}"


def _uri(name: str, folder: str) -> str:
    bare = _unquoted(name)
    name = bare if scheme_of(bare) or _FILE.match(bare) else name
    name = local_path(name)
    scheme = scheme_of(name)
    if scheme:
        return _tidy(name, scheme)
    return _below_url(name, folder) if scheme_of(folder) else _below_folder(name, folder)


def _tidy(url: str, scheme: str) -> str:
    """Scheme and host of the web in lower case: the same file has one name."""
    rest = url[len(scheme) + 3 :]
    if scheme in ("http", "https") and (found := re.match(r"([^/?#]*@)?([^/?#]*)", rest)):
        rest = (found[1] or "") + found[2].lower() + rest[found.end() :]
    return f"{scheme}://{rest}"


def _below_url(name: str, folder: str) -> str:
    name = _unquoted(name)
    if name.startswith("/") and os.path.lexists(name):
        return name
    name = name.replace("\\", "/").lstrip("/")
    if {".", ".."} & set(name.split("/")):
        scheme, _, root = folder.partition("://")
        return f"{scheme}://{posixpath.normpath(f'{root}/{name}')}"
    return f"{folder}/{name}"


def _below_folder(name: str, folder: str) -> str:
    """The first spelling under which a file is there; the name as it is written if there is none."""
    if _ODD.search(name):
        for spelling in _spellings(name):
            beside = f"{folder}/{spelling}"
            for path in (spelling, beside) if spelling.startswith("/") else (beside,):
                if os.path.lexists(path):
                    return _plain(path)
    return _plain(name if name.startswith("/") else f"{folder}/{name}")


def _spellings(name: str) -> Iterator[str]:
    for one in dict.fromkeys((name, _unquoted(name))):
        yield one
        if one.startswith("~"):
            yield os.path.expanduser(one)
        for other in (one.replace("\\", "/"), _decoded(one), _decoded(one.replace("\\", "/"))):
            if other != one:
                yield other


def _unquoted(name: str) -> str:
    """Without the quotes or angle brackets some tools put around a line."""
    pairs = ('""', "''", "<>")
    return name[1:-1] if len(name) > 2 and name[0] + name[-1] in pairs else name


def _decoded(name: str) -> str:
    return os.fsdecode(unquote_to_bytes(name)) if "%" in name else name


def _plain(path: str) -> str:
    """Without ./ and //, and without .. where no link is between."""
    if not {"", ".", ".."} & set(path[1:].split("/")):
        return path
    normal = "/" + os.path.normpath(path).lstrip("/")
    return normal if "/.." not in path or os.path.realpath(normal) == os.path.realpath(path) else path


def local_path(name: str) -> str:
    """The path a file: URI names, percent-decoded; any other name as it is. Relative where it names a strange host."""
    found = _FILE.match(name)
    if not found:
        return name
    host, path = found[1] or "", found[2] or found[3] or ""
    path = path if host.lower() in ("", "localhost") else host + path
    decoded = _decoded(path)
    return path if decoded != path and os.path.lexists(path) and not os.path.lexists(decoded) else decoded


# --- whole sources ------------------------------------------------------------------------------


def normalised(path: str) -> tuple[str, Any]:
    """An absolute local path and None, or a URL and its file system. ConfigError if nothing here opens it."""
    local = local_path(path)
    if not scheme_of(local):
        return os.path.abspath(Path(local).expanduser()), None
    try:
        # Listings are read once; keeping them would hold every name of a bucket in memory.
        fs, root = file_system(path, use_listings_cache=False)
    except Exception as error:
        told = one_line(error)
        if isinstance(error, ImportError) and scheme_of(path) in ("s3", "s3a"):
            told = f"S3 needs the package s3fs: {how_to_install('s3fs')}"
        raise ConfigError(f"Cannot open the source '{shortened(path)}': {told}") from error
    return str(fs.unstrip_protocol(root)).rstrip("/"), fs


@contextlib.contextmanager
def source_errors(name: str) -> Iterator[None]:
    """What is wrong with a whole source is one sentence: a ConfigError where another name or right would mend it."""
    try:
        with storage_errors(name):
            yield
    except (OSError, StorageError, ValueError) as error:
        if why := why_unreadable(error):
            raise ConfigError(f"Cannot read the source '{shortened(name)}': {why}{_advice(why)}.") from error
        raise


def _advice(why: str) -> str:
    if "credentials" in why:
        return "; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return "; ask for the right to list and read it" if "permission" in why else ""


# --- what tells that a file changed -------------------------------------------------------------


class Fingerprints:
    """Of files that are named one by one: a remote folder is listed once, not asked for each of its files."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, str]] = {}

    def of(self, uri: str) -> str:
        """'' for what is not there, or not told."""
        _, _, uri = split_uri(uri)
        if not scheme_of(uri):
            return local_fingerprint(Path(uri)) or ""
        if is_web(uri):
            return ""  # asking costs as much as reading it
        folder = uri.rsplit("/", 1)[0] if uri.count("/") > 2 else uri  # scheme://name has none
        if folder not in self._listed:
            self._listed[folder] = dict(_files_of(folder))
        return self._listed[folder].get(uri, "")


def _files_of(folder: str) -> list[tuple[str, str]]:
    """Nothing where a folder is not there or cannot be listed: what is wrong is told when a file is read."""
    try:
        _, fs = normalised(folder)
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
    """None for what is no file; '' for what is not there."""
    try:
        status = item.stat()
    except (OSError, ValueError):  # a name that no file system takes is a ValueError
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else None


def remote_fingerprint(info: Mapping[str, Any]) -> str:
    """Size and whatever the store tells of the version, as far as it is stable from one listing to the next."""
    version = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if info.get(key)), ""
    )
    version = version.isoformat() if hasattr(version, "isoformat") else version
    return f"{info['size']}-{version}".replace('"', "") if version and info.get("size") is not None else ""
