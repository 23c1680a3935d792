"""Opens a release with the libraries that its users will read it with, and checks every promise it makes.

The checks do not rely on the engine. Tars are read with webdataset and its own image decoder, tables with pyarrow, and
both again with `datasets`. Ids are recomputed from the bytes. Only the records of one shard are in memory at a time.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path

from engine.errors import ConfigError
from engine.layout import CARD_FILE, MANIFEST, SAMPLE_FILES
from engine.reading.release_manifest import Manifest, read_manifest
from engine.storage.files import Storage, sha256_file
from engine.storage.migrate import check_version
from pipelines.emit.verifiers.check import Check, Checks, ShardContent, Verifier
from pipelines.emit.verifiers.datasets import datasets_checks
from pipelines.emit.verifiers.records import RecordVerifier
from pipelines.emit.writers import FORMATS, is_of_a_format


def verify(release: str) -> Checks:
    """All checks of a release, which is a folder or a URL. A remote release is copied first.

    Raises ConfigError if there is no finished release.
    """
    with tempfile.TemporaryDirectory(prefix="verify-") as scratch:
        folder = _local(release, Path(scratch) / "copy")
        manifest = _manifest(release, folder)
        checks, counts = _read_shards(folder, manifest)
        return Checks([_files(folder, manifest), *checks, *datasets_checks(folder, manifest, counts, Path(scratch))])


def _local(release: str, copy: Path) -> Path:
    storage = Storage(release)
    if storage.local:
        return Path(storage.url)
    copy.mkdir()
    for name in storage.names(""):
        storage.fs.get_file(storage.path(name), str(copy / name))
    return copy


def _manifest(release: str, folder: Path) -> Manifest:
    try:
        manifest = read_manifest(Storage(str(folder)))
    except FileNotFoundError:
        raise ConfigError(
            f"No finished release at '{release}': it has no {MANIFEST}; give a folder under releases/."
        ) from None
    lacking = [name for name in ("counts", "pairs", "recipe", "image_extensions") if name not in manifest]
    lacking += [name for file in manifest["files"] for name in ("bytes", "sha256", "rows") if name not in file]
    if lacking:
        raise ConfigError(f"The manifest of '{release}' has no '{lacking[0]}': it is not the manifest of a release.")
    check_version(release, manifest)
    return manifest


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
    named = {file["name"] for file in manifest["files"]}
    further = sorted(path.name for path in folder.iterdir() if path.name not in named)
    check.faults += [f"{name} is not in the manifest" for name in further if is_of_a_format(name)]
    if not (folder / CARD_FILE).is_file():
        check.faults.append(f"{CARD_FILE} is missing: `datasets` would guess the features and fail")
    elif "card_sha256" in manifest and sha256_file(str(folder / CARD_FILE)) != manifest["card_sha256"]:
        check.faults.append(f"{CARD_FILE} is not the one that was written with the release: `datasets` may read by it")
    check.detail = f"{len(named)} files"
    return check


def _read_shards(folder: Path, manifest: Manifest) -> tuple[list[Check], dict[str, Counter[str]]]:
    """The checks of what the files contain, and the counts of each shard."""
    verifiers, records = _verifiers(folder, manifest), RecordVerifier()
    counts: dict[str, Counter[str]] = {}
    names = [file["name"] for file in manifest["files"] if file["name"].startswith(SAMPLE_FILES)]
    for number in sorted({Path(name).stem.removeprefix(SAMPLE_FILES) for name in names}):
        shard = ShardContent(number)
        for verifier in verifiers:
            verifier.read(shard)
        counts[shard.stem] = records.read(shard.stem, shard.records)
        counts[shard.stem]["pairs"] = shard.pairs
    for verifier in verifiers:
        verifier.finish()
    total = sum(counts.values(), Counter[str]())
    total.pop("pairs", None)
    records.finish(total, manifest["counts"])
    return [*(verifier.check for verifier in verifiers), records.check], counts


def _verifiers(folder: Path, manifest: Manifest) -> list[Verifier]:
    """One verifier for each format that names one."""
    classes: list[type[Verifier]] = []
    for form in FORMATS.values():
        if form.verifier:
            module, _, name = form.verifier.partition(":")
            classes.append(getattr(import_module(module), name))
    return [make(folder, manifest) for make in classes]
