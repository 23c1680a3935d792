"""Pictures of images, made when they are asked for: small ones for cards, and larger ones for one image.

The bytes of a source are never sent as they are: a picture is decoded and encoded again, so it has no EXIF data and
cannot be anything but a picture. Finished pictures stay in memory, up to a limit.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.storage.files import Storage
from pipelines.drawing import GAP, LINE, fitted, write
from pipelines.gallery.thumbnails import SIDE, thumbnail

SIDES: Mapping[str, int] = {"small": SIDE, "large": 1600}  # pixels of the longer side
_MEMORY = 128 * 2**20  # bytes of all finished pictures
_GROUND, _INK = (215, 215, 215), (60, 60, 60)


@dataclass(frozen=True, slots=True)
class Picture:
    """`unreadable`: why the image cannot be read. The picture then only has this text on it. '' if it can be read."""

    data: bytes
    kind: str
    unreadable: str = ""


class Pictures:
    """Makes pictures. It can be used from several threads, and decodes as many images at once as there are cores."""

    def __init__(self, storage: Storage, memory: int = _MEMORY) -> None:
        self._storage = storage
        self._memory = memory
        self._finished: OrderedDict[tuple[str, str], Picture] = OrderedDict()
        self._size = 0  # bytes of all finished pictures
        self._lock = threading.Lock()
        self._cores = threading.Semaphore(os.cpu_count() or 1)

    def picture(self, size: str, image_id: str, row: Callable[[], Mapping[str, Any]]) -> Picture:
        """The picture of an image. `size`: a name in SIDES. `row`: returns the image's row of the view `images`."""
        name = (size, image_id)
        with self._lock:
            if name in self._finished:
                self._finished.move_to_end(name)
                return self._finished[name]
        found = row()
        with self._cores:
            drawn = thumbnail(self._storage, found, side=SIDES[size])
        if drawn.unreadable:  # not kept, because the source may be back later
            return _unreadable(found, SIDES[size], drawn.unreadable)
        made = Picture(drawn.webp, "image/webp")
        self._keep(name, made)
        return made

    def _keep(self, name: tuple[str, str], made: Picture) -> None:
        with self._lock:
            if name in self._finished:  # another thread made it meanwhile
                return
            self._finished[name] = made
            self._size += len(made.data)
            while self._size > self._memory:
                _, oldest = self._finished.popitem(last=False)
                self._size -= len(oldest.data)


def _unreadable(row: Mapping[str, Any], side: int, reason: str) -> Picture:
    from PIL import Image, ImageDraw

    width, height = max(1, row["width"]), max(1, row["height"])
    scale = side / max(width, height)
    drawn = Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))), _GROUND)
    pen = ImageDraw.Draw(drawn)
    for n, line in enumerate(("This image cannot be read:", reason)):
        write(pen, (GAP, GAP + n * LINE), fitted(line, drawn.width - 2 * GAP), _INK)
    file = io.BytesIO()
    drawn.save(file, "PNG")
    return Picture(file.getvalue(), "image/png", reason)
