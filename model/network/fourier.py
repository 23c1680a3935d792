"""First embeddings that know which locations are near each other: waves of the coordinate, of 8 frequencies.

A network that learns from nothing else has to find out from noisy boxes that <loc_500> lies beside <loc_501>. They
are as trainable as random ones. Decoder and image places get the same waves, each in a random subspace of its own.
"""

from __future__ import annotations

import math
from typing import Any

from model.pairs.locations import BINS

FREQUENCIES = tuple(math.pi * 0.5 * 24 ** (number / 7) for number in range(8))  # .5 pi to 12 pi
_NORM = 1.2  # of a location's embedding; that of other words is as wide as the preset's text_std makes it
_NOISE = 0.02
_PLACES = 0.7  # height of the waves in the tables of rows and columns


def begin_with_waves(model: Any, first_location: int, grid: int) -> None:
    """Overwrite the location embeddings and the projector's tables of a model for images of grid x grid places."""
    import torch

    words = model.get_input_embeddings().weight
    tables = model.model.multi_modal_projector.image_position_embed
    with torch.no_grad():
        bins = (torch.arange(BINS) + 0.5) / BINS
        locations = _waves(bins) * (_NORM / math.sqrt(len(FREQUENCIES))) @ _subspace(words.shape[1])
        words[first_location : first_location + BINS] = locations + _NOISE * torch.randn_like(locations)
        for table in (tables.column_embeddings.weight, tables.row_embeddings.weight):
            places = (torch.arange(table.shape[0]) + 0.5) / grid
            table.copy_(_PLACES * _waves(places) @ _subspace(table.shape[1]))


def _waves(coordinates: Any) -> Any:
    """n x 16: cosines and sines of coordinates, 0 to 1 along the image. All of the same norm, the root of 8."""
    import torch

    angles = coordinates[:, None] * torch.tensor(FREQUENCIES)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _subspace(width: int) -> Any:
    """16 x width: orthonormal rows, random."""
    import torch

    return torch.linalg.qr(torch.randn(width, 2 * len(FREQUENCIES)))[0].t()
