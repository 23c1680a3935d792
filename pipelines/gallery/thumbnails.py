"""Small upright pictures for the gallery, as WebP.

Decoding a large photo takes up to 900 MB, so few are decoded at a time.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ImageError, StorageError
from engine.images.locate import image_pixels
from engine.storage.files import Storage

if TYPE_CHECKING:
    from PIL import Image

SIDE = 480  # pixels of the longer side
_THREADS = 2
# (longer side, quality) that are tried in this order until a picture is small enough.
_STEPS = ((SIDE, 75), (SIDE, 60), (400, 55), (320, 50), (240, 45), (160, 40), (96, 30))


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture. `webp` is b'' if the image cannot be read; `unreadable` is then the reason, otherwise ''."""

    webp: bytes
    unreadable: str = ""

    @property
    def data_uri(self) -> str:
        return f"data:image/webp;base64,{base64.b64encode(self.webp).decode('ascii')}" if self.webp else ""


def thumbnail(storage: Storage, row: Mapping[str, Any], *, most_bytes: int = 0, side: int = SIDE) -> Thumbnail:
    """The picture of an image, given its row of the view `images`. It is never larger than the image.

    `most_bytes`: make it smaller and coarser until it has at most so many bytes; 0: no limit.
    """
    from PIL import Image

    try:
        image = Image.fromarray(image_pixels(storage, row))
    except (ImageError, StorageError, OSError) as error:
        return Thumbnail(b"", str(error))
    steps = [step for step in _STEPS if step[0] <= side]
    for step, quality in [(side, steps[0][1] if steps else _STEPS[-1][1]), *steps]:
        data = _webp(image, step, quality)
        if not most_bytes or len(data) <= most_bytes:
            break
    return Thumbnail(data)


def thumbnails(storage: Storage, rows: Sequence[Mapping[str, Any]], *, most_bytes: int) -> Iterator[Thumbnail]:
    """The pictures of images, in this order. `most_bytes`: of all together, as data URIs."""
    each = most_bytes * 3 // (4 * max(len(rows), 1)) - 60  # base64 makes 4 characters of 3 bytes
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(lambda row: thumbnail(storage, row, most_bytes=max(each, 1)), rows)


def _webp(image: Image.Image, side: int, quality: int) -> bytes:
    from PIL import Image

    scale = min(1.0, side / max(image.size))
    small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    file = io.BytesIO()
    image.resize(small, Image.Resampling.LANCZOS, reducing_gap=3.0).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()
