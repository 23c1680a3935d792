"""What the adapters, training and prediction do on a GPU, on one machine with one GPU, in less than eight minutes.

    python -m benchmarks.gpu                                   random weights, sizes of the released checkpoints
    python -m benchmarks.gpu --checkpoint hf_detector=ustc-community/dfine-large-coco
    python -m benchmarks.gpu --device cpu --tiny               a test of this file, in a minute

Each adapter annotates the same images twice in float32: on the CPU one by one, and on the device in batches. "Same
answers" is the share of annotations that both have (benchmarks/gpu_answers.py: the tolerances). Then it is timed, in
float32 and bfloat16. Memory is the highest that torch allocated; onnxruntime's own is not in it. A measurement that
fails is a row with its error, and the command ends with 1. Each row is printed as soon as it is there; the tables come
at the end, as Markdown.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_answers import same_answers
from benchmarks.gpu_checkpoints import SIZED, TINY, make, parameters
from benchmarks.gpu_florence import PREDICTION, TRAINING, prediction_rows, training_row
from engine.config.catalog import resolve
from engine.schema import Answer, Region, Sample, Text
from specialists import CATALOG

ADAPTERS = "| adapter | model | same answers | float32, images/s | bfloat16, images/s | memory, GiB | batch |"
LABELS = ["ball", "cat", "dog", "man", "street"]


@dataclass(frozen=True, slots=True)
class Role:
    """One adapter with its options. `model`: a key of SIZED and TINY."""

    use: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 16
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    least: float = 0.95  # share of equal answers below which a row has failed; one other token changes a whole text


# Floors are low because the scores of random weights are.
ROLES: dict[str, Role] = {
    "hf_detector": Role("hf_detector", "d_fine", {"min_score": 0.0, "max_boxes": 20}),
    "hf_detector, masks": Role("hf_detector", "rf_detr_masks", {"min_score": 0.0, "max_boxes": 20}),
    "hf_grounder": Role(
        "hf_grounder", "mm_grounding_dino", {"labels": LABELS, "box_floor": 0.0, "phrase_floor": 0.0}, batch=8
    ),
    "sam": Role("sam", "sam2", {"min_score": 0.0, "min_quality": 0.0}, batch=8),
    "hf_captioner": Role("hf_captioner", "blip", {"max_new_tokens": 16}, least=0.5),
    "region_captioner": Role("region_captioner", "blip", {"max_new_tokens": 8, "min_score": 0.0}, batch=4, least=0.5),
    "image_text_scorer": Role("image_text_scorer", "siglip", {"min_score": 0.0}),
    "embed": Role("embed", "siglip"),
    "florence2": Role("florence2", "florence2", {"tasks": ["<CAPTION>", "<OD>"], "max_new_tokens": 16}, least=0.5),
    "onnx_detector": Role("onnx_detector", "onnx", {"head": "fastestdet"}, dtypes=("float32",)),
}


@dataclass(frozen=True, slots=True)
class Run:
    """Where and how long. `seconds`: of each timing. `check`: images whose answers are compared."""

    device: str
    tiny: bool
    seconds: float
    check: int
    deadline: float
    given: Mapping[str, str]  # {role: checkpoint}
    folder: Path

    def checkpoint(self, name: str) -> str:
        """The one given for the role; else a random one, which is made when it is first needed."""
        model = ROLES[name].model
        folder = self.folder / model
        if name in self.given:
            return self.given[name]
        return str(folder) if folder.exists() else make((TINY if self.tiny else SIZED)[model], folder)


def pictures(count: int, side: int) -> list[Sample]:
    """Coloured noise of various shapes, with a text and four regions each."""
    import cv2

    random, shapes = np.random.default_rng(0), ((side, side * 3 // 4), (side * 3 // 4, side), (side, side))
    answer = []
    for number in range(count):
        width, height = shapes[number % 3]
        pixels = cv2.resize(random.integers(0, 256, (12, 16, 3), np.uint8), (width, height))
        sample = Sample(str(number), width, height, np.asarray(pixels, np.uint8))
        sample.texts = [Text("a red ball and a dog on the street", "brief", id="words/0", score=1.0)]
        for corner in range(4):
            x, y = (corner % 2) * width / 3, (corner // 2) * height / 3
            region = Region(x, y, x + width / 2, y + height / 2, "ball", id=f"objects/{corner}", score=0.9)
            sample.regions.append(region)
        answer.append(sample)
    return answer


def adapter_rows(run: Run, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if time.monotonic() > run.deadline:
            yield f"| {name} | not measured: the time is over | | | | | |"
            continue
        try:
            yield adapter_row(run, name, ROLES[name])
        except Exception as error:  # noqa: BLE001 - the other rows are still worth having
            yield f"| {name} | FAILED: {first_line(error)} | | | | | |"
        release_memory()


def adapter_row(run: Run, name: str, role: Role) -> str:
    checkpoint = run.checkpoint(name)
    batch = min(role.batch, 2) if run.tiny else role.batch
    samples = pictures(batch, 64 if run.tiny else 640)
    alone = loaded(role, checkpoint, "cpu", "float32")
    reference = [answer for sample in samples[: run.check] for answer in alone.annotate([sample])]
    del alone
    same, speeds, memory = "", {}, 0.0
    for dtype in role.dtypes:
        release_memory()
        adapter = loaded(role, checkpoint, run.device, dtype)
        with full_precision():
            answers = list(adapter.annotate(samples))  # the first batch is not timed
        same = same or share(role, samples[: run.check], reference, answers[: run.check])
        speeds[dtype] = f"{images_per_second(adapter, samples, run.seconds):.1f}"
        memory = peak_memory(run.device)
        del adapter
    size = f"{run.given.get(name, role.model)}, {parameters(checkpoint) / 1e6:,.0f} M"
    cells = [name, size, same, speeds["float32"], speeds.get("bfloat16", "-"), f"{memory:.2f}", batch]
    return "| " + " | ".join(map(str, cells)) + " |"


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32, which torch uses in convolutions: it has ten bits, so answers would not be those of the CPU."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def loaded(role: Role, checkpoint: str, device: str, dtype: str) -> Any:
    cpus = float(os.cpu_count() or 1)
    _, component = resolve("component", role.use, CATALOG)
    where: dict[str, Any] = {"gpus": 1.0 if device == "cuda" else 0.0, "batch_size": role.batch}
    if role.use == "onnx_detector":
        where["weights"] = checkpoint if checkpoint.endswith(".onnx") else f"{checkpoint}/model.onnx"
    else:
        where |= {"checkpoint": checkpoint, "dtype": dtype, "cpus": cpus}
    made = component(**role.options, **where)
    made.load()
    return made


def share(role: Role, samples: Sequence[Sample], reference: Sequence[Answer], answers: Sequence[Answer]) -> str:
    same, total = same_answers(samples, reference, answers)
    return f"{same} of {total}{'' if total and same >= role.least * total else ' FAILED'}"


def images_per_second(adapter: Any, samples: Sequence[Sample], seconds: float) -> float:
    started, done = time.perf_counter(), 0
    while not done or time.perf_counter() - started < seconds:
        adapter.annotate(samples)
        done += len(samples)
    return done / (time.perf_counter() - started)


def peak_memory(device: str) -> float:
    """GiB, since the last release_memory; 0 on the CPU."""
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0


def release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200].replace("|", "/")


def machine(device: str) -> str:
    if device == "cpu":
        return f"CPU, {os.cpu_count()} cores, torch {torch.__version__}"
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, torch {torch.__version__}"


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny checkpoints instead of those of realistic size")
    parser.add_argument("--checkpoint", action="append", default=[], metavar="ROLE=CHECKPOINT", help="a real one")
    parser.add_argument("--only", nargs="*", default=[*ROLES, "training", "prediction"], help="what to measure")
    parser.add_argument("--minutes", type=float, default=7.0, help="no measurement starts later")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each timing")
    parser.add_argument("--check", type=int, default=4, help="images whose answers are compared with the CPU's")
    parser.add_argument("--steps", type=int, default=100, help="of training")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64], help="of prediction")
    given = parser.parse_args(arguments)
    unknown = {one.partition("=")[0] for one in given.checkpoint} - ROLES.keys()
    unknown |= set(given.only) - {*ROLES, "training", "prediction"}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(ROLES)}, training, prediction")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here: give --device cpu --tiny, or install torch for CUDA")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    given = options(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        checkpoints = dict(one.split("=", 1) for one in given.checkpoint)
        deadline = started + 60 * given.minutes
        run = Run(given.device, given.tiny, given.seconds, given.check, deadline, checkpoints, Path(folder))
        tables = [(ADAPTERS, adapter_rows(run, [name for name in ROLES if name in given.only]))]
        preset = "tiny" if given.tiny else "base"
        if "training" in given.only:
            tables.append((TRAINING, training_row(run.device, preset, given.steps, run.folder)))
        if "prediction" in given.only:
            tables.append((PREDICTION, prediction_rows(run.device, preset, given.batches, deadline)))
        found = [(head, list(printed(rows))) for head, rows in tables]
    print(f"\n{machine(given.device)}; {time.monotonic() - started:.0f} s")
    for head, rows in found:
        print(f"\n{head}\n{'|---' * (head.count('|') - 1)}|", *rows, sep="\n")
    return int(any("FAILED" in row for _, rows in found for row in rows))


def printed(rows: Iterator[str]) -> Iterator[str]:
    for row in rows:
        print(row, flush=True)
        yield row


if __name__ == "__main__":
    raise SystemExit(main())
