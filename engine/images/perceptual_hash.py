"""A perceptual hash of 256 bits: near-duplicates differ in few of them, different photos in about half.

'' means that an image has no hash: it is flat or a plain gradient, and two such would seem one image. Never compare
it with anything; exact copies are found by their sha256. The hash is no measure of likeness beyond near-duplicates:
a mirrored, a turned or a grey copy of a colour photo is another image to it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import EngineError
from engine.images.decode import Pixels

Hashes = npt.NDArray[np.uint64]  # n x 4: the hex digits in order, the first bit the highest of the first word
Ints = npt.NDArray[np.int64]

BITS = 256
WORDS = BITS // 64
SIDE = 64  # the image is seen as SIDE x SIDE averages, whatever its shape: a stretched copy is a near-duplicate
FREQUENCIES = 10  # the lowest a side; 86 of their 100 products are used
FIXED = 1024  # cosines are whole numbers of this part: sums are then the same on every machine
CHROMA = 6  # how far colour outweighs brightness; a grey image falls back on brightness alone
NOISE = (2.5, 20.0, 20.0)  # of rounding to 8 bits, in each plane: 1.4 times what it does to brightness and to colours
UNDECIDED = 96  # no hash if rounding to 8 bits alone could decide so many of its bits

# Up to so many bits apart, two images are one: it holds re-encoding, scaling and crops of 3 %. Different photos were
# never nearer than 79 (10,878 pairs), the two eyes of a stereo pair 55. See benchmarks/near_duplicates.py.
RADIUS = 39


def perceptual_hash(pixels: Pixels) -> str:
    """64 hex digits, or '' for an image without a hash. Upright RGB of any size.

    The signs of the lowest frequencies of brightness and of two colour planes (pHash: DCT of a small image). The image
    fades out towards its edges, so that what a crop cuts off counts little. All sums are of integers.
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
    """n x 4 for n hashes, none of them ''."""
    odd = next((found for found in hashes if len(found) != BITS // 4), None)
    if odd is not None:
        raise EngineError(f"'{odd}' is no hash: expected {BITS // 4} hex digits; leave images without a hash out.")
    return np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64).reshape(-1, WORDS)


def _small(pixels: Pixels) -> Ints:
    """SIDE x SIDE x 3 weighted averages. A plain average would alias fine patterns (bricks) with the cells."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small).astype(np.int64)


def _planes(small: Ints) -> list[Ints]:
    """Brightness, and two in which blue and red outweigh it; in eighths of a grey level."""
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
    """Cosines under the window, FREQUENCIES x SIDE, and the window, both in parts of FIXED."""
    place = (np.arange(SIDE) + 0.5) / SIDE
    window = np.sin(np.pi * place) ** 0.75
    waves = window * np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * place)
    return np.rint(FIXED * waves).astype(np.int64), np.rint(FIXED * window).astype(np.int64)


@functools.cache
def _order() -> tuple[Ints, Ints]:
    """Down and across frequencies, the lowest first; the mean itself is none."""
    down, across = np.indices((FREQUENCIES, FREQUENCIES)).reshape(2, -1)
    order = np.lexsort((down, down + across, np.maximum(down, across)))[1:]
    return down[order], across[order]


@functools.cache
def _spread() -> float:
    """How far noise of one eighth of a grey level in each cell moves a frequency, on average."""
    return float((_waves()[0] ** 2).sum(axis=1).mean())
