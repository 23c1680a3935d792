"""`engine check --repair`: repairs only what cannot lose data, and gives advice for the rest.

Damaged answers of nodes are removed, so that the next run makes them again. If a new answer may differ from the old
one, everything that was made from the old one is removed too. Records of images, inputs and splits are rebuilt from
their files if these files are intact.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow.compute as pc

from engine.errors import ConfigError, DamageError, EngineError, StorageError
from engine.layout import (
    CALIBRATION,
    CURRENT,
    EMIT,
    HEADER,
    IMAGES,
    JUDGE,
    JUDGE_REGIONS,
    LABELS,
    MODELS,
    ORDERED,
    PLACED,
    PROBE,
    RELEASES,
    ROUNDS,
    RUN,
    RUNS,
    SURVEY,
    SURVEYED,
    TRUTH,
)
from engine.reading.dataset import Dataset, read_current
from engine.storage.commits import Commits, File, Record, TableReader, shard_of_data
from engine.storage.files import Storage
from engine.storage.sealed import name_digest, read_sealed
from pipelines.check.commits import RECORDED, CommitId, Finding, Report
from pipelines.recipe import Recipe, parse_recipe

BACKUP = "restore it from a backup"
_AGAIN = "removed: the next 'engine run' makes it again"
# Nodes that always give the same answers. For other nodes, current.json states whether their answers are reproducible.
_REPRODUCIBLE = frozenset((PROBE, PLACED, JUDGE, JUDGE_REGIONS, SURVEY, SURVEYED, EMIT, "consensus", "decodes"))


def repair(report: Report, recipe: Recipe | None) -> None:
    """Repairs each finding if that is safe, and notes in `finding.repair` what was done or what to do."""
    fixed = _deterministic(report.storage)
    for finding in report.findings:
        try:
            _repair(report, finding, recipe, fixed)
        except (EngineError, OSError) as error:
            finding.repair = str(error)


def _repair(report: Report, finding: Finding, recipe: Recipe | None, fixed: dict[str, bool]) -> None:
    top = finding.path.split("/")[0]
    if finding.path in (HEADER, CURRENT):
        _rewrite(report.storage, finding, recipe)
    elif finding.kind == "orphaned":
        _orphan(report, finding)
    elif finding.commit and finding.commit[0] in RECORDED:
        _rebuild(report, finding, finding.commit)
    elif finding.commit:
        force = finding.kind == "stale" or finding.commit[2] > 0
        _remove(report, finding.commit, fixed, force=force)
        _done(finding, _AGAIN)
    elif top in (ROUNDS, RUNS):
        report.storage.remove(finding.path)
        _done(finding, "removed" if top == RUNS else _AGAIN)
    elif top == RELEASES:
        finding.repair = f"{BACKUP}, or make the release again under another name (--set emit.name=NAME)"
    elif top == MODELS:
        finding.repair = f"{BACKUP}, or train it again under another name (--set train.name=NAME)"
    elif top == CALIBRATION:
        finding.repair = f"{BACKUP}, or fit it again with 'engine eval --fit'"
    else:
        finding.repair = BACKUP


def _done(finding: Finding, repair: str) -> None:
    finding.repair, finding.repaired = repair, True


def _orphan(report: Report, finding: Finding) -> None:
    folder, _, name = finding.path.rpartition("/")
    number = shard_of_data(name)
    if folder.startswith("releases/"):
        finding.repair = "move it away"
        return
    owner = IMAGES if folder in (LABELS, TRUTH) else folder
    if number and folder in ORDERED and (owner, *number) not in report.records:
        finding.repair = "kept, as it may hold the only data of a shard: run 'engine run' with its sources"
        return
    report.storage.remove(finding.path)
    _done(finding, "removed")


# --- answers of nodes ------------------------------------------------------------------------------


def _deterministic(storage: Storage) -> dict[str, bool]:
    """{node: whether its answers are reproducible}. Empty if current.json cannot be read."""
    try:
        return {node["name"]: bool(node.get("deterministic")) for node in read_current(storage).get("nodes", [])}
    except (FileNotFoundError, DamageError, KeyError, TypeError):
        return {}


def _remove(report: Report, commit: CommitId, fixed: dict[str, bool], *, force: bool) -> None:
    """Removes a commit. The commits made from it are removed too if its new answer may differ, or if `force` is set."""
    folder, shard, revision = commit
    name = folder.split("/")[0]
    report.storage.remove(commit.record)
    own = [f"{folder}/{file}" for file in report.listed.get(folder, ()) if shard_of_data(file) == (shard, revision)]
    for path in own:
        report.storage.remove(path)
    record = report.records.pop(commit, None)
    files = set(own) | {file.path for file in (record.files.values() if record else ())}
    if force or not (name in _REPRODUCIBLE or fixed.get(name, False)):
        for other in [other for other, made in report.records.items() if files & set(made.inputs)]:
            if other in report.records and other.folder not in RECORDED:
                _remove(report, other, fixed, force=True)


# --- images, inputs, splits ------------------------------------------------------------------------


def _rebuild(report: Report, finding: Finding, commit: CommitId) -> None:
    """Rebuilds a lost record from the files of its shard. A damaged file can only be restored from a backup."""
    if finding.path != commit.record:
        finding.repair = BACKUP
        return
    record = _record_of_files(report.storage, *commit)
    if record is None:
        finding.repair = f"{BACKUP}, with the files of its shard"
        return
    report.storage.remove(finding.path)
    Commits(report.storage, commit.folder).commit(record)
    report.records[commit] = record
    _done(finding, "rebuilt from its files")


def _record_of_files(storage: Storage, folder: str, shard: int, revision: int) -> Record | None:
    """The record, rebuilt from the files of its shard. None if a file is damaged, missing or there more than once."""
    data = _only(storage, folder, shard, revision, "parquet")
    if data is None:
        return None
    files = {"data": data}
    if folder == IMAGES:
        tar = next((uri for uri in _uris(storage, data) if uri.startswith(f"{IMAGES}/")), "")
        if tar:
            packed = _file(storage, tar, sum(uri == tar for uri in _uris(storage, data)))
            if packed is None:
                return None
            files = {"tar": packed, "data": data}
        for part, labels_folder in (("labels", LABELS), ("truth", TRUTH)):
            there = [name for name in storage.names(labels_folder) if shard_of_data(name) == (shard, revision)]
            labels = _only(storage, labels_folder, shard, revision, "parquet")
            if labels is not None:
                files[part] = labels
            elif there:
                return None
    return Record(shard, revision, files)


def _uris(storage: Storage, data: File) -> list[str]:
    uris: list[str] = TableReader(storage, data.path, ["uri"]).read()["uri"].to_pylist()
    return uris


def _only(storage: Storage, folder: str, shard: int, revision: int, suffix: str) -> File | None:
    """The file of this shard and revision. None if there is no such file, if there are several, or if it is damaged."""
    names = [name for name in storage.names(folder) if shard_of_data(name) == (shard, revision)]
    names = [name for name in names if name.endswith(f".{suffix}")]
    if len(names) != 1:
        return None
    path = f"{folder}/{names[0]}"
    try:
        rows = TableReader(storage, path).rows
    except DamageError:
        return None
    return _file(storage, path, rows)


def _file(storage: Storage, path: str, rows: int) -> File | None:
    try:
        digest, size = storage.sha256(path), storage.size(path)
    except FileNotFoundError:
        return None
    return File(path, digest, rows, size) if digest.startswith(name_digest(path)) else None


# --- dataset.json, current.json ----------------------------------------------------------------------


def _rewrite(storage: Storage, finding: Finding, recipe: Recipe | None) -> None:
    recipe = recipe or _last_recipe(storage)
    if recipe is None:
        finding.repair = f"{BACKUP}, or give the recipe with -c"
        return
    recipe = recipe.model_copy(update={"dataset": storage.url})
    write: Callable[[Storage, Recipe], str] = _write_header if finding.path == HEADER else _write_current
    if problem := write(storage, recipe):
        finding.repair = problem
    else:
        _done(finding, "rewritten from the recipe")


def _last_recipe(storage: Storage) -> Recipe | None:
    """The recipe of the latest run whose record can be read."""
    for name in sorted(storage.names(RUNS), reverse=True):
        try:
            return parse_recipe(json.loads(read_sealed(storage, f"{RUNS}/{name}/{RUN}")["recipe"]))
        except (FileNotFoundError, KeyError, TypeError, ValueError, StorageError, ConfigError):
            continue
    return None


def _write_header(storage: Storage, recipe: Recipe) -> str:
    """Writes dataset.json. Returns '', or the reason why the data set cannot have been made with this recipe."""
    from pipelines.ingest.header import open_dataset

    commits = Commits(storage, IMAGES)
    rows = [commits.record(shard, int(r)).files["data"].rows for shard, r in enumerate(commits.revisions()) if r >= 0]
    size = recipe.ingest.shard_size
    if max(rows, default=0) > size:
        return f"the recipe says shard_size {size}, but a shard holds {max(rows)} images: give the right recipe with -c"
    splits = {split for path in commits.data_files().values() for split in _split_names(storage, path)}
    if bool(splits - {"train"}) and not recipe.ingest.audit.wanted:
        return "the recipe has no ingest.audit, but the data set has audit images: give the right recipe with -c"
    storage.remove(HEADER)
    open_dataset(storage, recipe)
    return ""


def _split_names(storage: Storage, path: str) -> list[str]:
    names: list[str] = pc.unique(TableReader(storage, path, ["split"]).read()["split"]).to_pylist()
    return names


def _write_current(storage: Storage, recipe: Recipe) -> str:
    from pipelines.stages.current import write_current
    from pipelines.stages.state import read_state

    if recipe.refine.rounds and storage.names(ROUNDS):
        return "run 'engine run' without --stage: it restores the rounds"
    storage.remove(CURRENT)
    write_current(storage, read_state(storage, recipe).rounds, recipe)
    Dataset.open(storage.url)
    return ""
