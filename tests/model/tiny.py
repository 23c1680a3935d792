"""A random Florence-2 of the tiny preset, loaded from disk, with images and questions of every task."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.florence2_tasks import TASKS, Input
from model.network.encoding import Question, make_question
from model.network.florence import Florence, Pixels, build, load
from model.network.tokenizer import train_tokenizer

GIVEN: dict[Input, str] = {
    "": "",
    "caption": "a red ball",
    "names": "a red ball",
    "region": "<loc_1><loc_2><loc_500><loc_600>",
}


@functools.cache
def tiny(seed: int = 0, size: int = 64) -> Florence:
    """The model, saved and loaded like any checkpoint. It is shared: a test that changes it needs its own seed."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return load(saved(folder, seed=seed, size=size))


def saved(folder: str | Path, *, seed: int = 0, size: int = 64) -> str:
    texts = ["a red ball", "two blue rings", *(task.prompt for task in TASKS.values())]
    florence = build("tiny", train_tokenizer(texts, size=400), size=size, seed=seed)
    # Input and output embeddings are shared, so an untrained model would answer the start token </s> with itself.
    with torch.no_grad():
        florence.model.get_input_embeddings().weight[florence.vocabulary.eos] = 0
    florence.save(folder)
    return str(folder)


@contextmanager
def led(florence: Florence, target: Sequence[int], strength: float) -> Iterator[None]:
    """Raise the logits of the tokens of `target` by `strength`, as if the model had learned to write it."""
    place = 0

    def follow(_: Any, args: Any, given: dict[str, Any]) -> None:
        nonlocal place
        place = int(given["past_key_values"].get_seq_length())

    def lead(_: Any, args: Any, logits: torch.Tensor) -> torch.Tensor:
        logits[..., target[min(place, len(target) - 1)]] += strength
        return logits

    decoder = florence.model.model.language_model.decoder
    hooks = [
        decoder.register_forward_pre_hook(follow, with_kwargs=True),
        florence.model.lm_head.register_forward_hook(lead),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def noise(count: int, *, seed: int = 0) -> list[Pixels]:
    """Random images of different sizes, none of them square."""
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (50 + 7 * place, 90, 3), dtype=np.uint8) for place in range(count)]


def all_questions(images: int, tasks: Sequence[str] = tuple(TASKS)) -> list[Question]:
    return [make_question(image, task, GIVEN[TASKS[task].input]) for image in range(images) for task in tasks]
