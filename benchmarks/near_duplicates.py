"""Distances between near-duplicates and between different photos, and the time for a million hashes.

    python -m benchmarks.near_duplicates [--photos FOLDER] [--hashes 1000000]

Uses the photos that come with scikit-image, without drawings and regular patterns, and those of the folder. The million
hashes are simulated, in a separate process for each kind: with independent bits; with bits more correlated than those
of photos; and with one image in ten a copy of the same image.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from engine.images.decode import Pixels, decode
from engine.images.near_duplicates import Hashes, distances, groups, neighbours
from engine.images.perceptual_hash import BITS, RADIUS, hashes_to_array, perceptual_hash

# Drawings, and the right eye of a stereo pair.
NO_PHOTOS = ("chessboard", "clock_motion", "color", "horse", "logo", "phantom", "motorcycle_right", "multipage")
COPIES = 0.1  # of the simulated images are near-duplicates of others
TARGET_SECONDS, TARGET_GIB = 120, 2.0
KINDS = ("independent", "alike", "one image")

Picture = Image.Image


def encoded(image: Picture, kind: str, **options: Any) -> Picture:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return Image.open(data).convert("RGB")


def scaled(image: Picture, by: float) -> Picture:
    return image.resize((max(1, round(image.width * by)), max(1, round(image.height * by))))


def cropped(image: Picture, left: float, top: float, right: float, bottom: float) -> Picture:
    width, height = image.size
    return image.crop((round(left * width), round(top * height), *_far(width, height, right, bottom)))


def _far(width: int, height: int, right: float, bottom: float) -> tuple[int, int]:
    return width - round(right * width), height - round(bottom * height)


def marked(image: Picture) -> Picture:
    image = image.copy()
    place = (image.width * 0.62, image.height * 0.92)
    ImageDraw.Draw(image).text(place, "(c) photo agency", fill="white", font_size=max(10, image.height // 25))
    return image


VARIANTS: dict[str, Callable[[Picture], Picture]] = {
    "JPEG 60": lambda image: encoded(image, "JPEG", quality=60),
    "JPEG 95": lambda image: encoded(image, "JPEG", quality=95),
    "WebP 60": lambda image: encoded(image, "WEBP", quality=60),
    "PNG": lambda image: encoded(image, "PNG"),
    "scaled 0.9": lambda image: scaled(image, 0.9),
    "scaled 0.5": lambda image: scaled(image, 0.5),
    "3 % off the left": lambda image: cropped(image, 0.03, 0, 0, 0),
    "3 % off the right": lambda image: cropped(image, 0, 0, 0.03, 0),
    "3 % off the top": lambda image: cropped(image, 0, 0.03, 0, 0),
    "3 % off the bottom": lambda image: cropped(image, 0, 0, 0, 0.03),
    "1.5 % off each side": lambda image: cropped(image, 0.015, 0.015, 0.015, 0.015),
    "3 % off each side": lambda image: cropped(image, 0.03, 0.03, 0.03, 0.03),
    "3 % off left and top": lambda image: cropped(image, 0.03, 0.03, 0, 0),
    "5 % off each side": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
    "10 % off the left": lambda image: cropped(image, 0.1, 0, 0, 0),
    "brighter by 10 %": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker by 10 %": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "watermark": marked,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "mirrored": ImageOps.mirror,
}


def photos(folder: Path | None) -> list[Pixels]:
    import skimage

    own = Path(skimage.__file__).parent / "data"
    paths = [path for path in own.iterdir() if path.suffix in (".png", ".jpg") and not path.name.startswith(NO_PHOTOS)]
    if folder is not None:
        paths += [path for path in folder.iterdir() if path.suffix in (".png", ".jpg", ".jpeg", ".webp")]
    return [decode(path.read_bytes()) for path in sorted(paths)]


def distance_table(shown: list[Pixels]) -> None:
    pairs = [(pixels, perceptual_hash(pixels)) for pixels in shown]
    pairs = [(pixels, code) for pixels, code in pairs if code]
    hashes = hashes_to_array([code for _, code in pairs])
    print(f"{len(pairs)} photos have a hash, {len(shown) - len(pairs)} none; radius {RADIUS} of {BITS} bits")
    print(f"{'':22s}median   p95   max   within the radius")
    for name, change in VARIANTS.items():
        changed = [perceptual_hash(np.asarray(change(Image.fromarray(pixels)))) for pixels, _ in pairs]
        has = np.array([code != "" for code in changed])
        found = distances(hashes[has], hashes_to_array([code for code in changed if code]))
        print(f"{name:22s}{_spread(found, 50, 95, 100)}   {int((found <= RADIUS).sum())} of {len(pairs)}")
    i, j = np.triu_indices(len(hashes), 1)
    apart = distances(hashes[i], hashes[j])
    print(
        f"{len(apart)} pairs of different photos: least {apart.min()}, p0.1 {np.percentile(apart, 0.1):.0f}, ", end=""
    )
    print(f"p1 {np.percentile(apart, 1):.0f}, median {np.median(apart):.0f}, spread {apart.std():.1f}")


def _spread(found: npt.NDArray[np.int64], *percents: int) -> str:
    return "".join(f"{np.percentile(found, percent):6.0f}" for percent in percents)


# --- the simulated million ------------------------------------------------------------------------


def simulated(n: int, kind: str, random: np.random.Generator) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """n hashes, and the row that each was copied from (its own if it is no copy).

    Bits are the signs of numbers. The numbers of a copy are moved a little, so that those near zero change their sign.
    """
    whole = n - round(COPIES * n)
    factors = random.normal(size=(16, BITS)) * (0.0 if kind == "independent" else 0.2)
    source = np.concatenate([np.arange(whole), random.integers(0, 1 if kind == "one image" else whole, n - whole)])
    hashes = np.empty((n, BITS // 64), np.uint64)
    for start in range(0, n, 20_000):
        rows = np.arange(start, min(start + 20_000, n))
        numbers = np.stack([_numbers(row, factors) for row in source[rows]])
        moved = random.normal(0, random.uniform(0.05, 0.45, (len(rows), 1)), numbers.shape).astype(np.float32)
        numbers += np.where((rows >= whole)[:, None], moved, 0)
        hashes[rows] = np.packbits(numbers > 0, axis=1).view(">u8")
    return hashes, source


def _numbers(row: int, factors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    random = np.random.Generator(np.random.SFC64(int(row)))
    shared = random.standard_normal(len(factors), dtype=np.float32) @ factors.astype(np.float32)
    return random.standard_normal(BITS, dtype=np.float32) + shared


def measure(n: int, kind: str) -> None:
    hashes, source = simulated(n, kind, np.random.default_rng(0))
    some = np.random.default_rng(1).integers(0, n, (2, 200_000))
    spread = distances(hashes[some[0]], hashes[some[1]]).std()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started, cpu = time.perf_counter(), time.process_time()
    i, j, _ = neighbours(hashes, RADIUS, forest=True)
    label = groups(n, i, j)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    within = (distances(hashes, hashes[source]) <= RADIUS) & (source != np.arange(n))
    missed = int((label[within] != label[source[within]]).sum())
    print(f"{kind:12s} {seconds:.0f} s ({cpu:.0f} of a core), peak {peak:.2f} GiB, {before:.2f} before; ", end="")
    print(f"{missed} of {within.sum()} copies within the radius missed; {len(i)} links, ", end="")
    print(f"largest group {np.bincount(label).max()}; unrelated ones differ in 128 +- {spread:.1f}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--photos", type=Path)
    options.add_argument("--hashes", type=int, default=1_000_000)
    given = options.parse_args()
    shown = photos(given.photos)
    distance_table(shown)
    started = time.perf_counter()
    for pixels in shown:
        perceptual_hash(pixels)
    print(f"a hash takes {(time.perf_counter() - started) / len(shown) * 1e3:.1f} ms on average\n")
    print(f"{given.hashes} hashes (targets: {TARGET_SECONDS} s, {TARGET_GIB} GiB)")
    for kind in KINDS:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(given.hashes, kind))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
