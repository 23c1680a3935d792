"""What a training begins with: a checkpoint that is named, or a random one of a preset, made once.

A hub id is believed until it is loaded; everything else is looked at before anything is annotated or trained.
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

_TEXTS = 100_000  # that a tokenizer is trained on


def check_init(storage: Storage, options: TrainOptions) -> None:
    """ConfigError for first weights that cannot be, and for options that they cannot have."""
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
    """What helps a network that knows nothing would spoil one that knows; our own may go on with it."""
    chosen = [name for name in ("auxiliary", "fourier_locations") if getattr(options, name)]
    ours = training_record(storage, options.init) is not None or Path(options.init, TRAINED).is_file()
    if chosen and not ours:
        raise ConfigError(
            f"train.{chosen[0]} is for presets and models trained here: leave it out for '{options.init}'."
        )


def init_digest(storage: Storage, init: str) -> str:
    """What training.json of our own models says; the sha256 of a local checkpoint; a hub id is its name."""
    if init in PRESETS:
        return init
    if (told := training_record(storage, init)) is not None:
        return str(told["key"])
    weights = Path(init, "model.safetensors")
    return sha256_file(str(weights)) if weights.is_file() else init


def first_weights(storage: Storage, options: TrainOptions, files: Sequence[str], folder: str, key: str) -> str:
    """Where they lie: in the data set, in a folder of any other place, or on the hub."""
    if options.init not in PRESETS:
        ours = storage.exists(f"{options.init}/config.json")
        # A worker of Ray runs elsewhere than this command.
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
    """Prompts and targets, the same ones in the same order whoever asks."""
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
