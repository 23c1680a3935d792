"""Florence-2 with random weights, for benchmarks/gpu.py: training in bfloat16, and prediction at each batch size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.learn import draw
from benchmarks.prediction import make_questions, untrained, world
from model.decoding.predict import predict
from model.network.florence import Florence
from model.network.presets import preset_of
from model.pairs.locations import BINS
from model.training.batches import Batches
from model.training.loop import Training
from model.training.objective import Objective
from model.training.options import TrainOptions
from model.training.pair_store import PixelStore, open_pairs
from model.training.sampling import Schedule

TRAINING = "| training | steps, bfloat16 | batch | samples/s | loss of the first and last tenth | memory, GiB |"
PREDICTION = "| prediction | batch | images/s, bfloat16 | memory, GiB |"
TOKENS = 32  # that each answer of the prediction writes: </s> is disabled


def training_row(device: str, preset: str, steps: int, folder: Path, batch: int = 16) -> Iterator[str]:
    """One row. The batch is halved until it fits; the first tenth of the steps is not timed."""
    pairs = str(draw(folder / "pairs", 100, ["<OD>", "<CAPTION>"], seed=0))
    while True:
        try:
            yield _train(device, preset, steps, pairs, batch)
            return
        except torch.OutOfMemoryError:
            if batch == 1:
                yield f"| florence2, {preset} | FAILED: one sample does not fit the memory | 1 | | | |"
                return
            batch //= 2
        _release(device)


def _train(device: str, preset: str, steps: int, pairs: str, batch: int) -> str:
    options = TrainOptions(
        init=preset,
        steps=steps,
        batch_size=batch,
        learning_rate=preset_of(preset).learning_rate,
        warmup=max(1, steps // 10),
        precision="bfloat16",
        checkpoint_every=0,
    )
    florence = untrained(preset)
    with tempfile.TemporaryDirectory(prefix="pairs-") as scratch:
        store = open_pairs([pairs], florence, Path(scratch))
        batches = Batches(store, PixelStore(florence.size), florence, Schedule(store.counts), batch_size=batch)
        objective = Objective(florence.model, first_location=florence.vocabulary.first_location, bins=BINS)
        training = Training(objective, batches, options, device=device)
        losses: list[float] = []
        tenth, started = max(1, steps // 10), time.perf_counter()
        for done in training.run():
            losses.append(done.loss)  # computed by now: reading it waits for the device
            if len(losses) == tenth:
                started = time.perf_counter()
        seconds = time.perf_counter() - started
    first, last = sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth
    speed = batch * (steps - tenth) / seconds
    size = f"{preset}, {florence.parameters() / 1e6:,.0f} M, {florence.size} pixels"
    return f"| {size} | {steps} | {batch} | {speed:.1f} | {first:.2f}, {last:.2f} | {_peak(device):.2f} |"


def prediction_rows(device: str, preset: str, batches: Sequence[int], deadline: float) -> Iterator[str]:
    """One row for each batch size, until one does not fit the memory."""
    _release(device)
    florence = untrained(preset)
    florence.model.to(device=device, dtype=torch.bfloat16)
    name = f"{preset}, <OD>, {TOKENS} tokens, constrained"
    for batch in sorted(batches):
        if time.monotonic() > deadline:
            yield f"| {name} | {batch} | not measured: the time is over | |"
            continue
        _release(device)
        try:
            yield f"| {name} | {batch} | {_predictions_per_second(florence, batch):.1f} | {_peak(device):.2f} |"
        except torch.OutOfMemoryError:
            yield f"| {name} | {batch} | does not fit the memory | |"
            return


def _predictions_per_second(florence: Florence, batch: int) -> float:
    """Of one batch and its preparation; one batch before it is not timed."""
    images, questions = world(batch), make_questions(batch, ["<OD>"])
    for _ in range(2):
        started = time.perf_counter()
        predict(florence, images, questions, batch_size=batch, max_new_tokens=TOKENS)
    return batch / (time.perf_counter() - started)


def _peak(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0


def _release(device: str) -> None:
    import gc

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
