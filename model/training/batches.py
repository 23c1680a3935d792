"""Batches for training, prepared ahead in threads. Step n always has the same batch, so a resumed run continues
exactly.

A step takes `batch_size` consecutive positions of the schedule. They are split into micro-batches, and each micro-batch
is split among the workers. Reading, decoding and tokenising release the GIL, so two threads keep up with training on
the same cores.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import ConfigError, ImageError
from model.florence2_tasks import OBJECT_DETECTION
from model.network.florence import MEAN, STD, Florence, Pixels
from model.training.augment import Augment
from model.training.auxiliary import Cells
from model.training.objective import IGNORED
from model.training.pair_store import PairStore, PixelStore
from model.training.sampling import Schedule

_THREADS = 2
_AHEAD = 4  # steps


@dataclass(slots=True)
class Batch:
    """One worker's part of a micro-batch. `tasks`: the task of each sample. `tensors`: pixel_values, input_ids,
    attention_mask, labels; for an auxiliary head also cell_classes and cell_places.
    """

    tensors: dict[str, Any]
    tasks: list[str]


class Batches:
    """The batches of worker `rank` of `world` workers. `unreadable`: number of images that could not be read, by
    reason.
    """

    def __init__(
        self,
        store: PairStore,
        pixels: PixelStore,
        florence: Florence,
        schedule: Schedule,
        *,
        batch_size: int,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        augment: Augment | None = None,
        cells: Cells | None = None,
    ) -> None:
        if batch_size % (accumulate * world):
            raise ConfigError(
                f"A batch of {batch_size} cannot be split into {accumulate} parts for {world} workers: set "
                f"train.batch_size to a multiple of {accumulate * world}."
            )
        self.store, self.pixels, self.florence, self.schedule = store, pixels, florence, schedule
        self.batch_size, self.accumulate, self.rank, self.world = batch_size, accumulate, rank, world
        self.augment, self.cells = augment, cells
        self.unreadable: Counter[str] = Counter()
        self._prompts: dict[str, list[int]] = {}

    def steps(self, start: int, stop: int) -> Iterator[list[Batch]]:
        """The micro-batches of each step from `start` up to `stop` (exclusive), prepared ahead."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="batches") as pool:
            waiting: deque[Future[list[Batch]]] = deque()
            try:
                for step in range(start, stop):
                    waiting.append(pool.submit(self.step, step))
                    if len(waiting) > _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def step(self, number: int) -> list[Batch]:
        positions = np.arange(number * self.batch_size, (number + 1) * self.batch_size, dtype=np.int64)
        tasks, rows = self.schedule.at(positions)
        micro = self.batch_size // self.accumulate
        return [
            self._batch(positions[part], tasks[part], rows[part])
            for part in (
                np.arange(start + self.rank, start + micro, self.world) for start in range(0, self.batch_size, micro)
            )
        ]

    def _batch(self, positions: Any, tasks: Any, rows: Any) -> Batch:
        names = [self.schedule.tasks[number] for number in tasks]
        pairs = [self.store.pair(task, row) for task, row in zip(names, rows.tolist(), strict=True)]
        images: list[Pixels] = []
        targets: list[str | None] = []
        for pair, position in zip(pairs, positions.tolist(), strict=True):
            image, target = self._sample(pair, position)
            images.append(image)
            targets.append(target)
        tensors = self._tensors(images, [pair["prompt"] for pair in pairs], targets)
        return Batch(tensors | self._cells(names, targets), names)

    def _cells(self, names: list[str], targets: list[str | None]) -> dict[str, Any]:
        """Targets of the auxiliary head. For tasks other than object detection they are set to be ignored."""
        if self.cells is None:
            return {}
        import torch

        cells = [
            self.cells(target if name == OBJECT_DETECTION else None)
            for name, target in zip(names, targets, strict=True)
        ]
        classes, places = (torch.from_numpy(np.stack(part)) for part in zip(*cells, strict=True))
        return {"cell_classes": classes, "cell_places": places}

    def _sample(self, pair: dict[str, Any], position: int) -> tuple[Pixels, str | None]:
        """(pixels, target). If an image cannot be read, the failure is counted, and the sample gets black pixels and no
        target.
        """
        try:
            image = self.pixels.read(pair["uri"], pair["offset"], pair["length"], pair["image_id"])
        except ImageError as error:
            self.unreadable[error.reason] += 1
        except FileNotFoundError:
            self.unreadable["missing"] += 1
        else:
            return self.augment(image, pair, position) if self.augment else (image, pair["target"])
        return np.zeros((self.pixels.size, self.pixels.size, 3), np.uint8), None

    def _tensors(self, images: list[Pixels], prompts: list[str], targets: list[str | None]) -> dict[str, Any]:
        import torch

        vocabulary = self.florence.vocabulary
        prompt_ids = [self._prompt(prompt) for prompt in prompts]
        target_ids = [[] if target is None else self.florence.target_ids(target) for target in targets]
        input_ids = _padded(prompt_ids, vocabulary.pad)
        labels = _padded(target_ids, IGNORED)
        return {
            "pixel_values": normalised(images),
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(
                (np.arange(input_ids.shape[1]) < np.array([[len(ids)] for ids in prompt_ids])).astype(np.int64)
            ),
            "labels": torch.from_numpy(labels),
        }

    def _prompt(self, prompt: str) -> list[int]:
        """The ids of a prompt. They are cached, because most tasks have a single prompt."""
        if prompt not in self._prompts:
            if len(self._prompts) > 1000:
                self._prompts.clear()
            self._prompts[prompt] = self.florence.prompt_ids(prompt)
        return self._prompts[prompt]


def normalised(images: list[Pixels]) -> Any:
    """n x 3 x size x size float32: the same values that the checkpoint's image processor gives for images of its own
    size.
    """
    import torch

    values = (
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    )
    values /= 255.0
    mean, std = (torch.tensor(of).view(1, 3, 1, 1) for of in (MEAN, STD))
    return values.sub_(mean).div_(std)


def _padded(rows: list[list[int]], filler: int) -> Any:
    longest = max(1, *map(len, rows))
    answer = np.full((len(rows), longest), filler, np.int64)
    for row, ids in zip(answer, rows, strict=True):
        row[: len(ids)] = ids
    return answer
