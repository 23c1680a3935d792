"""A perceptual hash of 256 bits: near-duplicates differ in few of its bits, different photos in about half.

An image that is flat or a plain gradient has no hash (''), because the hashes of all such images would be similar. Do
not compare ''. Exact copies are found by their sha256. A mirrored, rotated or grey copy of an image has a different
hash.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.images.decode import Pixels

Hashes = npt.NDArray[np.uint64]  # n x 4 words. The first bit of the hex digits is the highest bit of the first word
Ints = npt.NDArray[np.int64]

BITS = 256
WORDS = BITS // 64
SIDE = 64  # an image of any shape is reduced to SIDE x SIDE pixels, so a stretched copy is a near-duplicate
FREQUENCIES = 10  # the lowest frequencies in each direction; 86 of their 100 products are used
FIXED = 1024  # cosines are integers in units of 1 / FIXED, so that sums are the same on every machine
CHROMA = 6  # weight of colour relative to brightness; a grey image has brightness only
NOISE = (2.5, 20.0, 20.0)  # noise of each plane from rounding to 8 bits: 1.4 times the measured value
UNDECIDED = 96  # an image has no hash if rounding noise could flip at least so many bits

# Images that differ in at most so many bits are near-duplicates: re-encoded, scaled, or cropped by 3 %, for example.
# Different photos differ in 79 bits or more (10,878 pairs), a stereo pair in 55. See benchmarks/near_duplicates.py.
RADIUS = 39


def perceptual_hash(pixels: Pixels) -> str:
    """The hash of upright RGB pixels of any size: 64 hex digits, or '' for an image without a hash.

    Its bits are the signs of the lowest frequencies of brightness and of two colour planes (as in pHash: the DCT of a
    small image). The image fades out towards its edges, so that a crop changes little. All sums are sums of integers.
    """
    planes = _planes(_small(pixels))
    first, second = _order()
    bits, undecided = [], 0
    for plane, noise, number in zip(planes, NOISE, (86, 85, 85), strict=True):
        found = _frequencies(plane)[first[:number], second[:number]]
        bits.append(found > 0)
        undecided += int((np.abs(found) < noise * _spread()).sum())
    return "" if undecided >= UNDECIDED else np.packbits(np.concatenate(bits)).tobytes().hex()


def hashes_to_array(hashes: Sequence[str]) -> Hashes:
    """The hashes as an array, n x 4. None of them may be ''."""
    odd = next((found for found in hashes if len(found) != BITS // 4), None)
    if odd is not None:
        raise EngineError(f"'{odd}' is not a hash: expected {BITS // 4} hex digits; leave out images without a hash.")
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64).reshape(-1, WORDS)


def _small(pixels: Pixels) -> Ints:
    """The image reduced to SIDE x SIDE x 3 by weighted averages.

    Plain averages would alias fine patterns, such as bricks.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small).astype(np.int64)


def _planes(small: Ints) -> list[Ints]:
    """Three planes, in eighths of a grey level: brightness, one in which blue dominates, one in which red dominates."""
    brightness = small @ np.array([2, 5, 1])
    return [brightness, *(brightness + CHROMA * (8 * small[:, :, channel] - brightness) for channel in (2, 0))]


def _frequencies(plane: Ints) -> Ints:
    waves, window = _waves()
    weights = np.outer(window, window)
    mean = (plane * weights).sum() // weights.sum()
    found: Ints = waves @ (plane - mean) @ waves.T
    return found


@functools.cache
def _waves() -> tuple[Ints, Ints]:
    """Cosines times the window, FREQUENCIES x SIDE, and the window. Both are integers in units of 1 / FIXED."""
    position = (np.arange(SIDE) + 0.5) / SIDE
    window = np.sin(np.pi * position) ** 0.75
    waves = window * np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * position)
    return np.rint(FIXED * waves).astype(np.int64), np.rint(FIXED * window).astype(np.int64)


@functools.cache
def _order() -> tuple[Ints, Ints]:
    """The vertical and the horizontal frequency of each product, the lowest first.

    The mean, which is first, is left out.
    """
    down, across = np.indices((FREQUENCIES, FREQUENCIES)).reshape(2, -1)
    order = np.lexsort((down, down + across, np.maximum(down, across)))[1:]
    return down[order], across[order]


@functools.cache
def _spread() -> float:
    """How much a frequency changes on average if every pixel has a noise of one eighth of a grey level."""
    return float((_waves()[0] ** 2).sum(axis=1).mean())
