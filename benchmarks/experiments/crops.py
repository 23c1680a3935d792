"""Fine-tunes a vision tower to classify crops of single objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.learn import SIZE, world
from engine.images.decode import decode

Pixels = npt.NDArray[np.uint8]
AT = (10, 20, 40, 80, 160, 320)  # steps after which it is tested
_BATCH, _RATE, _MARGIN = 16, 5e-4, 0.15
_TRAINED, _TESTED = 300, 1000


def efficiency(model: str, *, fresh: str = "", seed: int = 0) -> dict[str, float]:
    """Accuracy on test crops, {"10 steps": accuracy, ...}.

    fresh: a checkpoint whose vision tower is used instead of the model's, such as the initial weights.
    """
    import torch
    from torch import nn

    from model.network.florence import load

    torch.manual_seed(seed)
    florence = load(fresh or model)
    network = florence.model.train()
    train, test = list(_crops(_TRAINED, seed + 5000)), list(_crops(_TESTED, seed + 6000))
    classes = {label: number for number, label in enumerate(sorted({label for _, label in train}))}
    pixels, labels = (_tensors(florence, some, classes) for some in (train, test))
    head = nn.Linear(network.get_image_features(pixels[0][:1]).pooler_output.shape[-1], len(classes))
    tower = [*network.model.vision_tower.parameters(), *network.model.multi_modal_projector.parameters()]
    optimizer = torch.optim.AdamW([*tower, *head.parameters()], lr=_RATE)
    order = np.random.default_rng(seed)
    accuracy = {}
    for step in range(1, max(AT) + 1):
        rows = torch.from_numpy(order.integers(len(train), size=_BATCH))
        logits = head(network.get_image_features(pixels[0][rows]).pooler_output.mean(dim=1))
        loss = nn.functional.cross_entropy(logits, pixels[1][rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if step in AT:
            accuracy[f"{step} steps"] = _accuracy(network, head, labels)
    return accuracy


def _accuracy(network: Any, head: Any, test: tuple[Any, Any]) -> float:
    import torch

    network.eval()
    with torch.inference_mode():
        right = sum(
            int((head(network.get_image_features(some).pooler_output.mean(dim=1)).argmax(dim=1) == true).sum())
            for some, true in zip(test[0].split(100), test[1].split(100), strict=True)
        )
    network.train()
    return right / len(test[1])


def _tensors(florence: Any, crops: list[tuple[Pixels, str]], classes: dict[str, int]) -> tuple[Any, Any]:
    import torch

    return florence.pixel_values([one for one, _ in crops]), torch.tensor([classes[label] for _, label in crops])


def _crops(count: int, seed: int) -> Iterator[tuple[Pixels, str]]:
    """The first object of each scene with a margin around it. The processor resizes it to the model's input."""
    for scene in world(count, seed):
        image = decode(scene.data)
        thing = next(region for region in scene.truth.regions if region.kind == "object")
        margin = _MARGIN * max(thing.x2 - thing.x1, thing.y2 - thing.y1)
        x1, y1 = (max(0, int(low - margin)) for low in (thing.x1, thing.y1))
        x2, y2 = (min(SIZE, int(high + margin) + 1) for high in (thing.x2, thing.y2))
        yield image[y1:y2, x1:x2], thing.label
