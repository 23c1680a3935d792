"""The probe: a node that reads each listed file, computes its image id, and reads its header.

It decodes pixels only if the recipe has an audit split, to find near-duplicates by their perceptual hash.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

from engine.errors import ImageError
from engine.images.decode import Limits, decode, image_id, probe
from engine.images.perceptual_hash import perceptual_hash
from engine.storage.open_uri import advise, open_local, read_input, read_local
from engine.storage.parquet_rows import forget
from engine.storage.removals import ERROR, REASON, Removed
from engine.storage.uris import split_uri
from engine.storage.urls import scheme_of
from pipelines.ingest.labels import upright
from pipelines.ingest.rows import ListedRow, Probed, regions_of

AHEAD = 8  # how many local files are open before their turn


class Probe:
    """Reads inputs.

    Its options are the limits of an image, whether to compute perceptual hashes, and hashes of removed image ids.
    """

    needs = ()
    gives = ()
    version = 1
    deterministic = True

    def __init__(self, *, max_pixels: int, max_bytes: int, phash: bool = False, removed: Sequence[str] = ()) -> None:
        self.limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)
        self.phash = phash
        self.removed = Removed(images=frozenset(removed))

    def load(self) -> None:
        import fsspec  # noqa: F401  # imported once, before threads use it

        forget()  # because files may have changed since this process last read them
        # Threads speed up remote files, where most of the time is waiting, and pixels. Local files are read without
        # them: other workers use the other cores, and threads would compete for the GIL.
        self._threads = ThreadPoolExecutor(32, thread_name_prefix="read")
        self._decoding = BoundedSemaphore(4)  # limits how many images are decoded at a time

    def probe(self, rows: Sequence[ListedRow]) -> list[Probed | ImageError]:
        """For each input, the columns of PROBE, or the error if the input is not a readable image."""
        files = [_local_file(row) for row in rows]
        if self.phash or None in files:
            return list(self._threads.map(self._one, rows))
        return [self._one(row, file) for row, file in zip(rows, _opened_ahead(rows, files), strict=True)]

    def _one(self, row: ListedRow, opened: int = -1) -> Probed | ImageError:
        if row.get("reason"):  # tables of older versions do not have this column
            return ImageError(row["reason"], row["error"])
        try:
            data = self._read(row, opened)
            name = image_id(data)
            if self.removed.images and self.removed.has_image(name):
                return ImageError(REASON, ERROR)
            header = probe(data, self.limits)
            answer: Probed = {"image_id": name, "width": header.width, "height": header.height}
            answer["format"], answer["bytes"] = header.format, len(data)
            if row["regions"]:
                found = upright(regions_of(row), row["frame"], (row["frame_width"], row["frame_height"]), header)
                answer["fits"], answer["left_out"] = found.fits, found.left_out
                answer.update(found.labels)  # type: ignore[typeddict-item]
        except ImageError as error:
            return error
        if self.phash:
            answer["phash"] = self._phash(data)
        return answer

    def _read(self, row: ListedRow, opened: int) -> bytes:
        most = self.limits.max_bytes + 1  # one byte more than allowed shows whether a file is too large
        offset, length = row["offset"], row["length"]
        if opened >= 0:
            with contextlib.suppress(OSError):  # then the next lines find out what is wrong
                return read_local(opened, offset, most if length < 0 else min(length, most))
        return read_input(row["uri"], offset, length, at_most=most)

    def _phash(self, data: bytes) -> str:
        """The perceptual hash. '' if the pixels cannot be decoded: a node that needs pixels will report that error."""
        try:
            with self._decoding:
                return perceptual_hash(decode(data, self.limits))
        except ImageError:
            return ""


def _local_file(row: ListedRow) -> str | None:
    """The local file, or the tar, that can be opened before the turn of the input. '' if there is none.

    None if the input is not local.
    """
    kind, _, path = split_uri(row["uri"])
    if scheme_of(path):
        return None
    # A member without a length, or of length 0, may stand for something that cannot be read (engine.storage.uris).
    return path if not kind or (kind == "tar" and row["length"] > 0) else ""


def _opened_ahead(rows: Sequence[ListedRow], files: Sequence[str | None]) -> Iterator[int]:
    """Yields for each row its file descriptor, or -1 if its file is not opened.

    A few files are opened, and loaded into the page cache, before their turn. Neighbours in one tar share a descriptor.
    """
    opened: deque[int] = deque()
    try:
        for number in range(-AHEAD, len(rows)):
            if (ahead := number + AHEAD) < len(rows):
                same = len(opened) > 0 and files[ahead] == files[ahead - 1]
                opened.append(opened[-1] if same else open_local(files[ahead] or ""))
                advise(opened[-1], rows[ahead]["offset"], rows[ahead]["length"])
            if number >= 0:
                yield opened[0]
                _close_first(opened)
    finally:
        while opened:
            _close_first(opened)


def _close_first(opened: deque[int]) -> None:
    """Removes the first descriptor, and closes it unless the next row uses it too."""
    file = opened.popleft()
    if file >= 0 and not (opened and opened[0] == file):
        os.close(file)
