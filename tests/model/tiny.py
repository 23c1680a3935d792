"""A random Florence-2 of the tiny preset that has been on disk, images, and questions of every task."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.encoding import Ask, ask
from model.florence import Florence, Pixels, build, load
from model.prompts import TASKS, Takes
from model.tokenizer import train_tokenizer

GIVEN: dict[Takes, str] = {"": "", "text": "a red ball", "region": "<loc_1><loc_2><loc_500><loc_600>"}


@functools.cache
def tiny(seed: int = 0, size: int = 64) -> Florence:
    """Saved and loaded as any checkpoint is. Who changes it makes one of their own: give another seed."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return load(saved(folder, seed=seed, size=size))


def saved(folder: str | Path, *, seed: int = 0, size: int = 64) -> str:
    texts = ["a red ball", "two blue rings", *(task.prompt for task in TASKS.values())]
    build("tiny", train_tokenizer(texts, size=400), size=size, seed=seed).save(folder)
    return str(folder)


def noise(count: int, *, seed: int = 0) -> list[Pixels]:
    """Images of different sizes, none of them square."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (50 + 7 * place, 90, 3), dtype=np.uint8) for place in range(count)]


def asked(images: int, tasks: Sequence[str] = tuple(TASKS)) -> list[Ask]:
    return [ask(image, task, GIVEN[TASKS[task].takes]) for image in range(images) for task in tasks]
