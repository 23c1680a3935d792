"""The folder of a saved model: its files, their digests, and copying it into and out of a data set.

`training.json` is written last, so a training is finished if and only if this file exists. A model with random initial
weights has `made.json` instead. Both files hold the sha256 of all other files in the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from engine.errors import DamageError
from engine.layout import MADE, TRAINED
from engine.storage.files import Storage, sha256_file
from engine.storage.sealed import read_sealed, seal, unseal

FILES = "files"  # key in training.json and made.json: {name: sha256} of the other files
_RESTORE = "restore it from a backup, or train the model again under another name."


def training_record(storage: Storage, folder: str) -> dict[str, Any] | None:
    """The content of `training.json`; None if there is no finished model. Raises DamageError if the file was
    changed.
    """
    try:
        return read_sealed(storage, f"{folder}/{TRAINED}", "restore it from a backup, or train under another name.")
    except FileNotFoundError:
        return None


def save_model(storage: Storage, folder: str, local: Path, record: dict[str, Any], *, name: str = TRAINED) -> None:
    """Copies the files of a saved model into the data set. Then writes `record`, with the digests of the files, as
    `name`.
    """
    digests = {}
    for path in sorted(local.iterdir()):
        scratch = storage.scratch(f"{folder}/{path.name}")
        os.makedirs(os.path.dirname(scratch), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)
        shutil.copyfile(path, scratch)
        digests[path.name] = sha256_file(scratch)
        storage.upload(scratch, f"{folder}/{path.name}")
    storage.put(f"{folder}/{name}", seal(record | {FILES: digests}))


def local_copy(storage: Storage, checkpoint: str, folder: Path) -> str:
    """A checkpoint of the data set ("models/...") as a local folder. It is downloaded to `folder` only if the data set
    is not local. Other paths and hub ids are returned unchanged.
    """
    if not storage.exists(f"{checkpoint}/config.json"):
        return checkpoint
    if storage.local:
        return storage.path(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    for name in storage.names(checkpoint):
        if "." in name:
            (folder / name).write_bytes(storage.read(f"{checkpoint}/{name}"))
    return str(folder)


def check_model(folder: str) -> None:
    """Raises DamageError if a file of a model trained by this engine was changed. Other checkpoints are not checked."""
    for record in (TRAINED, MADE):
        path = os.path.join(folder, record)
        if not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                digests = unseal(file.read()).get(FILES, {})
        except ValueError as error:
            raise DamageError(f"'{path}' {error}: {_RESTORE}") from None
        for name, digest in digests.items():
            if not os.path.isfile(os.path.join(folder, name)):
                raise DamageError(f"'{folder}' lacks its '{name}': {_RESTORE}")
            if sha256_file(os.path.join(folder, name)) != digest:
                raise DamageError(f"'{folder}/{name}' is damaged: {_RESTORE}")
