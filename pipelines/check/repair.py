"""What `engine check --repair` does: only what cannot lose anything.

Answers of nodes are removed, so that the next run makes them again. Records of images, inputs and splits are written
again from their files, where those are whole. What only a backup has is left, and said. What can go wrong: an answer
that does not come out the same again would leave others that were made from the old one, so those go with it.
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
from engine.storage.commits import Commits, File, Record, TableReader, record_name, shard_of_data
from engine.storage.files import Storage
from engine.storage.sealed import name_digest, read_sealed
from pipelines.check.commits import RECORDED, Finding, Place, Walk
from pipelines.recipe import Recipe, parse_recipe

BACKUP = "restore it from a backup"
_AGAIN = "removed: the next 'engine run' makes it again"
# Made by rule: what is made again is the same again.
_BY_RULE = frozenset((PROBE, PLACED, JUDGE, JUDGE_REGIONS, SURVEY, SURVEYED, EMIT, "consensus", "decodes"))


def repair(found: Walk, recipe: Recipe | None) -> None:
    """Does what is safe about each finding, and notes what it did or what a person is to do."""
    fixed = _deterministic(found.storage)
    for finding in found.findings:
        try:
            _repair(found, finding, recipe, fixed)
        except (EngineError, OSError) as error:
            finding.repair = str(error)


def _repair(found: Walk, finding: Finding, recipe: Recipe | None, fixed: dict[str, bool]) -> None:
    top = finding.path.split("/")[0]
    if finding.path in (HEADER, CURRENT):
        _header(found.storage, finding, recipe)
    elif finding.kind == "orphaned":
        _orphan(found, finding)
    elif finding.place and finding.place[0] in RECORDED:
        _ordered(found, finding, finding.place)
    elif finding.place:
        force = finding.kind == "stale" or finding.place[2] > 0
        _forget(found, finding.place, fixed, force=force)
        _done(finding, _AGAIN)
    elif top in (ROUNDS, RUNS):
        found.storage.remove(finding.path)
        _done(finding, "removed" if top == RUNS else _AGAIN)
    elif top == RELEASES:
        finding.repair = f"{BACKUP}, or make the release again under another name (--set emit.name=NAME)"
    elif top == MODELS:
        finding.repair = f"{BACKUP}, or train it again under another name (--set train.name=NAME)"
    elif top == CALIBRATION:
        finding.repair = f"{BACKUP}, or fit it again with 'engine eval --fit'"
    else:
        finding.repair = BACKUP


def _done(finding: Finding, told: str) -> None:
    finding.repair, finding.repaired = told, True


def _orphan(found: Walk, finding: Finding) -> None:
    folder, _, name = finding.path.rpartition("/")
    place = shard_of_data(name)
    if folder.startswith("releases/"):
        finding.repair = "move it away"
        return
    owner = IMAGES if folder in (LABELS, TRUTH) else folder
    if place and folder in ORDERED and (owner, *place) not in found.records:
        finding.repair = "left: it may be all there is of a shard; the next 'engine run' of its sources decides"
        return
    found.storage.remove(finding.path)
    _done(finding, "removed")


# --- answers of nodes ------------------------------------------------------------------------------


def _deterministic(storage: Storage) -> dict[str, bool]:
    """Whether the nodes of the data set give the same answers again."""
    try:
        return {node["name"]: bool(node.get("deterministic")) for node in read_current(storage).get("nodes", [])}
    except (FileNotFoundError, DamageError, KeyError, TypeError):
        return {}


def _forget(found: Walk, place: Place, fixed: dict[str, bool], *, force: bool) -> None:
    """Remove a commit, and those made from it unless it comes out the same again."""
    folder, shard, revision = place
    name = folder.split("/")[0]
    found.storage.remove(f"{folder}/{record_name(shard, revision)}")
    own = [f"{folder}/{file}" for file in found.listed.get(folder, ()) if shard_of_data(file) == (shard, revision)]
    for path in own:
        found.storage.remove(path)
    record = found.records.pop(place, None)
    files = set(own) | {file.path for file in (record.files.values() if record else ())}
    if force or not (name in _BY_RULE or fixed.get(name, False)):
        for other in [other for other, told in found.records.items() if files & set(told.inputs)]:
            if other in found.records and other[0] not in RECORDED:
                _forget(found, other, fixed, force=True)


# --- images, inputs, splits ------------------------------------------------------------------------


def _ordered(found: Walk, finding: Finding, place: Place) -> None:
    """Write a record again from its files; a file that is damaged can only be restored."""
    if finding.path != f"{place[0]}/{record_name(*place[1:])}":
        finding.repair = BACKUP
        return
    record = _rebuilt(found.storage, *place)
    if record is None:
        finding.repair = f"{BACKUP}, with the files of its shard"
        return
    found.storage.remove(finding.path)
    Commits(found.storage, place[0]).commit(record)
    found.records[place] = record
    _done(finding, "written again from its files")


def _rebuilt(storage: Storage, folder: str, shard: int, revision: int) -> Record | None:
    """None unless there is one whole file for each part."""
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
        for part, place in (("labels", LABELS), ("truth", TRUTH)):
            there = [name for name in storage.names(place) if shard_of_data(name) == (shard, revision)]
            labels = _only(storage, place, shard, revision, "parquet")
            if labels is not None:
                files[part] = labels
            elif there:
                return None
    return Record(shard, revision, files)


def _uris(storage: Storage, data: File) -> list[str]:
    uris: list[str] = TableReader(storage, data.path, ["uri"]).read()["uri"].to_pylist()
    return uris


def _only(storage: Storage, folder: str, shard: int, revision: int, suffix: str) -> File | None:
    """The one file of that shard and revision, if it is whole."""
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


def _header(storage: Storage, finding: Finding, recipe: Recipe | None) -> None:
    recipe = recipe or _last_recipe(storage)
    if recipe is None:
        finding.repair = f"{BACKUP}, or give the recipe with -c"
        return
    recipe = recipe.model_copy(update={"dataset": storage.url})
    write: Callable[[Storage, Recipe], str] = _write_header if finding.path == HEADER else _write_current
    if told := write(storage, recipe):
        finding.repair = told
    else:
        _done(finding, "written again from the recipe")


def _last_recipe(storage: Storage) -> Recipe | None:
    """What the latest run whose record can be read was asked."""
    for name in sorted(storage.names(RUNS), reverse=True):
        try:
            return parse_recipe(json.loads(read_sealed(storage, f"{RUNS}/{name}/{RUN}")["recipe"]))
        except (FileNotFoundError, KeyError, TypeError, ValueError, StorageError, ConfigError):
            continue
    return None


def _write_header(storage: Storage, recipe: Recipe) -> str:
    """'' once it is written; else why the recipe cannot be the one that made this data set."""
    from pipelines.ingest.header import open_dataset

    commits = Commits(storage, IMAGES)
    rows = [commits.record(shard, int(r)).files["data"].rows for shard, r in enumerate(commits.revisions()) if r >= 0]
    size = recipe.ingest.shard_size
    if max(rows, default=0) > size:
        return f"the recipe says shard_size {size}, but a shard holds {max(rows)} images: give the right recipe with -c"
    splits = {split for path in commits.data_files().values() for split in _split_names(storage, path)}
    if bool(splits - {"train"}) and not recipe.ingest.audit.wanted:
        return "the recipe has no ingest.audit, but images are kept to measure with: give the right recipe with -c"
    storage.remove(HEADER)
    open_dataset(storage, recipe)
    return ""


def _split_names(storage: Storage, path: str) -> list[str]:
    names: list[str] = pc.unique(TableReader(storage, path, ["split"]).read()["split"]).to_pylist()
    return names


def _write_current(storage: Storage, recipe: Recipe) -> str:
    from pipelines.refine.standing import standing
    from pipelines.stages.current import write_current
    from pipelines.stages.run import all_nodes, judging

    if recipe.refine.rounds and storage.names(ROUNDS):
        return "run 'engine run' without --stage: it finds the rounds again"
    storage.remove(CURRENT)
    nodes = all_nodes(recipe)
    _, judge = judging(storage, recipe, nodes)
    write_current(storage, standing(storage, recipe, nodes, judge), recipe)
    Dataset.open(storage.url)
    return ""
