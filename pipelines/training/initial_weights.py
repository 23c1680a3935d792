"""The weights that a training starts from: a given checkpoint, or random weights of a preset, which are made once.

Local checkpoints are checked before anything is annotated or trained. A hub id is checked only when it is loaded.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import ConfigError
from engine.extras import FLORENCE, require
from engine.layout import INITIAL, MADE, TRAINED
from engine.storage.files import Storage, sha256_file
from engine.storage.sealed import read_sealed
from model.network.florence import check_checkpoint
from model.network.model_folder import save_model, training_record
from model.network.presets import PRESETS, check_size, preset_of
from model.training.options import TrainOptions

_TEXTS = 100_000  # number of texts that a tokenizer is trained on


def check_init(storage: Storage, options: TrainOptions) -> None:
    """Raises ConfigError if the checkpoint does not exist, or if the options do not fit the initial weights."""
    require("Training", [*FLORENCE, "matplotlib"])
    if options.init in PRESETS:
        check_size(preset_of(options.init), options.size or preset_of(options.init).size)
        return
    if options.vocabulary or options.size:
        raise ConfigError("train.vocabulary and train.size are for presets; a checkpoint has its own.")
    if not storage.exists(f"{options.init}/config.json"):
        check_checkpoint(options.init)
    _refuse_released(storage, options)


def _refuse_released(storage: Storage, options: TrainOptions) -> None:
    """Raises ConfigError for options that are meant for untrained networks: they would spoil a released checkpoint."""
    chosen = [name for name in ("auxiliary", "fourier_locations") if getattr(options, name)]
    ours = training_record(storage, options.init) is not None or Path(options.init, TRAINED).is_file()
    if chosen and not ours:
        raise ConfigError(
            f"train.{chosen[0]} is for presets and models trained here: leave it out for '{options.init}'."
        )


def init_digest(storage: Storage, init: str) -> str:
    """What identifies the weights: the key of a model trained here, the sha256 of a local checkpoint, or the hub id."""
    if init in PRESETS:
        return init
    if (record := training_record(storage, init)) is not None:
        return str(record["key"])
    weights = Path(init, "model.safetensors")
    return sha256_file(str(weights)) if weights.is_file() else init


def first_weights(storage: Storage, options: TrainOptions, files: Sequence[str], folder: str, key: str) -> str:
    """Where the weights are: a folder in the data set, another folder, or a hub id."""
    if options.init not in PRESETS:
        ours = storage.exists(f"{options.init}/config.json")
        # The path is absolute, because a Ray worker runs in another folder than this command.
        return os.path.abspath(options.init) if os.path.isdir(options.init) and not ours else options.init
    init = f"{folder}/{INITIAL}"
    if storage.exists(f"{init}/{MADE}") and read_sealed(storage, f"{init}/{MADE}").get("key") == key:
        return init
    from model.network.florence import build
    from model.network.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(
        _texts(files, options.tasks), size=options.vocabulary or preset_of(options.init).vocabulary
    )
    florence = build(options.init, tokenizer, size=options.size, seed=options.seed, fourier=options.fourier_locations)
    with tempfile.TemporaryDirectory(prefix="init-") as local:
        florence.save(local)
        save_model(storage, init, Path(local), {"key": key}, name=MADE)
    return init


def _texts(files: Sequence[str], tasks: Sequence[str]) -> Iterator[str]:
    """Yields prompts and targets to train a tokenizer on, in a fixed order."""
    import pyarrow.parquet as pq

    left = _TEXTS
    for file in files:
        parent = Storage(file.rpartition("/")[0])
        with parent.open(file.rpartition("/")[2]) as data:
            for batch in pq.ParquetFile(data).iter_batches(10_000, columns=["task", "prompt", "target"]):
                for row in batch.to_pylist():
                    if not tasks or row["task"] in tasks:
                        yield row["prompt"]
                        yield row["target"]
                        left -= 1
                    if left <= 0:
                        return
