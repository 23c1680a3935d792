"""Checkpoints of an unfinished training: weights and optimiser state as safetensors, the number of steps done as JSON.

`state.json` is written last, so a checkpoint without it is incomplete and is ignored. Only the newest two checkpoints
are kept.
"""

from __future__ import annotations

import io
import os
import shutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import ConfigError, DamageError
from engine.storage.files import Storage, sha256_file
from engine.storage.sealed import checked_bytes, damaged, read_sealed, seal
from model.network.model_folder import FILES

# One row for each task of each step. `loss`: mean over the task's tokens. `norm`: of the gradient before clipping.
LOSSES = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("rate", pa.float64(), nullable=False),
        pa.field("norm", pa.float64(), nullable=False),
    ]
)
_KEPT = 2
_PARTS = ("weights", "optimizer")


class Checkpoints:
    """The checkpoints of one training, in the folder `checkpoints/` of its model.

    `key`: hash of everything that affects the weights. Raises ConfigError if the folder has checkpoints with another
    key.
    """

    def __init__(self, storage: Storage, folder: str, key: str) -> None:
        self.storage, self.key = storage, key
        self.folder, self.losses = f"{folder}/checkpoints", f"{folder}/losses"

    def save(
        self,
        step: int,
        weights: dict[str, Any],
        optimizer: dict[str, Any],
        history: list[dict[str, Any]],
        unreadable: dict[str, int],
    ) -> None:
        """Saves a checkpoint after `step` steps. `history`: the losses since the checkpoint before. `unreadable`:
        number of images that could not be read, by reason.
        """
        from safetensors.torch import save_file

        self.save_losses(step, history)
        name = f"{self.folder}/{step:08d}"
        files = {}
        for part, tensors in zip(_PARTS, (weights, optimizer), strict=True):
            local = self.storage.scratch(f"{name}/{part}.safetensors")
            os.makedirs(os.path.dirname(local), exist_ok=True)
            save_file({key: value.contiguous() for key, value in tensors.items()}, local)
            files[part] = sha256_file(local)
            self.storage.upload(local, f"{name}/{part}.safetensors")
        state = {"step": step, "key": self.key, "unreadable": unreadable, FILES: files}
        self.storage.put(f"{name}/state.json", seal(state))
        self._remove_old()

    def save_losses(self, step: int, history: list[dict[str, Any]]) -> None:
        """Writes losses by step and task as Parquet. A resumed run writes the same files again."""
        local = self.storage.scratch(f"{self.losses}/{step:08d}.parquet")
        pq.write_table(pa.Table.from_pylist(history, LOSSES), local, compression="zstd", write_page_checksum=True)
        self.storage.upload(local, f"{self.losses}/{step:08d}.parquet")

    def last(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | None:
        """(weights, optimizer, state) of the newest complete checkpoint; None if there is none."""
        for step in reversed(self._steps()):
            name = f"{self.folder}/{step:08d}"
            if not self.storage.exists(f"{name}/state.json"):
                continue
            try:
                state = read_sealed(self.storage, f"{name}/state.json")
            except DamageError:
                continue  # use the checkpoint before it
            if state["key"] != self.key:
                raise ConfigError(
                    f"'{self.storage.url}/{self.folder}' holds checkpoints of a training with other options: give "
                    "another name (--set train.name=NAME), or remove them."
                )
            parts = [self._read(f"{name}/{part}.safetensors", state.get(FILES, {}).get(part, "")) for part in _PARTS]
            if parts[0] is not None and parts[1] is not None:
                return parts[0], parts[1], state
        return None

    def clear(self) -> None:
        """Removes all checkpoints."""
        for step in self._steps():
            self._remove(step)

    def _read(self, name: str, sha256: str) -> dict[str, Any] | None:
        """The tensors of a file; None if the file is missing or damaged. Training then continues from an older
        checkpoint.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors: dict[str, Any] = load(checked_bytes(self.storage, name, sha256))
        except (FileNotFoundError, DamageError, SafetensorError):
            return None
        return tensors

    def _steps(self) -> list[int]:
        return sorted(int(name) for name in self.storage.names(self.folder) if name.isdigit())

    def _remove_old(self) -> None:
        for step in self._steps()[:-_KEPT]:
            self._remove(step)

    def _remove(self, step: int) -> None:
        """Removes a checkpoint. Its state is removed first, so that an interrupted removal cannot leave a checkpoint
        that looks complete.
        """
        name = f"{self.folder}/{step:08d}"
        for file in ("state.json", *(f"{part}.safetensors" for part in _PARTS)):
            self.storage.remove(f"{name}/{file}")
        if self.storage.local:  # object stores have no folders; a local one may contain unfinished files
            shutil.rmtree(self.storage.path(name), ignore_errors=True)


def losses(storage: Storage, folder: str) -> list[dict[str, Any]]:
    """Rows of LOSSES, sorted by step and task. Rows that a resumed run wrote again are listed once."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for name in storage.names(f"{folder}/losses"):
        data = io.BytesIO(storage.read(f"{folder}/losses/{name}"))
        try:
            table = pq.ParquetFile(data, page_checksum_verification=True).read()
        except (pa.ArrowException, OSError) as error:
            raise damaged(storage, f"{folder}/losses/{name}", str(error)) from error
        rows |= {(row["step"], row["task"]): row for row in table.to_pylist()}
    return [rows[key] for key in sorted(rows)]


def last_losses(rows: list[dict[str, Any]], steps: int) -> dict[str, float]:
    """For each task, the mean loss of its tokens over the last tenth of `steps`."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        if row["step"] >= steps * 9 // 10:
            own = sums.setdefault(row["task"], [0.0, 0.0])
            own[0] += row["loss"] * row["tokens"]
            own[1] += row["tokens"]
    return {task: loss / tokens for task, (loss, tokens) in sorted(sums.items())}
