"""Checks the commits of a data set.

Every record is read, and every file is compared with the sha256 in its record. A commit is stale if the files that it
was made from have changed since. Do not check a data set while a run writes to it: files that are not committed yet
look orphaned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DamageError, SwappedRecord
from engine.layout import EMIT, IMAGES, INPUTS, LABELS, PLACED, PROBE, RELEASES, SPLITS, TRUTH
from engine.storage.commits import Commits, File, Record, record_name, shard_of_data, shard_of_record
from engine.storage.files import Storage
from pipelines.ingest.committed_folders import OTHER_NUMBERS, committed_folders

KINDS = ("damaged", "missing", "swapped", "orphaned", "stale")
RECORDED = (IMAGES, INPUTS, SPLITS)  # folders whose shards are numbered in the order of their commits
_THREADS = 4


class CommitId(NamedTuple):
    folder: str
    shard: int
    revision: int

    @property
    def record(self) -> str:
        """The path of the commit's record."""
        return f"{self.folder}/{record_name(self.shard, self.revision)}"


@dataclass(slots=True)
class Finding:
    """A problem with one file, and the commit to which the file belongs, if there is one."""

    kind: str
    path: str
    problem: str
    commit: CommitId | None = None
    repair: str = ""  # what was done about it, or what the user should do
    repaired: bool = False


@dataclass(slots=True)
class Report:
    """All commits and files that were read, and the findings.

    `files`: {path: (file, commit)}, with the first commit that lists the file.
    """

    storage: Storage
    records: dict[CommitId, Record] = field(default_factory=dict)
    files: dict[str, tuple[File, CommitId]] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)  # names of the files in each folder
    sizes: dict[str, int] = field(default_factory=dict)  # bytes read in each folder
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, path: str, problem: str, commit: CommitId | None = None) -> None:
        self.findings.append(Finding(kind, path, problem, commit))

    def damaged_shards(self) -> set[tuple[str, int]]:
        """(folder, shard) of each commit that has a finding so far."""
        return {finding.commit[:2] for finding in self.findings if finding.commit}

    @property
    def sound(self) -> bool:
        return all(finding.repaired for finding in self.findings)


OnProgress = Callable[[int, int, int], None]  # files read, files in all, bytes read


def check_commits(storage: Storage, on_progress: OnProgress | None = None) -> Report:
    """Reads every commit record, and every file that is listed in a record."""
    report = Report(storage)
    for folder in committed_folders(storage):
        _read_records(report, folder)
    _read_files(report, on_progress)
    _find_lost_records(report)
    _find_gone(report)
    _find_stale(report)
    _find_orphans(report)
    return report


# --- records -----------------------------------------------------------------------------------


def _read_records(report: Report, folder: str) -> None:
    commits = Commits(report.storage, folder)
    try:
        names = report.storage.all_names(folder)
    except DamageError as error:
        report.add("damaged", folder, str(error))
        return
    report.listed[folder] = names
    for shard, revision in filter(None, map(shard_of_record, names)):
        commit = CommitId(folder, shard, revision)
        try:
            record = commits.record(shard, revision)
        except DamageError as error:
            kind = "swapped" if isinstance(error, SwappedRecord) else "damaged"
            report.add(kind, commit.record, _reason(error), commit)
            continue
        report.records[commit] = record
        for file in record.files.values():
            report.files.setdefault(file.path, (file, commit))


def _reason(error: DamageError) -> str:
    """The message without the path at its start and without the advice at its end."""
    return str(error).partition("' ")[2].rpartition(": ")[0] or str(error)


# --- files -------------------------------------------------------------------------------------


def _read_files(report: Report, on_progress: OnProgress | None) -> None:
    """Compares every file with the sha256 in its record.

    Files of releases are compared in parts.py, with their manifests.
    """
    todo = [(path, *owner) for path, owner in report.files.items() if not path.startswith(f"{RELEASES}/")]
    by_digest = {file.sha256: path for path, file, _ in todo}
    size = 0
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = threads.map(lambda one: _digest(report.storage, one[0]), todo)
        for number, ((path, file, commit), digest) in enumerate(zip(todo, digests, strict=True)):
            if digest == file.sha256:
                size += file.size
                folder = path.rpartition("/")[0]
                report.sizes[folder] = report.sizes.get(folder, 0) + file.size
                _check_rows(report, path, file, commit)
            else:
                report.add(*_other_content(path, digest, by_digest), commit)
            if on_progress:
                on_progress(number + 1, len(todo), size)


def _digest(storage: Storage, path: str) -> str:
    """The sha256 of a file. It is '' if the file does not exist and 'folder' if the path is a folder."""
    try:
        return storage.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except IsADirectoryError:
        return "folder"


def _other_content(path: str, digest: str, by_digest: Mapping[str, str]) -> tuple[str, str, str]:
    if not digest:
        return "missing", path, "a commit record lists it"
    if digest == "folder":
        return "damaged", path, "is a folder, expected a file"
    if digest in by_digest:
        return "swapped", path, f"has the content of '{by_digest[digest]}'"
    return "damaged", path, "does not have the sha256 in its record"


def _check_rows(report: Report, path: str, file: File, commit: CommitId) -> None:
    """Compares the number of rows in the file with the number in its record. Old records have no digest to compare."""
    if path.endswith(".tar") or (path.startswith(f"{EMIT}/") and not path.endswith(".parquet")):
        return  # a part of a release's format is in that format
    try:
        with report.storage.open(path) as data:
            rows = pq.ParquetFile(data).metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        report.add("damaged", path, f"is not a Parquet file: {error}", commit)
        return
    if rows != file.rows:
        report.add("damaged", commit.record, f"lists {file.rows} rows of '{path}', which has {rows}", commit)


# --- whether commits fit together --------------------------------------------------------------


def _find_lost_records(report: Report) -> None:
    """Finds lost records of images, inputs and splits: their files exist, and other commits were made from them."""
    wanted = {path for record in report.records.values() for path in record.inputs}
    for folder in RECORDED:
        for name in report.listed.get(folder, ()):
            number = shard_of_data(name)
            if not number or f"{folder}/{name}" not in wanted or record_name(*number) in report.listed[folder]:
                continue
            commit = CommitId(folder, *number)
            report.add("missing", commit.record, "its files exist", commit)


def _find_gone(report: Report) -> None:
    """Finds lost shards of images, inputs and splits.

    A shard is lost if it has no record, although other folders have a shard with the same or a higher number.
    """
    damaged = report.damaged_shards()
    extent: dict[str, int] = defaultdict(int)
    for folder, names in report.listed.items():
        top = folder.split("/")[0]
        base = INPUTS if top in (PROBE, PLACED) else folder if top in (INPUTS, SPLITS) else IMAGES
        if top in OTHER_NUMBERS and base == IMAGES:
            continue
        shards = [number[0] for number in map(shard_of_record, names) if number]
        extent[base] = max(extent[base], max(shards, default=-1) + 1)
    for base, size in extent.items():
        there = {number[0] for number in map(shard_of_record, report.listed.get(base, ())) if number}
        for shard in sorted(set(range(size)) - there):
            if (base, shard) in damaged:
                continue
            commit = CommitId(base, shard, 0)
            report.add("missing", commit.record, "other folders have answers for its images", commit)


def _find_stale(report: Report) -> None:
    """Finds outdated commits: a file that they were made from has changed since, or is no longer listed in a record."""
    damaged = report.damaged_shards()
    for commit, record in report.records.items():
        for path, sha256 in record.inputs.items():
            current = report.files.get(path)
            if current is not None and current[0].sha256 == sha256:
                continue
            folder, _, file = path.rpartition("/")
            shard = (shard_of_data(file) or (-1, 0))[0]
            base = IMAGES if folder in (LABELS, TRUTH) else folder
            if (base, shard) in damaged:
                continue  # that commit has its own finding, and repairing it repairs this one too
            change = "whose content is another now" if current else "which no record lists any more"
            report.add("stale", commit.record, f"was made from '{path}', {change}", commit)
            break


def _find_orphans(report: Report) -> None:
    unread = {finding.commit for finding in report.findings if finding.commit and finding.commit not in report.records}
    for folder, names in report.listed.items():
        owner = IMAGES if folder in (LABELS, TRUTH) else folder
        for name in names:
            path, number = f"{folder}/{name}", shard_of_data(name)
            if name.startswith(".tmp-"):
                if not report.storage.is_alive(name):
                    report.add("orphaned", path, "a temporary file of a process that has ended")
            elif number and path not in report.files and (owner, *number) not in unread:
                report.add("orphaned", path, "no commit record lists it")
