"""Checks files when they are read: JSON by a digest in it, data files by the digest in their name.

A file that does not match is a DamageError with its name and what to do. Files from before there were digests are read
unchecked. The digest of JSON is of its values, so another layout of the same values passes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.errors import DamageError
from engine.layout import ORDERED, RELEASES
from engine.storage.files import Storage

DIGEST, _LENGTH = "digest", 32
# Folders whose shards have an order that other files rely on: a shard of theirs cannot be made again on its own.
_NAMED = re.compile(r"\d{5,}(?:-r\d+)?-([0-9a-f]{8})\.\w+")
_verified: set[tuple[str, int, int]] = set()  # (path, size, mtime in ns) of files that this process has hashed


def seal(fields: Mapping[str, Any], indent: int | None = 1) -> bytes:
    """The fields as JSON, with their digest."""
    return json.dumps({**fields, DIGEST: _digest(fields)}, indent=indent).encode()


def _digest(fields: Mapping[str, Any], besides: str = DIGEST) -> str:
    """The digest of the fields as they are read back: JSON turns keys into strings."""
    stored = json.loads(json.dumps({name: value for name, value in fields.items() if name != besides}))
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def unseal(data: bytes) -> dict[str, Any]:
    """The fields of sealed JSON, or of JSON without a digest. ValueError, with the reason, if it was changed."""
    if not data.strip():
        raise ValueError("is empty")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is no longer JSON") from None
    if not isinstance(fields, dict):
        raise ValueError(f"holds a {type(fields).__name__}, expected an object")
    digest = fields.pop(DIGEST, None)
    # The flipped bit may be in the name of the digest.
    renamed = digest is None and any(v == _digest(fields, name) for name, v in fields.items() if _is_digest(v))
    if renamed or (digest is not None and digest != _digest(fields)):
        raise ValueError("was changed since it was written: its digest does not match")
    return fields


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _LENGTH


def read_sealed(storage: Storage, name: str, advice: str = "") -> dict[str, Any]:
    """The fields of a sealed file. FileNotFoundError if there is none; DamageError if it was changed.

    `advice` is the end of that error; by default it follows from the folder.
    """
    where = name if "/" in name else f"{storage.url}/{name}"
    try:
        return unseal(storage.read(name))
    except NotADirectoryError as error:
        raise FileNotFoundError(name) from error
    except IsADirectoryError:
        what = "is a folder, expected a file"
    except ValueError as error:
        what = str(error)
    raise DamageError(f"'{where}' {what}: {advice or advice_on(storage, name)}")


def advice_on(storage: Storage, name: str) -> str:
    """What to do about a damaged or missing file of a data set."""
    check = f"engine check -d {storage.url} --repair"
    top = name.split("/")[0]
    if top in ORDERED:
        return (
            f"restore it from a backup, or run '{check}'; do not remove it, or the images after it would get "
            "other numbers."
        )
    if top == RELEASES:
        return "make the release again under another name (--set emit.name=NAME)."
    return f"'{check}' removes it, and the next 'engine run' makes it again."


def checked_bytes(storage: Storage, path: str, sha256: str = "") -> bytes:
    """A data file, checked against `sha256` or the digest in its name. FileNotFoundError if there is none."""
    try:
        data = storage.read(path)
    except IsADirectoryError:
        raise DamageError(f"'{path}' is a folder, expected a file: {advice_on(storage, path)}") from None
    if not hashlib.sha256(data).hexdigest().startswith(sha256 or name_digest(path)):
        raise damaged(storage, path)
    return data


def damaged(storage: Storage, path: str, what: str = "", error: type[DamageError] = DamageError) -> DamageError:
    return error(f"'{path}' is damaged ({what or 'not the bytes committed'}): {advice_on(storage, path)}")


def name_digest(path: str) -> str:
    """The digest in the name of a data file; '' if there is none."""
    match = _NAMED.fullmatch(path.rpartition("/")[2])
    return match[1] if match else ""


def check_digests(storage: Storage, files: Iterable[tuple[str, str]], at_most: int) -> int:
    """Check files (path, digest or '' for the one in its name) before a reader that does not check, such as DuckDB.

    DamageError for the first damaged one. Reads each file once per process and at most `at_most` bytes in all; returns
    the bytes left unread. Object stores are not read: they have their own checksums.
    """
    if not storage.local:
        return 0
    left, todo = 0, []
    for path, digest in files:
        digest = digest or name_digest(path)
        try:
            mark = _mark(storage, path)
        except FileNotFoundError:
            raise DamageError(f"'{path}' is gone: {advice_on(storage, path)}") from None
        if not digest or mark in _verified:
            continue
        if (at_most := at_most - mark[1]) < 0:
            left += mark[1]
        else:
            todo.append((path, digest, mark))
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda one: _verify_one(storage, *one), todo):
            pass
    return left


def _mark(storage: Storage, path: str) -> tuple[str, int, int]:
    size, changed = storage.stat(path)
    return storage.path(path), size, changed


def _verify_one(storage: Storage, path: str, digest: str, mark: tuple[str, int, int]) -> None:
    if not storage.sha256(path).startswith(digest):
        raise damaged(storage, path)
    _verified.add(mark)
