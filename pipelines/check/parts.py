"""What `engine check` reads besides commits: header, current.json, placed images, releases, models, rounds, runs."""

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
    PAIR_FILES,
    PLACED,
    PROBE,
    RELEASES,
    ROUNDS,
    RUN,
    RUNS,
    SAMPLE_FILES,
    SPLITS,
    TRAINED,
)
from engine.reading.dataset import read_current, read_header
from engine.reading.release_manifest import read_manifest
from engine.scores.calibration import Calibration
from engine.storage.commits import TableReader, record_name, shard_of_data
from engine.storage.files import Storage
from engine.storage.listings import HELD, Listing, read_listing
from engine.storage.sealed import read_sealed
from model.network.model_folder import FILES
from pipelines.check.commits import Walk


def check_parts(found: Walk) -> None:
    """Adds to the findings. ConfigError where there is no data set at all."""
    _header(found)
    _placed(found)
    _splits(found)
    for folder in _folders(found.storage, RELEASES):
        _release(found, folder)
    for folder in _folders(found.storage, MODELS):
        _model(found, folder, TRAINED)
        _model(found, f"{folder}/{INITIAL}", MADE)
    for name in _jsons(found.storage):
        _read(found, name, lambda name=name: _told(found.storage, name))  # type: ignore[misc]
    for name in found.storage.names(CALIBRATION):
        path = f"{found.storage.url}/{CALIBRATION}/{name}"
        _read(found, f"{CALIBRATION}/{name}", lambda path=path: Calibration.read(path))  # type: ignore[misc]


def _folders(storage: Storage, top: str) -> list[str]:
    return [f"{top}/{name}" for name in storage.names(top)]


def _jsons(storage: Storage) -> Iterator[str]:
    for folder in (ROUNDS, CONFUSION):
        yield from (f"{folder}/{name}" for name in storage.names(folder) if name.endswith(".json"))
    for folder in _folders(storage, RUNS):
        yield from (f"{folder}/{name}" for name in storage.names(folder) if name == RUN)


def _read(found: Walk, name: str, read: Callable[[], object]) -> None:
    try:
        read()
    except (DamageError, ConfigError) as error:
        found.found("damaged", name, _short(error))


def _told(storage: Storage, name: str) -> None:
    told = read_sealed(storage, name)
    if name.startswith(f"{RUNS}/") and not isinstance(told.get("nodes"), list):
        raise DamageError(f"'{name}' names no nodes")


def _short(error: Exception) -> str:
    """The sentence without the name before it and the advice behind it."""
    return str(error).partition("' ")[2].partition(": ")[0].rstrip(".") or str(error)


def _header(found: Walk) -> None:
    try:
        read_header(found.storage)
    except DamageError as error:
        found.found("damaged", HEADER, _short(error))
    except ConfigError:
        if not any(found.listed.get(folder) for folder in (IMAGES, INPUTS)) or found.storage.exists(HEADER):
            raise
        found.found("missing", HEADER, "every data set has one")
    try:
        current = read_current(found.storage)
    except DamageError as error:
        found.found("damaged", CURRENT, _short(error))
    except FileNotFoundError:
        if found.storage.names(JUDGE):
            found.found("missing", CURRENT, "the data set was judged, so it had one")
    else:
        nodes = current.get("nodes", [])
        if not (isinstance(nodes, list) and all(isinstance(n, dict) and {"name", "folder"} <= set(n) for n in nodes)):
            found.found("damaged", CURRENT, "names no nodes as expected")


# --- images --------------------------------------------------------------------------------------


def _images(found: Walk) -> dict[str, int]:
    """{image id: shard} of the latest readable revision of each shard; an image in two shards is a finding."""
    home: dict[str, int] = {}
    latest = {place[1]: place for place in sorted(found.records) if place[0] == IMAGES}
    for shard, place in latest.items():
        for name in _column(found, place, "image_id"):
            if home.setdefault(name, shard) != shard:
                found.found(
                    "swapped", found.records[place].files["data"].path, f"image {name} is in shard {home[name]} too"
                )
                break
    return home


def _column(found: Walk, place: tuple[str, int, int], column: str) -> list[str]:
    """Nothing of a file that is damaged: that is told already."""
    try:
        file = found.records[place].files["data"]
        read = TableReader(found.storage, file.path, [column], sha256=file.sha256).read()
    except (StorageError, FileNotFoundError, KeyError):
        return []
    values: list[str] = read[column].to_pylist()
    return values


def _placed(found: Walk) -> None:
    """Whether every image of a chunk that was placed is in a shard."""
    home = _images(found)
    if any(name[0] == IMAGES for name in found.wrong()):
        return
    try:
        listing = read_listing(found.storage)
    except (StorageError, FileNotFoundError):  # which is told already
        return
    for place in sorted(found.records):
        if place[0].startswith(f"{PLACED}/"):
            probe = f"{PROBE}/{place[0].partition('/')[2]}"
            lost = _given(found, (probe, *place[1:]), listing) - set(home)
            if lost and not _unnamed(found, IMAGES, lost):
                told = f"{len(lost)} images of its chunk are in no shard, such as {min(lost)}"
                found.found("missing", f"{IMAGES}", f"{told}: shards of images are gone")


def _given(found: Walk, place: tuple[str, int, int], listing: Listing) -> set[str]:
    """Images of a probed chunk that a source gives now: one that was taken back before it had a place gets none."""
    columns = [_column(found, place, name) for name in ("image_id", "source", "uri", "fingerprint")]
    rows = zip(*columns, strict=True)
    return {image for image, *key in rows if image and listing.state((key[0], key[1], key[2])) in HELD}


def _unnamed(found: Walk, folder: str, lost: set[str]) -> bool:
    """Whether a file that no record names holds some of these images: then its record is what is missing."""
    told = False
    for name in found.listed.get(folder, ()):
        place, path = shard_of_data(name), f"{folder}/{name}"
        if place is None or (folder, *place) in found.records or not name.endswith(".parquet"):
            continue
        try:
            ids = set(TableReader(found.storage, path, ["image_id"]).read()["image_id"].to_pylist())
        except (StorageError, FileNotFoundError):
            continue
        if ids & lost:
            found.findings = [one for one in found.findings if one.path != path]
            found.found("missing", f"{folder}/{record_name(*place)}", "its files are there", (folder, *place))
            told = True
    return told


def _splits(found: Walk) -> None:
    """Whether every image that has a place has a split, where splits are drawn."""
    if any(name[0] in (IMAGES, SPLITS) for name in found.wrong()):
        return
    drawn = {n for place in found.records if place[0] == SPLITS for n in _column(found, place, "image_id")}
    try:
        wanted = read_header(found.storage).get("audit")
    except (DamageError, ConfigError):
        return
    lost = set(_images(found)) - drawn if wanted else set()
    if lost and not _unnamed(found, SPLITS, lost):
        found.found("missing", SPLITS, f"{len(lost)} images have a place and no split: shards of splits are gone")


# --- releases and models -----------------------------------------------------------------------------


def _release(found: Walk, folder: str) -> None:
    storage = found.storage
    try:
        manifest = read_manifest(storage, folder)
    except FileNotFoundError:
        return  # not finished: the same command goes on with it
    except DamageError as error:
        found.found("damaged", f"{folder}/{MANIFEST}", _short(error))
        return
    found.sizes[folder] = sum(int(file["bytes"]) for file in manifest["files"])
    for file in manifest["files"]:
        _hold(found, f"{folder}/{file['name']}", file["sha256"], "the manifest")
    if "card_sha256" in manifest:
        _hold(found, f"{folder}/{CARD_FILE}", manifest["card_sha256"], "the manifest")
    named = {file["name"] for file in manifest["files"]}
    for name in storage.names(folder):
        if name.startswith((SAMPLE_FILES, PAIR_FILES)) and name not in named:
            found.found("orphaned", f"{folder}/{name}", "the manifest does not name it, but loaders would read it")


def _model(found: Walk, folder: str, name: str) -> None:
    try:
        told = read_sealed(found.storage, f"{folder}/{name}")
    except FileNotFoundError:
        return
    except DamageError as error:
        found.found("damaged", f"{folder}/{name}", _short(error))
        return
    for file, sha256 in told.get(FILES, {}).items():
        _hold(found, f"{folder}/{file}", sha256, name)


def _hold(found: Walk, path: str, sha256: str, by: str) -> None:
    try:
        digest = found.storage.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        found.found("missing", path, f"{by} names it")
        return
    except IsADirectoryError:
        digest = hashlib.sha256().hexdigest()
    if digest != sha256:
        found.found("damaged", path, f"does not have the sha256 that {by} tells")
