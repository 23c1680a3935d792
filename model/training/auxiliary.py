"""A second task for small networks that learn from nothing and from noisy boxes: what is at each place of the image.

Each image token whose place lies in the middle of a box is asked for the box's class and, by the decoder's own
location embeddings, for its four locations; the other places are background. The head is there while a model is
trained and no part of what is saved. Without it a tiny network finds no box in 3,000 steps of noisy labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.records.boxes import area
from model.pairs.locations import to_bins
from model.pairs.tasks import OBJECT_DETECTION
from model.training.augment import entries
from model.training.objective import IGNORED
from model.training.pair_store import PairStore

_BACKGROUND = 0  # its class; labels count from 1
_BACKGROUND_WEIGHT = 0.4  # of objects: 1
_PLACES_WEIGHT = 0.5  # of classes: 1
_MIDDLE = 0.6  # of a box's sides
_CLASSES = 1_000
_READ = 100_000  # pairs that classes are counted in

Ints = npt.NDArray[np.int64]


def classes_of(store: PairStore) -> dict[str, int]:
    """{label: class} of the most frequent labels of object detection. ConfigError where there are none."""
    counts: Counter[str] = Counter()
    if OBJECT_DETECTION in store.tables:
        for target in store.tables[OBJECT_DETECTION]["target"].slice(0, _READ).to_pylist():
            counts.update(label for label, _ in entries(target))
    if not counts:
        raise ConfigError(
            f"train.auxiliary learns from boxes of {OBJECT_DETECTION}, and these pairs hold none: leave it at 0."
        )
    first = sorted(counts, key=lambda label: (-counts[label], label))[:_CLASSES]
    return {label: number for number, label in enumerate(sorted(first), start=1)}


@dataclass(frozen=True, slots=True)
class Cells:
    """What each of `grid` x `grid` places is to answer, row by row."""

    classes: Mapping[str, int]
    grid: int

    def __call__(self, target: str | None) -> tuple[Ints, Ints]:
        """Classes, grid*grid, and bins of x1, y1, x2, y2, grid*grid x 4, of a target of object detection.

        Of overlapping boxes the smaller has the place. None: nothing is asked of this image.
        """
        if target is None:
            return np.full(self.grid**2, IGNORED, np.int64), np.full((self.grid**2, 4), IGNORED, np.int64)
        classes = np.full(self.grid**2, _BACKGROUND, np.int64)
        places = np.full((self.grid**2, 4), IGNORED, np.int64)
        for label, box in sorted(entries(target), key=lambda entry: -area(entry[1])):
            inside = self._middle(box)
            classes[inside] = self.classes.get(label, IGNORED)
            places[inside] = to_bins(box, 1.0)
        return classes, places

    def _middle(self, box: Sequence[float]) -> npt.NDArray[np.bool_]:
        centres = (np.arange(self.grid) + 0.5) / self.grid
        x1, y1, x2, y2 = box
        across = np.abs(centres - (x1 + x2) / 2) <= _MIDDLE / 2 * (x2 - x1)
        down = np.abs(centres - (y1 + y2) / 2) <= _MIDDLE / 2 * (y2 - y1)
        inside: npt.NDArray[np.bool_] = (down[:, None] & across[None]).ravel()
        return inside


class Head(nn.Module):
    """Reads the image tokens as the projector hands them to the text encoder, without the one for their mean."""

    weights: Tensor

    def __init__(self, width: int, classes: int, *, seed: int = 0) -> None:
        """`classes`: without background."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.norm = nn.LayerNorm(width)
            self.classes = nn.Linear(width, classes + 1)
            self.places = nn.Linear(width, 4 * width)
        weights = torch.ones(classes + 1)
        weights[_BACKGROUND] = _BACKGROUND_WEIGHT
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, features: Tensor, locations: Tensor, batch: Mapping[str, Tensor], spread: Tensor) -> Tensor:
        """[sum of the classes' losses, sum of the places' losses], float32.

        features: samples x cells x width; locations: their embeddings, 1,000 x width; spread: as in the objective,
        empty for one bin. The sums are over as much as `due` says.
        """
        features = self.norm(features)
        classes = nn.functional.cross_entropy(
            self.classes(features).flatten(0, 1).float(),
            batch["cell_classes"].flatten(),
            weight=self.weights,
            ignore_index=IGNORED,
            reduction="sum",
        )
        inside = batch["cell_places"][..., 0] != IGNORED
        wanted = batch["cell_places"][inside].flatten()
        asked = self.places(features[inside]).view(-1, locations.shape[1])
        chosen = torch.log_softmax((asked @ locations.t()).float(), dim=-1)
        places = (chosen * spread[wanted]).sum() if spread.numel() else chosen.gather(1, wanted[:, None]).sum()
        return torch.stack([classes, -places])


def due(batch: Mapping[str, Tensor]) -> tuple[float, float]:
    """(weight of all cells, number of all locations): what the sums are divided by to be means."""
    classes = batch["cell_classes"]
    objects = int((classes > _BACKGROUND).sum())
    background = int((classes == _BACKGROUND).sum())
    return objects + _BACKGROUND_WEIGHT * background, float((batch["cell_places"] != IGNORED).sum())


def joined(sums: Tensor, whole: Sequence[float]) -> Tensor:
    """The one number that is minimised. `whole`: what all parts of all workers are due."""
    return sums[0] / max(whole[0], 1.0) + _PLACES_WEIGHT * sums[1] / max(whole[1], 1.0)
