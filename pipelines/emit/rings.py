"""Joins the parts of a mask into one polygon, for formats that have only one polygon for an object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def joined(parts: Sequence[Sequence[float]]) -> list[float]:
    """One polygon x, y, x, y, ... around all parts.

    From the nearest corner, a line of no width leads to the next part and back. All parts must run in the same
    direction; the area of the polygon is then the sum of their areas.
    """
    whole = _corners(parts[0])
    for part in parts[1:]:
        corners = _corners(part)
        distances = ((whole[:, None] - corners[None]) ** 2).sum(axis=2)
        at, start = np.unravel_index(int(distances.argmin()), distances.shape)
        way = np.concatenate([corners[start:], corners[: start + 1]])
        whole = np.concatenate([whole[: at + 1], way, whole[at:]])
    found: list[float] = whole.reshape(-1).tolist()
    return found


def _corners(part: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.asarray(part, np.float64).reshape(-1, 2)
