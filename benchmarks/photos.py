"""Photos for the benchmarks: drawn ones with grain, or copies of real ones.

A copy differs from its original only by a comment in the file, so it has another image id and costs the same.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

JPEG_START = b"\xff\xd8"
DISTINCT = 200  # photos drawn; the others are copies


def drawn(folder: Path, count: int, *, width: int = 640, height: int = 480) -> None:
    """JPEGs with about the size and detail of a scaled-down phone photo."""
    from PIL import Image

    random = np.random.default_rng(0)
    originals = []
    for _ in range(min(count, DISTINCT)):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = random.normal(0, 8, (height, width, 1)).astype(np.int16)
        file = io.BytesIO()
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
        originals.append(file.getvalue())
    repeated(originals, folder, count)


def repeated(originals: Sequence[bytes], folder: Path, count: int) -> None:
    """`count` files, each original equally often."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        data = originals[number % len(originals)]
        (folder / f"{number:06d}.jpg").write_bytes(commented(data, f"copy {number}"))


def commented(jpeg: bytes, text: str) -> bytes:
    """The same picture with a comment after its first marker: other bytes, another image id."""
    comment = text.encode()
    return JPEG_START + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def real(photos: Path | None) -> list[bytes]:
    """The JPEGs of a folder; without one, the photos that an installed package ships."""
    if photos is not None:
        return [path.read_bytes() for path in sorted(photos.glob("*.jp*g"))]
    return [_as_jpeg(path) for path in _shipped()]


def _shipped() -> list[Path]:
    from importlib.util import find_spec

    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("No photos: scikit-image is not installed; give a folder of JPEGs with --photos.")
    folder = Path(spec.origin).parent / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
    return [folder / name for name in names]


def _as_jpeg(path: Path) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.open(path).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()
