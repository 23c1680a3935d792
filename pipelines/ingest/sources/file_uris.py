"""Converts the file names in lists and tables to one URI or absolute path for each file.

Tools write names in many ways: `file://` URIs, backslashes of Windows, quotes, percent-encoding, paths relative to the
list. A local name is first tried exactly as written. Other spellings are tried only if no such file exists.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from engine.keys import stable_hash
from engine.storage.open_uri import shortened
from engine.storage.urls import scheme_of

MAX_NAME = 8192  # characters; file systems and most hosts take no longer names
NOT_UTF8 = "name_not_utf8"


@dataclass(frozen=True, slots=True)
class FileUri:
    """The URI of an input. If no file can have the name, `reason` and `error` are set, and the input is quarantined."""

    uri: str
    reason: str = ""
    error: str = ""


def resolve_file(name: str, folder: str) -> FileUri:
    """The file that a list or table names by a URI, an absolute path, or a path relative to `folder`."""
    if _DATA.match(name):
        error = "a data: URI is not read: write the image to a file, or into a column of bytes"
        return FileUri(_stand_in(name, folder), "unreadable", error)
    if len(name) > MAX_NAME:
        error = f"its name has {len(name)} characters, expected a path or a URL: {shortened(name, 60)}"
        return FileUri(_stand_in(name, folder), "unreadable", error)
    if "\0" in name:
        error = "its name holds a NUL, which no file's name does"
        return FileUri(_stand_in(name.replace("\0", "\\0"), folder), "unreadable", error)
    return utf8_uri(_uri(name, folder))


def utf8_uri(uri: str) -> FileUri:
    """The URI. If it is not UTF-8, a printable form of it, with the reason for its quarantine."""
    shown = uri if uri.isascii() else printable(uri)
    return FileUri(uri) if shown == uri else FileUri(shown, NOT_UTF8, "its name is not UTF-8: rename the file")


def printable(name: str) -> str:
    """The name, with everything that is not Unicode written as \\xff."""
    return name.encode("utf-8", "surrogateescape" if _is_bytes(name) else "backslashreplace").decode(
        "utf-8", "backslashreplace"
    )


def plain_path(name: str) -> str:
    """The path with '/' between folders and without '.' and '..', as far as these can be resolved."""
    return posixpath.normpath(name.replace("\\", "/")) if name else ""


def local_path(name: str) -> str:
    """The percent-decoded path of a file URI. It is relative if the URI names another host.

    Other names are unchanged.
    """
    found = _FILE.match(name)
    if not found:
        return name
    host, path = found[1] or "", found[2] or found[3] or ""
    path = path if host.lower() in ("", "localhost") else host + path
    decoded = _decoded(path)
    return path if decoded != path and os.path.lexists(path) and not os.path.lexists(decoded) else decoded


def _is_bytes(name: str) -> bool:
    """Whether all surrogates stand for bytes, as in Python's file names. Surrogates from JSON may not be bytes."""
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
    """The URL with scheme and host in lower case, so that one file has one name."""
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
    """The first spelling of the name for which a file exists. If there is none, the name as written."""
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
    """The name without quotes or angle brackets around it, which some tools write."""
    pairs = ('""', "''", "<>")
    return name[1:-1] if len(name) > 2 and name[0] + name[-1] in pairs else name


def _decoded(name: str) -> str:
    return os.fsdecode(unquote_to_bytes(name)) if "%" in name else name


def _plain(path: str) -> str:
    """The path without ./ and //. A .. is also resolved, except after a symbolic link."""
    if not {"", ".", ".."} & set(path[1:].split("/")):
        return path
    normal = "/" + os.path.normpath(path).lstrip("/")
    return normal if "/.." not in path or os.path.realpath(normal) == os.path.realpath(path) else path
