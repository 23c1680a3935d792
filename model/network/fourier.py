"""Initial embeddings of locations and image positions as Fourier features, so that nearby coordinates are similar.

Without this, a network trained from scratch has to learn from noisy boxes that <loc_500> is next to <loc_501>. The
embeddings stay trainable. Locations and image positions get the same features, each in a random subspace of its own.
"""

from __future__ import annotations

import math
from typing import Any

from model.pairs.locations import BINS

FREQUENCIES = tuple(math.pi * 0.5 * 24 ** (number / 7) for number in range(8))  # .5 pi to 12 pi
_NORM = 1.2  # norm of a location's embedding; that of other words follows from the preset's text_std
_NOISE = 0.02
_POSITIONS = 0.7  # scale of the features in the tables of rows and columns


def use_fourier_features(model: Any, first_location: int, grid: int) -> None:
    """Overwrites the location embeddings and the projector's position tables. `grid`: image tokens along one side of an
    image.
    """
    import torch

    words = model.get_input_embeddings().weight
    tables = model.model.multi_modal_projector.image_position_embed
    with torch.no_grad():
        bins = (torch.arange(BINS) + 0.5) / BINS
        locations = _features(bins) * (_NORM / math.sqrt(len(FREQUENCIES))) @ _subspace(words.shape[1])
        words[first_location : first_location + BINS] = locations + _NOISE * torch.randn_like(locations)
        for table in (tables.column_embeddings.weight, tables.row_embeddings.weight):
            positions = (torch.arange(table.shape[0]) + 0.5) / grid
            table.copy_(_POSITIONS * _features(positions) @ _subspace(table.shape[1]))


def _features(coordinates: Any) -> Any:
    """The features of n coordinates from 0 to 1: n x 16 cosines and sines. Every row has the norm sqrt(8)."""
    import torch

    angles = coordinates[:, None] * torch.tensor(FREQUENCIES)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _subspace(width: int) -> Any:
    """A random subspace: 16 x width, with orthonormal rows."""
    import torch

    return torch.linalg.qr(torch.randn(width, 2 * len(FREQUENCIES)))[0].t()
