"""Checks files when they are read: JSON by a digest inside it, data files by the digest in their name.

If a file does not match, a DamageError names it and advises what to do. Files that were written before digests existed
are not checked. The digest of JSON is that of its values, so it still matches if only the layout changes.
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
# The names of data files: shard, revision, digest.
_NAMED = re.compile(r"\d{5,}(?:-r\d+)?-([0-9a-f]{8})\.\w+")
_verified: set[tuple[str, int, int]] = set()  # (path, size, mtime in ns) of files that this process has hashed


def seal(fields: Mapping[str, Any], indent: int | None = 1) -> bytes:
    """The fields as JSON, with their digest added."""
    # JSON turns keys into strings, so the digest is that of the fields as they are read back.
    return json.dumps({**fields, DIGEST: _digest(json.loads(json.dumps(fields)))}, indent=indent).encode()


def _digest(stored: Mapping[str, Any], besides: str = DIGEST) -> str:
    """The digest of fields that were read from JSON. `besides`: a field that is left out."""
    rest = {name: value for name, value in stored.items() if name != besides}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def unseal(data: bytes) -> dict[str, Any]:
    """The fields of sealed JSON, or of JSON without a digest. Raises ValueError, with the reason, if it was changed."""
    if not data.strip():
        raise ValueError("is empty")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is no longer JSON") from None
    if not isinstance(fields, dict):
        raise ValueError(f"holds a {type(fields).__name__}, expected an object")
    digest = fields.pop(DIGEST, None)
    # If the name of the digest itself was damaged, the digest is under another name.
    renamed = digest is None and any(v == _digest(fields, name) for name, v in fields.items() if _is_digest(v))
    if renamed or (digest is not None and digest != _digest(fields)):
        raise ValueError("was changed since it was written: its digest does not match")
    return fields


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _LENGTH


def read_sealed(storage: Storage, name: str, advice: str = "") -> dict[str, Any]:
    """The fields of a sealed file.

    `advice`: the end of the error message; by default it depends on the folder. Raises FileNotFoundError if there is no
    file, and DamageError if it was changed.
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
    """What a user can do about a damaged or missing file, as the end of an error message."""
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
    """The bytes of a data file, checked against `sha256` or, by default, the digest in its name.

    Raises FileNotFoundError if there is no file, and DamageError if it was changed.
    """
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
    """The digest in the name of a data file. '' if there is none."""
    match = _NAMED.fullmatch(path.rpartition("/")[2])
    return match[1] if match else ""


def check_digests(storage: Storage, files: Iterable[tuple[str, str]], at_most: int) -> int:
    """Check files before they are read by a library that does not check them, such as DuckDB.

    `files`: (path, digest); a digest of '' stands for that in the file's name. Each file is checked once in a process.
    At most `at_most` bytes are read in all; returns the number of bytes that were not. Files on object stores are not
    checked, because stores have their own checksums. Raises DamageError for the first damaged file.
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
        for start in range(0, len(todo), 1000):  # each file that waits for its turn takes memory
            for _ in threads.map(lambda one: _verify_one(storage, *one), todo[start : start + 1000]):
                pass
    return left


def _mark(storage: Storage, path: str) -> tuple[str, int, int]:
    size, changed = storage.stat(path)
    return storage.path(path), size, changed


def _verify_one(storage: Storage, path: str, digest: str, mark: tuple[str, int, int]) -> None:
    if not storage.sha256(path).startswith(digest):
        raise damaged(storage, path)
    _verified.add(mark)
