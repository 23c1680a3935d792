"""Finds and lists containers, which are tars and Parquet files, and opens each of them only once.

The fingerprint of an input in a container is "<version of the container>/<number>/<total>". The listed inputs alone
therefore show whether a container was listed completely, even if a listing was killed.
"""

from __future__ import annotations

import glob
import os
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from engine.errors import ConfigError
from engine.extras import require
from engine.keys import stable_hash
from engine.storage.urls import scheme_of
from engine.storage.web import is_web
from pipelines.ingest.sources.file_uris import utf8_uri
from pipelines.ingest.sources.fingerprints import Fingerprints, local_fingerprint, remote_fingerprint
from pipelines.ingest.sources.folder import Folder
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.sources.source_path import resolve_source, source_errors

AHEAD = 4  # how many remote containers are opened before their turn

UNOPENED = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)

Found = tuple[str, str]  # a container's URI and fingerprint


def find_containers(
    source: Reader, path: str, endings: Sequence[str], refused: Sequence[str] = ()
) -> tuple[list[Found], list[Entry]]:
    """The containers that a path, a folder, a glob or a range in braces names, in order of their names.

    The second list has an entry for each subfolder that cannot be listed. Other files of a folder are counted in
    `source.left_out`. Raises ConfigError if there is no container.
    """
    name, fs = resolve_source(path)
    parts, versions = _expanded(name), Fingerprints()
    found: list[Found] = []
    lost: list[Entry] = []
    with source_errors(name):
        for part in parts:
            if any(mark in part for mark in "*?[") and not (fs is None and os.path.exists(part)):
                found += _only(_globbed(part, fs), endings, refused)
            elif len(parts) == 1 and _is_folder(part, fs):
                inside = list(Folder(part, source.licence).entries())
                lost = [entry for entry in inside if entry.reason]
                files = [(entry.uri, entry.fingerprint) for entry in inside if not entry.reason]
                found += _only(files, endings, refused)
                source.left_out[f"a file that does not end in {' or '.join(endings)}"] += len(files) - len(found)
            else:  # kept even if the file does not exist, because opening it reports that
                found += _only([(part, _of_web(part, fs) if is_web(part) else versions.of(part))], ("",), refused)
    source.left_out += Counter()  # without zeros
    if not lost and not any(version or is_web(uri) for uri, version in found):
        raise ConfigError(f"No file '{name}' that ends in {' or '.join(endings)}: check the path of the source.")
    return found, lost


def _expanded(name: str) -> list[str]:
    """The names that {00000..00012} or {a,b} stand for. If a file has exactly this name, only the name itself."""
    if "{" not in name or (not scheme_of(name) and os.path.exists(name)):
        return [name]
    require(f"'{name}' with its braces", ["braceexpand"])
    from braceexpand import braceexpand

    try:
        return list(braceexpand(name))
    except ValueError:  # then the braces do not match and are part of the name
        return [name]


def _is_folder(name: str, fs: Any) -> bool:
    return os.path.isdir(name) if fs is None else not is_web(name) and bool(fs.isdir(name))


def _globbed(pattern: str, fs: Any) -> list[Found]:
    if fs is None:
        return [(uri, local_fingerprint(Path(uri)) or "") for uri in sorted(glob.glob(pattern, recursive=True))]
    listed = fs.glob(pattern, detail=True)
    return [(str(fs.unstrip_protocol(path)), remote_fingerprint(info)) for path, info in sorted(listed.items())]


def _of_web(uri: str, fs: Any) -> str:
    try:
        return remote_fingerprint(fs.info(uri))
    except Exception:  # noqa: BLE001  opening the container reports the error
        return ""


def _only(found: Sequence[Found], endings: Sequence[str], refused: Sequence[str]) -> list[Found]:
    for uri, _ in found:
        if uri.lower().endswith(tuple(refused)):
            raise ConfigError(f"'{uri}' is compressed, so no image in it can be read by its offset: unpack it.")
    return [(uri, version) for uri, version in found if uri.lower().endswith(tuple(endings))]


# --- opening them -------------------------------------------------------------------------------


class Reader(Protocol):
    """A source that consists of containers. `list_containers` fills `found` and `opened`."""

    licence: str
    left_out: Counter[str]
    notes: list[str]
    found: list[str]  # the versions of all its containers
    opened: dict[str, Reader]  # {version: reader} for each container that was opened

    def alone(self) -> Reader:
        """A copy for one container, with counts and notes of its own."""

    def read(self, uri: str) -> tuple[int, Iterable[Entry]]:
        """The number of entries in a container, and the entries. 0 means that the next listing must open it again."""


def list_containers(source: Reader, found: Iterable[Found], options: Any, whole: Collection[str]) -> Iterator[Entry]:
    """Yields, in order, the entries of every container whose version is not in `whole`.

    `options`: the options of the source that change its entries; they are part of the version. Each container gets a
    reader of its own in `source.opened`, so that there are counts for each. `source.left_out` has the sums.
    """
    new = [(uri, f"{stable_hash([uri, options])[:12]}-{version}") for uri, version in found]
    source.found = [version for _, version in new]
    for version, reader, total, entries in _opened(source, [(uri, v) for uri, v in new if v not in whole]):
        source.opened[version] = reader
        for number, entry in enumerate(entries, 1):
            entry.fingerprint = f"{version}/{number}/{total}"
            yield entry
        source.left_out.update(reader.left_out)
        source.notes += reader.notes


def _read(reader: Reader, uri: str) -> tuple[int, Iterable[Entry]]:
    file = utf8_uri(uri)
    if file.reason:
        return 1, [Entry(file.uri, licence=reader.licence, reason=file.reason, error=file.error)]
    return reader.read(uri)


def _opened(source: Reader, todo: Sequence[Found]) -> Iterator[tuple[str, Reader, int, Iterable[Entry]]]:
    """Yields (version, reader, number of entries, entries) of each container, in order.

    Remote containers are opened before their turn, in threads. Local ones are not: threads would only compete for the
    GIL.
    """
    if not any(scheme_of(uri) for uri, _ in todo):
        for uri, version in todo:
            reader = source.alone()
            yield version, reader, *_read(reader, uri)
        return
    rest = iter(todo)
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="list") as threads:
        opened: deque[tuple[str, Reader, Future[tuple[int, Iterable[Entry]]]]] = deque()
        try:
            while True:
                for uri, version in islice(rest, AHEAD - len(opened)):
                    reader = source.alone()
                    opened.append((version, reader, threads.submit(_read, reader, uri)))
                if not opened:
                    return
                version, reader, future = opened.popleft()
                yield version, reader, *future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
