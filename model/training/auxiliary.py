"""An auxiliary loss for small networks trained from scratch on noisy boxes: predict the object at each image token.

Each image token in the middle of a box has to predict the class of the box and its four locations, by the decoder's
location embeddings. All other image tokens have to predict background. The head is used only in training and is not
saved. Without this loss, a tiny network still finds no boxes after 3,000 steps on noisy labels.
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
from model.florence2_tasks import OBJECT_DETECTION
from model.pairs.locations import to_bins
from model.training.augment import entries
from model.training.objective import IGNORED
from model.training.pair_store import PairStore

_BACKGROUND = 0  # the class of background; classes of labels start at 1
_BACKGROUND_WEIGHT = 0.4  # weight in the class loss; objects have 1
_LOCATIONS_WEIGHT = 0.5  # weight of the location loss; the class loss has 1
_MIDDLE = 0.6  # share of a box's sides that counts as its middle
_CLASSES = 1_000
_READ = 100_000  # pairs in which labels are counted

Ints = npt.NDArray[np.int64]


def classes_of(store: PairStore) -> dict[str, int]:
    """{label: class} for the most frequent labels of object detection. Raises ConfigError if the pairs have no boxes
    for it.
    """
    counts: Counter[str] = Counter()
    if OBJECT_DETECTION in store.tables:
        for target in store.tables[OBJECT_DETECTION]["target"].slice(0, _READ).to_pylist():
            counts.update(label for label, _ in entries(target))
    if not counts:
        raise ConfigError(
            f"train.auxiliary learns from boxes of {OBJECT_DETECTION}, which these pairs do not have: set it to 0."
        )
    first = sorted(counts, key=lambda label: (-counts[label], label))[:_CLASSES]
    return {label: number for number, label in enumerate(sorted(first), start=1)}


@dataclass(frozen=True, slots=True)
class Cells:
    """The training targets of the `grid` x `grid` image tokens, row by row."""

    classes: Mapping[str, int]
    grid: int

    def __call__(self, target: str | None) -> tuple[Ints, Ints]:
        """(classes, locations) for a target of object detection. Classes have the shape grid*grid. Locations are the
        bins of x1, y1, x2, y2, with the shape grid*grid x 4.

        Where boxes overlap, the smaller box is used. If the target is None, the loss ignores all image tokens.
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
    """Predicts classes and locations from the projected image tokens, except from the token for their mean."""

    weights: Tensor

    def __init__(self, width: int, classes: int, *, seed: int = 0) -> None:
        """`classes`: number of classes, not counting background."""
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
        """[sum of class losses, sum of location losses], float32. Divide by `loss_weights` to get means.

        features: samples x image tokens x width. locations: the location embeddings, 1,000 x width. spread: the target
        distributions of objective.py; empty for hard targets.
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
        predicted = self.places(features[inside]).view(-1, locations.shape[1])
        chosen = torch.log_softmax((predicted @ locations.t()).float(), dim=-1)
        places = (chosen * spread[wanted]).sum() if spread.numel() else chosen.gather(1, wanted[:, None]).sum()
        return torch.stack([classes, -places])


def loss_weights(batch: Mapping[str, Tensor]) -> tuple[float, float]:
    """(total class weight of the image tokens, number of location targets). Dividing the two sums of `Head.forward` by
    these gives mean losses.
    """
    classes = batch["cell_classes"]
    objects = int((classes > _BACKGROUND).sum())
    background = int((classes == _BACKGROUND).sum())
    return objects + _BACKGROUND_WEIGHT * background, float((batch["cell_places"] != IGNORED).sum())


def joined_loss(sums: Tensor, weights: Sequence[float]) -> Tensor:
    """The loss to minimise. `sums`: from `Head.forward`. `weights`: total `loss_weights` of the step, over all
    micro-batches and workers.
    """
    return sums[0] / max(weights[0], 1.0) + _LOCATIONS_WEIGHT * sums[1] / max(weights[1], 1.0)
