"""Carries out a removal. Every step can be repeated, so a removal that was killed is completed by doing them again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from engine.errors import DamageError
from engine.layout import CONFUSION, EMIT, IMAGES, LABELS, MANIFEST, PROOF, RELEASES, REPORT, RUN, RUNS, TRUTH
from engine.storage.commits import shard_of_data, shard_of_record
from engine.storage.files import Storage
from engine.storage.going import REMOVAL_KIND, going
from engine.storage.removals import unfinished_removals
from engine.storage.sealed import read_sealed, seal
from pipelines.ingest.committed_folders import committed_folders
from pipelines.removal.find import finished_releases
from pipelines.removal.ingested import hide_inputs, hide_listed, remove_splits, remove_surveyed
from pipelines.removal.intention import Intention, read_intention
from pipelines.removal.pieces import Needles, decoded, search
from pipelines.removal.redact import Redactor
from pipelines.removal.shards import remove_from_shards
from pipelines.removal.transaction import finish_all


@dataclass(frozen=True, slots=True)
class Proof:
    """The search at the end of a removal. left: {path: what was found in it}. kept: releases that were not searched."""

    files: int
    pieces: int
    left: dict[str, list[str]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def complete_removals(storage: Storage) -> list[tuple[Intention, Proof]]:
    """Completes the removals that were killed. Usually there are none.

    Raises ConfigError if a removal, or a run, is going on.
    """
    if not unfinished_removals(storage):
        return []
    with going(storage, REMOVAL_KIND):
        return [complete(storage, read_intention(storage, path)) for path in unfinished_removals(storage)]


def complete(storage: Storage, one: Intention) -> tuple[Intention, Proof]:
    """Does everything that the intention lists, searches what is left, and deletes the intention."""
    one.write_tombstone(storage)
    finish_all(storage)
    number, images, keys = f"{one.number:05d}", frozenset(one.images), frozenset(one.inputs)
    redactor = Redactor(images, one.uris)
    if one.delete_releases:
        for folder in one.releases:  # without its manifest, a release counts as unfinished
            storage.remove(f"{folder}/{MANIFEST}")
            storage.remove(f"{folder}{PROOF}")
    if one.shards:
        _forget_emission(storage)
        remove_from_shards(storage, number, one.shards, images)
    storage.remove_folder(REPORT)  # its gallery shows images; `engine report` makes it again
    hide_inputs(storage, number, one.chunks, images, keys)
    hide_listed(storage, number, keys, redactor)
    if images:
        remove_splits(storage, number, images)
        remove_surveyed(storage, number, images)
        _redact_reports(storage, images)
    _redact_runs(storage, redactor)
    _sweep(storage)
    proof = _prove(storage, one) if one.search else Proof(0, 0)
    storage.remove(one.path)
    return one, proof


def _forget_emission(storage: Storage) -> None:
    """Deletes commits of emission and unfinished releases: the next release has other content, so it uses none."""
    storage.remove_folder(EMIT)
    finished = set(finished_releases(storage))
    for name in storage.names(RELEASES):
        folder = f"{RELEASES}/{name}"
        if folder not in finished and not name.endswith(PROOF):
            storage.remove_folder(folder)


def _redact_reports(storage: Storage, images: frozenset[str]) -> None:
    """Takes example boxes of the images out of reports on confused labels. Their pictures are drawn again later."""
    for name in storage.names(CONFUSION):
        path = f"{CONFUSION}/{name}"
        if not name.endswith(".json"):
            continue
        content = read_sealed(storage, path)
        pairs = [
            {**pair, "boxes": [box for box in pair["boxes"] if box["image_id"] not in images]}
            for pair in content["pairs"]
        ]
        if pairs != content["pairs"]:
            storage.remove(f"{path.removesuffix('.json')}.png")
            storage.put(path, seal({**content, "pairs": pairs}))


def _redact_runs(storage: Storage, redactor: Redactor) -> None:
    """Takes the ids and URIs of the images out of the records and logs of runs."""
    for path in (f"{RUNS}/{name}" for name in storage.tree(RUNS)):
        if path.endswith(f"/{RUN}"):
            try:
                record = read_sealed(storage, path)
            except DamageError:
                continue  # 'engine check' reports it, and the search at the end finds what it holds
            record = {**record, "recipe": _redacted_json(record.get("recipe", ""), redactor)}
            if (now := redactor.value(record)) != read_sealed(storage, path):
                storage.put(path, seal(now))
        else:
            text = storage.read(path).decode("utf-8", "surrogateescape")
            if (now_text := redactor.text(text)) != text:
                storage.put(path, now_text.encode("utf-8", "surrogateescape"))


def _redacted_json(text: str, redactor: Redactor) -> str:
    """A text of JSON, redacted. The recipe of a run is stored as such a text."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    now = redactor.value(content)
    return text if now == content else json.dumps(now, sort_keys=True)


def _sweep(storage: Storage) -> None:
    """Deletes the temporary files that killed processes left anywhere in the data set."""
    for path in storage.tree("", temporary=True):
        name = path.rpartition("/")[2]
        if name.startswith(".tmp-") and not storage.is_alive(name):
            storage.remove(path)


# --- the search at the end -------------------------------------------------------------------------


def _prove(storage: Storage, one: Intention) -> Proof:
    """Searches every file of the data set, except for releases that stay and the files of this removal.

    Deletes leftovers of killed runs in which it finds something.
    """
    pieces = list(decoded(one.pieces))
    needles = Needles(one.images, pieces, one.uris)
    kept = [] if one.delete_releases else list(one.releases)
    paths = [path for path in storage.tree("", temporary=True) if not _is_left_out(path, kept, one)]
    listed = _listed(storage)
    left: dict[str, list[str]] = {}
    for path, what in search(storage, paths, needles).items():
        if _is_leftover(path, listed):
            storage.remove(path)
        else:
            left[path] = what
    return Proof(len(paths), len(pieces), left, kept)


def _is_left_out(path: str, kept: list[str], one: Intention) -> bool:
    return path == one.path or any(path.startswith(f"{folder}/") or path == f"{folder}{PROOF}" for folder in kept)


def _listed(storage: Storage) -> set[str]:
    """FOLDER/(shard, revision) of every record."""
    folders = {folder: storage.names(folder) for folder in committed_folders(storage)}
    return {f"{folder}/{found}" for folder, names in folders.items() for found in map(shard_of_record, names) if found}


def _is_leftover(path: str, listed: set[str]) -> bool:
    """Whether a killed run left this data file without a record. `listed`: FOLDER/(shard, revision) of every record."""
    folder, _, name = path.rpartition("/")
    number, owner = shard_of_data(name), IMAGES if folder in (LABELS, TRUTH) else folder
    return number is not None and not folder.startswith(f"{RELEASES}/") and f"{owner}/{number}" not in listed
