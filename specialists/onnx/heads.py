"""The input and output formats of three families of small ONNX detectors.

A head turns RGB pixels into an input blob, and the network's raw outputs into boxes in pixels of that input. Three
details are easy to get wrong: the channel order is BGR, each family scales and letterboxes in its own way, and the cell
centres of NanoDet are offset by half a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Fit:
    """How the image was placed in the network's input, in pixels: input = image * scale + pad."""

    scale_x: float
    scale_y: float
    pad_x: int = 0
    pad_y: int = 0

    def to_image(self, boxes: Floats) -> Floats:
        pad = np.array([self.pad_x, self.pad_y, self.pad_x, self.pad_y], np.float32)
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        return np.asarray((boxes - pad) / scale, np.float32)


@dataclass(frozen=True, slots=True)
class Head:
    """One model family. `size`: the usual side of its square input, in pixels. `outputs`: the number of outputs that
    the network must have. `prepare`: turns RGB pixels and an input size into a blob and its `Fit`. `decode`: turns the
    outputs, the input size and the lowest score that matters into boxes (n x 4, in pixels of the input) and scores
    (n x classes). It leaves out the cells whose scores are all lower, because most cells are.
    """

    size: int
    outputs: int
    prepare: Callable[[Pixels, int], tuple[Floats, Fit]]
    decode: Callable[[Sequence[Floats], int, float], tuple[Floats, Floats]]


def _blob(canvas: Pixels) -> Floats:
    """Converts an image from height x width x RGB to a blob of 1 x BGR x height x width."""
    return np.ascontiguousarray(canvas[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32)


def _letterbox(
    pixels: Pixels, inner: tuple[int, int], corner: tuple[int, int], size: int, fill: tuple[int, int, int]
) -> Pixels:
    import cv2

    (width, height), (x, y) = inner, corner
    small, below, right = cv2.resize(pixels, inner), size - height - y, size - width - x
    return np.asarray(cv2.copyMakeBorder(small, y, below, x, right, cv2.BORDER_CONSTANT, value=fill), np.uint8)


_YOLOX_GREY = (114, 114, 114)


def _prepare_yolox(pixels: Pixels, size: int) -> tuple[Floats, Fit]:
    """The input blob of YOLOX. The image is placed at the top left of the square, and its scaled sides are rounded
    down.
    """
    height, width = pixels.shape[:2]
    scale = min(size / width, size / height)
    inner = (max(1, int(width * scale)), max(1, int(height * scale)))
    blob = _blob(_letterbox(pixels, inner, (0, 0), size, _YOLOX_GREY))
    return blob, Fit(inner[0] / width, inner[1] / height)


@cache
def _grid(size: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """All cells of all strides: the top left corner of each cell, counted in cells (n x 2), and its stride in pixels (n
    x 1). The smallest stride comes first, and the cells of each stride are listed row by row.
    """
    cells, steps = [], []
    for stride in strides:
        side = -(-size // stride)
        ys, xs = np.mgrid[:side, :side]
        cells.append(np.stack([xs.ravel(), ys.ravel()], axis=1))
        steps.append(np.full((side * side, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _reaching(best: Floats, min_score: float) -> npt.NDArray[np.int64]:
    """The cells whose best score reaches the limit, or is NaN, which says nothing of their other scores."""
    return np.flatnonzero(~(best < min_score))


def _decode_yolox(outputs: Sequence[Floats], size: int, min_score: float) -> tuple[Floats, Floats]:
    raw = outputs[0][0]
    found = _reaching(raw[:, 5:].max(axis=1) * raw[:, 4], min_score)
    raw, (cells, strides) = raw[found], (part[found] for part in _grid(size, (8, 16, 32)))
    centres = (raw[:, :2] + cells) * strides
    halves = np.exp(raw[:, 2:4]) * strides / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), raw[:, 5:] * raw[:, 4:5]


_NANODET_MEAN = np.array([103.53, 116.28, 123.675], np.float32).reshape(1, 3, 1, 1)
_NANODET_STD = np.array([57.375, 57.12, 58.395], np.float32).reshape(1, 3, 1, 1)
_NANODET_FILL = (124, 116, 104)  # the mean as RGB, so that the padding is nearly 0 after normalisation


def _prepare_nanodet(pixels: Pixels, size: int) -> tuple[Floats, Fit]:
    """The input blob of NanoDet. The image is placed in the centre of the square, and its scaled sides are rounded to
    the nearest pixel.
    """
    height, width = pixels.shape[:2]
    scale = min(size / width, size / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    corner = ((size - inner[0]) // 2, (size - inner[1]) // 2)
    blob = _blob(_letterbox(pixels, inner, corner, size, _NANODET_FILL))
    blob -= _NANODET_MEAN
    blob /= _NANODET_STD
    return blob, Fit(inner[0] / width, inner[1] / height, *corner)


def _decode_nanodet(outputs: Sequence[Floats], size: int, min_score: float) -> tuple[Floats, Floats]:
    """Boxes and scores of NanoDet. For each of the four edges of a box the network gives a distribution over multiples
    of the stride. The mean of the distribution is the distance of that edge from the centre of the cell.
    """
    scores = np.concatenate([output[0] for output in outputs[:3]])
    found = _reaching(scores.max(axis=1), min_score)
    scores, sides = scores[found], np.concatenate([output[0] for output in outputs[3:]])[found]
    bins = sides.reshape(len(sides), 4, -1)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    cells, strides = (part[found] for part in _grid(size, (8, 16, 32)))
    steps = np.arange(bins.shape[2], dtype=np.float32)
    distance = (weights @ steps) / weights.sum(axis=2) * strides
    centres = cells * strides + (strides - 1) / 2
    return np.concatenate([centres - distance[:, :2], centres + distance[:, 2:]], axis=1), scores


def _prepare_fastestdet(pixels: Pixels, size: int) -> tuple[Floats, Fit]:
    import cv2

    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    blob = _blob(np.asarray(small, np.uint8))
    blob /= 255
    return blob, Fit(size / width, size / height)


def _decode_fastestdet(outputs: Sequence[Floats], size: int, min_score: float) -> tuple[Floats, Floats]:
    """Boxes and scores of FastestDet. Its channels are: objectness, offset of the centre (2), width and height as
    shares of the input (2), and one for each class.
    """
    channels, rows, columns = outputs[0][0].shape
    raw = outputs[0][0].reshape(channels, rows * columns).T
    cells, _ = _grid(rows, (1,))
    centres = (np.tanh(raw[:, 1:3]) + cells) * (size / np.array([columns, rows], np.float32))
    halves = size / 2 / (1 + np.exp(-raw[:, 3:5]))
    scores = raw[:, :1] ** 0.6 * raw[:, 5:] ** 0.4
    found = _reaching(scores.max(axis=1), min_score)
    return np.concatenate([centres - halves, centres + halves], axis=1)[found], scores[found]


HEADS: dict[str, Head] = {
    "yolox": Head(416, 1, _prepare_yolox, _decode_yolox),
    "nanodet": Head(416, 6, _prepare_nanodet, _decode_nanodet),
    "fastestdet": Head(352, 1, _prepare_fastestdet, _decode_fastestdet),
}
