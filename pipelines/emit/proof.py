"""The proof of a release: what `engine verify` found, in a file beside the release."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from engine.errors import StorageError
from engine.layout import MANIFEST, PROOF
from engine.storage.files import Storage
from engine.storage.sealed import seal
from pipelines.emit.verifiers.check import Checks

_READERS = (
    *("webdataset", "pyarrow", "datasets", "pillow", "duckdb", "torch"),
    *("pycocotools", "supervision", "trl", "megatron-energon"),
)


def write_proof(release: str, checks: Checks) -> str:
    """Writes the proof, and returns its path; '' if the folder above the release cannot be written.

    It holds the digest of the manifest, each check with its faults, and the versions of the libraries that read the
    release. It names no paths of this machine and no time, so the same release gives the same proof.
    """
    above, _, name = release.rstrip("/").rpartition("/")
    own = Storage(release)
    parent = Storage(above or ("/" if release.startswith("/") else "."))
    found = {
        "release": name,
        "manifest_sha256": hashlib.sha256(own.read(MANIFEST)).hexdigest(),
        "ok": checks.ok,
        "checks": [asdict(check) for check in checks],
        "versions": {package: found for package in _READERS if (found := _version(package))},
    }
    try:
        parent.put(f"{name}{PROOF}", seal(found))
    except (StorageError, OSError):
        return ""
    return f"{parent.url}/{name}{PROOF}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
