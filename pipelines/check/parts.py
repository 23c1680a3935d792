"""Checks everything besides commits: dataset.json, current.json, shards and splits, releases, models, rounds, runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from engine.errors import ConfigError, DamageError, StorageError
from engine.layout import (
    CALIBRATION,
    CARD_FILE,
    CONFUSION,
    CURRENT,
    HEADER,
    IMAGES,
    INITIAL,
    INPUTS,
    JUDGE,
    MADE,
    MANIFEST,
    MODELS,
    PLACED,
    PROBE,
    PROOF,
    RELEASES,
    REMOVED,
    ROUNDS,
    RUN,
    RUNS,
    SPLITS,
    TRAINED,
)
from engine.reading.dataset import read_current, read_header
from engine.reading.release_manifest import read_manifest
from engine.scores.calibration import Calibration
from engine.storage.commits import TableReader, shard_of_data
from engine.storage.files import Storage
from engine.storage.listings import IN_SOURCE, Listing, read_listing
from engine.storage.sealed import read_sealed
from model.network.model_folder import FILES
from pipelines.check.commits import CommitId, Report
from pipelines.emit.loose_files import loose_files
from pipelines.emit.writers import is_of_a_format


def check_parts(report: Report) -> None:
    """Adds the findings about these parts to the report. Raises ConfigError if there is no data set."""
    _control_files(report)
    _shards(report)
    _splits(report)
    for folder in _folders(report.storage, RELEASES):
        if not folder.endswith(PROOF):
            _release(report, folder)
    for folder in _folders(report.storage, MODELS):
        _model(report, folder, TRAINED)
        _model(report, f"{folder}/{INITIAL}", MADE)
    for name in _jsons(report.storage):
        _read(report, name, lambda name=name: _read_json(report.storage, name))  # type: ignore[misc]
    for name in report.storage.names(CALIBRATION):
        path = f"{report.storage.url}/{CALIBRATION}/{name}"
        _read(report, f"{CALIBRATION}/{name}", lambda path=path: Calibration.read(path))  # type: ignore[misc]


def _folders(storage: Storage, top: str) -> list[str]:
    return [f"{top}/{name}" for name in storage.names(top)]


def _jsons(storage: Storage) -> Iterator[str]:
    for folder in (ROUNDS, CONFUSION, REMOVED):
        yield from (f"{folder}/{name}" for name in storage.names(folder) if name.endswith(".json"))
    for folder in _folders(storage, RUNS):
        yield from (f"{folder}/{name}" for name in storage.names(folder) if name == RUN)


def _read(report: Report, name: str, read: Callable[[], object]) -> None:
    try:
        read()
    except (DamageError, ConfigError) as error:
        report.add("damaged", name, _short(error))


def _read_json(storage: Storage, name: str) -> None:
    content = read_sealed(storage, name)
    if name.startswith(f"{RUNS}/") and not isinstance(content.get("nodes"), list):
        raise DamageError(f"'{name}' has no list of nodes")


def _short(error: Exception) -> str:
    """The message without the path at its start and without the advice at its end."""
    return str(error).partition("' ")[2].partition(": ")[0].rstrip(".") or str(error)


def _control_files(report: Report) -> None:
    try:
        read_header(report.storage)
    except DamageError as error:
        report.add("damaged", HEADER, _short(error))
    except ConfigError:
        if not any(report.listed.get(folder) for folder in (IMAGES, INPUTS)) or report.storage.exists(HEADER):
            raise
        report.add("missing", HEADER, "every data set has one")
    try:
        current = read_current(report.storage)
    except DamageError as error:
        report.add("damaged", CURRENT, _short(error))
    except FileNotFoundError:
        if report.storage.names(JUDGE):
            report.add("missing", CURRENT, "the data set was judged, so it had one")
    else:
        nodes = current.get("nodes", [])
        if not (isinstance(nodes, list) and all(isinstance(n, dict) and {"name", "folder"} <= set(n) for n in nodes)):
            report.add("damaged", CURRENT, "has no list of nodes with names and folders")


# --- images --------------------------------------------------------------------------------------


def _images(report: Report) -> dict[str, int]:
    """{image id: shard}, from the latest readable revision of each shard.

    Adds a finding for an image that is in two shards.
    """
    home: dict[str, int] = {}
    latest = {commit.shard: commit for commit in sorted(report.records) if commit.folder == IMAGES}
    for shard, commit in latest.items():
        for name in _column(report, commit, "image_id"):
            if home.setdefault(name, shard) != shard:
                report.add(
                    "swapped", report.records[commit].files["data"].path, f"image {name} is also in shard {home[name]}"
                )
                break
    return home


def _column(report: Report, commit: CommitId, column: str) -> list[str]:
    """The values of a column. The list is empty if the file is damaged, which has its own finding."""
    try:
        file = report.records[commit].files["data"]
        read = TableReader(report.storage, file.path, [column], sha256=file.sha256).read()
    except (StorageError, FileNotFoundError, KeyError):
        return []
    values: list[str] = read[column].to_pylist()
    return values


def _shards(report: Report) -> None:
    """Checks the chunks of inputs that were assigned to shards: each of their images must be in a shard."""
    home = _images(report)
    if any(folder == IMAGES for folder, _ in report.damaged_shards()):
        return
    try:
        listing = read_listing(report.storage)
    except (StorageError, FileNotFoundError):  # has a finding of its own
        return
    for commit in sorted(report.records):
        if commit.folder.startswith(f"{PLACED}/"):
            probe = f"{PROBE}/{commit.folder.partition('/')[2]}"
            lost = _listed_images(report, CommitId(probe, *commit[1:]), listing) - set(home)
            if lost and not _find_lost_record(report, IMAGES, lost):
                problem = f"{len(lost)} probed images are in no shard, such as {min(lost)}: shards of images are gone"
                report.add("missing", IMAGES, problem)


def _listed_images(report: Report, commit: CommitId, listing: Listing) -> set[str]:
    """The images of a probed chunk that a source still lists.

    Other images may have been deleted before they were assigned.
    """
    columns = [_column(report, commit, name) for name in ("image_id", "source", "uri", "fingerprint")]
    rows = zip(*columns, strict=True)
    return {image for image, *key in rows if image and listing.state((key[0], key[1], key[2])) in IN_SOURCE}


def _find_lost_record(report: Report, folder: str, lost: set[str]) -> bool:
    """Adds a finding if a file without a record holds some of the `lost` images.

    Returns whether there is such a file.
    """
    is_lost = False
    for name in report.listed.get(folder, ()):
        number, path = shard_of_data(name), f"{folder}/{name}"
        if number is None or (folder, *number) in report.records or not name.endswith(".parquet"):
            continue
        try:
            ids = set(TableReader(report.storage, path, ["image_id"]).read()["image_id"].to_pylist())
        except (StorageError, FileNotFoundError):
            continue
        if ids & lost:
            report.findings = [one for one in report.findings if one.path != path]
            commit = CommitId(folder, *number)
            report.add("missing", commit.record, "its files exist", commit)
            is_lost = True
    return is_lost


def _splits(report: Report) -> None:
    """Checks that every image in a shard has a split, if the data set has an audit split."""
    if any(folder in (IMAGES, SPLITS) for folder, _ in report.damaged_shards()):
        return
    drawn = {n for commit in report.records if commit.folder == SPLITS for n in _column(report, commit, "image_id")}
    try:
        wanted = read_header(report.storage).get("audit")
    except (DamageError, ConfigError):
        return
    lost = set(_images(report)) - drawn if wanted else set()
    if lost and not _find_lost_record(report, SPLITS, lost):
        report.add("missing", SPLITS, f"{len(lost)} images in shards have no split: shards of splits are gone")


# --- releases and models -----------------------------------------------------------------------------


def _release(report: Report, folder: str) -> None:
    storage = report.storage
    try:
        manifest = read_manifest(storage, folder)
    except FileNotFoundError:
        return  # not finished: the same command will finish it
    except DamageError as error:
        report.add("damaged", f"{folder}/{MANIFEST}", _short(error))
        return
    report.sizes[folder] = sum(int(file["bytes"]) for file in manifest["files"])
    for file in manifest["files"]:
        _compare(report, f"{folder}/{file['name']}", file["sha256"], "the manifest")
    if "card_sha256" in manifest:
        _compare(report, f"{folder}/{CARD_FILE}", manifest["card_sha256"], "the manifest")
    named = {file["name"] for file in manifest["files"]}
    for name, sha256, _ in loose_files(storage, folder, manifest):
        _compare(report, f"{folder}/{name}", sha256, "its list of files")
        named.add(name)
    for name in storage.tree(folder):
        if is_of_a_format(name) and name not in named:
            report.add("orphaned", f"{folder}/{name}", "the manifest does not list it, but loaders would read it")


def _model(report: Report, folder: str, name: str) -> None:
    try:
        record = read_sealed(report.storage, f"{folder}/{name}")
    except FileNotFoundError:
        return
    except DamageError as error:
        report.add("damaged", f"{folder}/{name}", _short(error))
        return
    for file, sha256 in record.get(FILES, {}).items():
        _compare(report, f"{folder}/{file}", sha256, name)


def _compare(report: Report, path: str, sha256: str, manifest: str) -> None:
    try:
        digest = report.storage.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        report.add("missing", path, f"{manifest} lists it")
        return
    except IsADirectoryError:
        digest = hashlib.sha256().hexdigest()
    if digest != sha256:
        report.add("damaged", path, f"does not have the sha256 in {manifest}")
