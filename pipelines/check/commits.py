"""What `engine check` finds of commits: every record is read, every file held to its sha256, every input of a unit
compared with what is committed now.

What can go wrong: files that a run is writing just now look orphaned, so check a data set that nobody writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DamageError
from engine.layout import IMAGES, INPUTS, LABELS, PLACED, PROBE, SPLITS, TRUTH
from engine.storage.commits import Commits, File, Record, record_name, shard_of_data, shard_of_record
from engine.storage.files import Storage
from pipelines.ingest.assign_shards import NOT_OVER, commit_folders

KINDS = ("damaged", "missing", "swapped", "orphaned", "stale")
RECORDED = (IMAGES, INPUTS, SPLITS)  # their shards are numbered in the order they came
_THREADS = 4
Place = tuple[str, int, int]  # folder, shard, revision


@dataclass(slots=True)
class Finding:
    """Something that is not as it was written. `place`: the commit that it is part of, if it is part of one."""

    kind: str
    path: str
    told: str
    place: Place | None = None
    repair: str = ""  # what was done about it, or what a person is to do
    repaired: bool = False


@dataclass(slots=True)
class Walk:
    """What was found: records by place, files by path with the first record that names each, and what is wrong."""

    storage: Storage
    records: dict[Place, Record] = field(default_factory=dict)
    files: dict[str, tuple[File, Place]] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)  # folder: names
    sizes: dict[str, int] = field(default_factory=dict)  # folder: bytes that were read
    findings: list[Finding] = field(default_factory=list)

    def found(self, kind: str, path: str, told: str, place: Place | None = None) -> None:
        self.findings.append(Finding(kind, path, told, place))

    def wrong(self) -> set[tuple[str, int]]:
        """(folder, shard) of which something is wrong already."""
        return {finding.place[:2] for finding in self.findings if finding.place}

    @property
    def sound(self) -> bool:
        return all(finding.repaired for finding in self.findings)


Watch = Callable[[int, int, int], None]  # files done, of, bytes


def walk(storage: Storage, watch: Watch | None = None) -> Walk:
    """Reads everything that commit records name, and compares it with them."""
    found = Walk(storage)
    for folder in commit_folders(storage):
        _read_records(found, folder)
    _read_files(found, watch)
    _find_lost_records(found)
    _find_gone(found)
    _find_stale(found)
    _find_orphans(found)
    return found


# --- records -----------------------------------------------------------------------------------


def _read_records(found: Walk, folder: str) -> None:
    commits = Commits(found.storage, folder)
    try:
        names = found.storage.all_names(folder)
    except DamageError as error:
        found.found("damaged", folder, str(error))
        return
    found.listed[folder] = names
    for shard, revision in filter(None, map(shard_of_record, names)):
        place = (folder, shard, revision)
        try:
            record = commits.record(shard, revision)
        except DamageError as error:
            kind = "swapped" if "the record of" in str(error) else "damaged"
            found.found(kind, f"{folder}/{record_name(shard, revision)}", _reason(error), place)
            continue
        found.records[place] = record
        for file in record.files.values():
            found.files.setdefault(file.path, (file, place))


def _reason(error: DamageError) -> str:
    """What is wrong, without the name before and the advice behind."""
    told = str(error).partition("' ")[2].rpartition(": ")[0]
    return told or str(error)


# --- files -------------------------------------------------------------------------------------


def _read_files(found: Walk, watch: Watch | None) -> None:
    """Hold every file to its size and sha256. Files of releases are held to their manifests elsewhere."""
    todo = [(path, *named) for path, named in found.files.items() if not path.startswith("releases/")]
    by_digest = {file.sha256: path for path, file, _ in todo}
    size = 0
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = threads.map(lambda one: _digest(found.storage, one[0]), todo)
        for number, ((path, file, place), digest) in enumerate(zip(todo, digests, strict=True)):
            if digest == file.sha256:
                size += file.size
                folder = path.rpartition("/")[0]
                found.sizes[folder] = found.sizes.get(folder, 0) + file.size
                _check_rows(found, path, file, place)
            else:
                found.found(*_other_content(path, digest, by_digest), place)
            if watch:
                watch(number + 1, len(todo), size)


def _digest(storage: Storage, path: str) -> str:
    """'' where there is no file."""
    try:
        return storage.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except IsADirectoryError:
        return "folder"


def _other_content(path: str, digest: str, by_digest: Mapping[str, str]) -> tuple[str, str, str]:
    if not digest:
        return "missing", path, "a record names it"
    if digest == "folder":
        return "damaged", path, "is a folder, expected a file"
    if digest in by_digest:
        return "swapped", path, f"holds what '{by_digest[digest]}' held"
    return "damaged", path, "does not have the sha256 of its record"


def _check_rows(found: Walk, path: str, file: File, place: Place) -> None:
    """The record's own number, of records from before they had a digest."""
    if path.endswith(".tar"):
        return
    try:
        with found.storage.open(path) as data:
            rows = pq.ParquetFile(data).metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        found.found("damaged", path, f"is no Parquet file: {error}", place)
        return
    if rows != file.rows:
        name = f"{place[0]}/{record_name(*place[1:])}"
        found.found("damaged", name, f"names {file.rows} rows of '{path}', which has {rows}", place)


# --- what belongs together ---------------------------------------------------------------------


def _find_lost_records(found: Walk) -> None:
    """Records of images, inputs and splits that are gone though others were made from their files."""
    wanted = {path for record in found.records.values() for path in record.inputs}
    for folder in RECORDED:
        for name in found.listed.get(folder, ()):
            place = shard_of_data(name)
            lost = place and f"{folder}/{name}" in wanted and record_name(*place) not in found.listed[folder]
            if place and lost:
                found.found("missing", f"{folder}/{record_name(*place)}", "its files are there", (folder, *place))


def _find_gone(found: Walk) -> None:
    """Shards of images, inputs and splits that are gone: holes, and last ones that others have answers of."""
    known = found.wrong()
    extent: dict[str, int] = defaultdict(int)
    for folder, names in found.listed.items():
        top = folder.split("/")[0]
        base = INPUTS if top in (PROBE, PLACED) else folder if top in (INPUTS, SPLITS) else IMAGES
        if top in NOT_OVER and base == IMAGES:
            continue
        shards = [place[0] for place in map(shard_of_record, names) if place]
        extent[base] = max(extent[base], max(shards, default=-1) + 1)
    for base, size in extent.items():
        there = {place[0] for place in map(shard_of_record, found.listed.get(base, ())) if place}
        for shard in sorted(set(range(size)) - there):
            if (base, shard) in known:
                continue
            found.found(
                "missing", f"{base}/{record_name(shard, 0)}", "other folders hold its answers", (base, shard, 0)
            )


def _find_stale(found: Walk) -> None:
    """Commits that were made from other content than is committed now."""
    wrong = found.wrong()
    for place, record in found.records.items():
        name = f"{place[0]}/{record_name(*place[1:])}"
        for path, sha256 in record.inputs.items():
            named = found.files.get(path)
            if named is not None and named[0].sha256 == sha256:
                continue
            folder, _, file = path.rpartition("/")
            shard = (shard_of_data(file) or (-1, 0))[0]
            base = IMAGES if folder in (LABELS, TRUTH) else folder
            if (base, shard) in wrong:
                continue  # told there, and put right with it
            what = "which holds other content now" if named else "which no record names any more"
            found.found("stale", name, f"was made from '{path}', {what}", place)
            break


def _find_orphans(found: Walk) -> None:
    unread = {finding.place for finding in found.findings if finding.place and finding.place not in found.records}
    for folder, names in found.listed.items():
        owner = IMAGES if folder in (LABELS, TRUTH) else folder
        for name in names:
            path, place = f"{folder}/{name}", shard_of_data(name)
            if name.startswith(".tmp-"):
                if not found.storage.is_alive(name):
                    found.found("orphaned", path, "a temporary file of a process that is gone")
            elif place and path not in found.files and (owner, *place) not in unread:
                found.found("orphaned", path, "no record names it")
