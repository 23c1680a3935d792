"""Opens a release with the libraries that its users will read it with, and checks every promise it makes.

The checks do not rely on the engine. Tars are read with webdataset and its own image decoder, tables with pyarrow, and
both again with `datasets`. Ids are recomputed from the bytes. Only the records of one shard are in memory at a time.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pyarrow.parquet as pq

from engine.errors import ConfigError
from engine.layout import CARD_FILE, MANIFEST, PAIR_FILES, RELEASES
from engine.reading.release_manifest import Manifest, formats_of, read_manifest, shards_of
from engine.storage.files import Storage, sha256_file
from engine.storage.migrate import check_version
from pipelines.emit.loose_files import loose_tables
from pipelines.emit.verifiers.check import Check, Checks, ShardContent, Verifier
from pipelines.emit.verifiers.datasets import datasets_checks, read_by_datasets
from pipelines.emit.verifiers.duckdb_checks import duckdb_check
from pipelines.emit.verifiers.records import RecordVerifier
from pipelines.emit.verifiers.torch_loader import torch_checks
from pipelines.emit.writers import FORMATS, HOLD_ALL, is_of_a_format


def verify(release: str) -> Checks:
    """All checks of a release, which is a folder or a URL. A remote release is copied first.

    Raises ConfigError if there is no finished release.
    """
    with tempfile.TemporaryDirectory(prefix="verify-") as scratch:
        folder = _local(release, Path(scratch) / "copy")
        manifest = _manifest(release, folder)
        with ThreadPoolExecutor(2) as beside:  # both libraries read in processes of their own
            by_torch = beside.submit(torch_checks, folder, manifest)
            read = beside.submit(read_by_datasets, folder, manifest, Path(scratch))
            files = _files(folder, manifest)
            checks, counts = _read_shards(folder, manifest, files)
            by_duckdb = duckdb_check(folder, manifest)
            by_library = [by_duckdb, *by_torch.result(), *datasets_checks(manifest, counts, read.result())]
        found = Checks([files, *checks, *by_library])
        for check in found:  # the proof must not depend on where the release is
            check.faults = [fault.replace(f"{folder}/", "").replace(f"{scratch}/", "") for fault in check.faults]
        return found


def _local(release: str, copy: Path) -> Path:
    storage = Storage(release)
    if storage.local:
        return Path(storage.url)
    copy.mkdir()
    for name in storage.tree(""):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        storage.fs.get_file(storage.path(name), str(copy / name))
    return copy


def _manifest(release: str, folder: Path) -> Manifest:
    try:
        manifest = read_manifest(Storage(str(folder)))
    except FileNotFoundError:
        raise ConfigError(f"No finished release at '{release}': {_what_to_give(release, folder)}.") from None
    lacking = [name for name in ("counts", "pairs", "recipe", "image_extensions") if name not in manifest]
    lacking += [name for file in manifest["files"] for name in ("bytes", "sha256", "rows") if name not in file]
    if lacking:
        raise ConfigError(f"The manifest of '{release}' has no '{lacking[0]}': it is not the manifest of a release.")
    check_version(release, manifest)
    return manifest


def _what_to_give(release: str, folder: Path) -> str:
    """What to give instead of a folder that has no manifest. `folder`: its files on this machine."""
    found = sorted(path.parent.name for path in folder.glob(f"{RELEASES}/*/{MANIFEST}"))
    if found:
        return f"it is a data set; give one of its releases, such as '{release.rstrip('/')}/{RELEASES}/{found[-1]}'"
    if not folder.exists():
        return f"there is no such folder; give the path of a release, such as DATASET/{RELEASES}/NAME"
    return f"it has no {MANIFEST}; give a folder under {RELEASES}/"


def _files(folder: Path, manifest: Manifest) -> Check:
    check = Check("files are those of the manifest")
    for file in manifest["files"]:
        path = folder / file["name"]
        if not path.is_file():
            check.faults.append(f"{file['name']} is missing")
        elif path.stat().st_size != file["bytes"]:
            check.faults.append(f"{file['name']} has {path.stat().st_size} bytes, the manifest has {file['bytes']}")
        elif (digest := sha256_file(str(path))) != file["sha256"]:
            check.faults.append(f"{file['name']} has sha256 {digest[:12]}..., not {file['sha256'][:12]}...")
    listed = list(_loose_faults(folder, manifest, check))
    named = {file["name"] for file in manifest["files"]} | set(listed)
    further = sorted(set(Storage(str(folder)).tree("")) - named)
    check.faults += [f"{name} is not in the manifest" for name in further if is_of_a_format(name)]
    if not (folder / CARD_FILE).is_file():
        check.faults.append(f"{CARD_FILE} is missing: `datasets` would guess the features and fail")
    elif "card_sha256" in manifest and sha256_file(str(folder / CARD_FILE)) != manifest["card_sha256"]:
        check.faults.append(f"{CARD_FILE} is not the one that was written with the release: `datasets` may read by it")
    check.detail = f"{len(named)} files"
    return check


def _loose_faults(folder: Path, manifest: Manifest, check: Check) -> Iterator[str]:
    """Adds the faults of loose files to the check. Yields the names of all that are listed."""
    stated = {file["name"]: file["rows"] for file in manifest["files"]}
    for table in loose_tables(manifest):
        rows = check.attempt(table, lambda table=table: pq.read_table(folder / table).to_pylist()) or []  # type: ignore[misc]
        check.faults += _row_faults({table: len(rows)}, stated)
        for row in rows:
            path = folder / row["name"]
            yield row["name"]
            if not path.is_file():
                check.faults.append(f"{row['name']} is missing")
            elif path.stat().st_size != row["bytes"] or sha256_file(str(path)) != row["sha256"]:
                check.faults.append(f"{row['name']} has other bytes than {table} states")


def _row_faults(found: Mapping[str, int], stated: Mapping[str, int]) -> Iterator[str]:
    """Files with another number of rows than the manifest has. `found`: may name files that are not in it."""
    for name, rows in found.items():
        if stated.get(name, rows) != rows:
            yield f"{name} has {rows} rows, the manifest has {stated[name]}"


def _read_shards(folder: Path, manifest: Manifest, files: Check) -> tuple[list[Check], dict[str, Counter[str]]]:
    """The checks of what the files contain, and the counts of each shard. Adds wrong numbers of rows to `files`."""
    from pipelines.emit.verifiers.chat import read_by_trainers  # it and the writers import each other

    verifiers, records = _verifiers(folder, manifest), RecordVerifier()
    counts: dict[str, Counter[str]] = {}
    stated = {file["name"]: file["rows"] for file in manifest["files"]}
    names = list(stated)
    older = any(re.fullmatch(rf"{PAIR_FILES}\d+\.parquet", name) for name in names)
    for name in shards_of(names):
        split, _, number = name.partition("-")
        shard = ShardContent(split, number, older=older)
        for verifier in verifiers:
            verifier.read(shard)
        counts[name] = records.read(name, shard.records)
        counts[name]["pairs"] = shard.pairs
        files.faults += _row_faults(shard.found_rows(), stated)
    for verifier in verifiers:
        verifier.finish()
    read_by_trainers(verifiers)
    total = sum(counts.values(), Counter[str]())
    total.pop("pairs", None)
    records.finish(total, manifest["counts"], manifest.get("splits"))
    records.check.faults += [
        f"{name} holds every annotation, the manifest has that it left out {left_out}"
        for name, totals in manifest.get("formats", {}).items()
        if name in HOLD_ALL and (left_out := totals["left_out"])
    ]
    return [*(verifier.check for verifier in verifiers), records.check], counts


def _verifiers(folder: Path, manifest: Manifest) -> list[Verifier]:
    """One verifier for each format of the release that names one, in the order of FORMATS."""
    classes: list[type[Verifier]] = []
    written = formats_of(manifest)
    for name, form in FORMATS.items():
        if form.verifier and name in written:
            module, _, attribute = form.verifier.partition(":")
            classes.append(getattr(import_module(module), attribute))
    return [make(folder, manifest) for make in classes]
