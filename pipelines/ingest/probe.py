"""Look at one input: read it, name it by its content, read its header. A node over what was listed.

Pixels are decoded where they are needed, which is here only if an audit split is drawn: near-duplicates are found by
what they show.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import BoundedSemaphore, Event, Thread
from typing import Any

from engine.errors import ImageError
from engine.images.decode import Limits, decode, image_id, probe
from engine.images.perceptual_hash import perceptual_hash
from engine.schema import ANNOTATIONS
from engine.storage.open_uri import open_ahead, read_input
from engine.storage.parquet_rows import forget
from engine.storage.uris import split_uri
from engine.storage.urls import scheme_of
from pipelines.ingest.labels import upright

AHEAD = 8  # local files the disk is asked for before their turn
AT_ONCE = 64 * 2**20  # bytes of images that wait for their names

Naming = Callable[[dict[str, Any], bytes], None]


class Probe:
    """Reads an input, names it by its content and reads its header. Pixels are decoded where they are needed."""

    needs = ()
    gives = ()
    version = 1
    deterministic = True

    def __init__(self, *, max_pixels: int, max_bytes: int, phash: bool = False) -> None:
        self.limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)
        self.phash = phash

    def load(self) -> None:
        import fsspec  # noqa: F401  # a first import in threads has raced

        forget()  # what this process read before, a file may have changed
        # For other hosts, where most of it is waiting, and for pixels. Headers of local files are read without: threads
        # would only hand the GIL around.
        self._threads = ThreadPoolExecutor(32, thread_name_prefix="read")
        self._decoding = BoundedSemaphore(4)  # each holds the pixels of an image
        self._namer = _Namer()

    def probe(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | ImageError]:
        """For each input what PROBE adds to it, or why it is no image."""
        if self.phash or any(scheme_of(split_uri(row["uri"])[2]) for row in rows):
            return list(self._threads.map(self._at_once, rows))
        answers = [self._one(row, self._namer.later, file) for row, file in _opened_ahead(rows)]
        self._namer.wait()
        return answers

    def _at_once(self, row: Mapping[str, Any]) -> dict[str, Any] | ImageError:
        return self._one(row, _name)

    def _one(self, row: Mapping[str, Any], name: Naming, opened: int = -1) -> dict[str, Any] | ImageError:
        answer: dict[str, Any] = {"phash": ""}
        if row.get("reason"):  # inputs listed by earlier versions have none
            return ImageError(row["reason"], row["error"])
        try:
            # One byte more than allowed is enough to know.
            most = self.limits.max_bytes + 1
            data = read_input(row["uri"], row["offset"], row["length"], at_most=most, opened=opened)
            name(answer, data)
            header = probe(data, self.limits)
            answer |= {"width": header.width, "height": header.height, "format": header.format, "bytes": len(data)}
            if any(row[column] for column in ANNOTATIONS):
                found = upright(row, header)
                answer |= {**found.labels, "fits": found.fits, "left_out": found.left_out}
        except ImageError as error:
            return error
        if self.phash:
            answer["phash"] = self._phash(data)
        return answer

    def _phash(self, data: bytes) -> str:
        """'' where the pixels cannot be read: whoever needs them will say so."""
        try:
            with self._decoding:
                return perceptual_hash(decode(data, self.limits))
        except ImageError:
            return ""


def _name(answer: dict[str, Any], data: bytes) -> None:
    answer["image_id"] = image_id(data)


class _Namer:
    """Hashes in a thread of its own, while the next file is read and its header parsed.

    One thread and one queue: a future for each image would cost half of what is gained.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[dict[str, Any], bytes] | Event] = SimpleQueue()
        self._waiting = 0  # bytes handed over since the last wait
        Thread(target=self._work, name="name", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if isinstance(job, Event):
                job.set()
            else:
                _name(*job)

    def later(self, answer: dict[str, Any], data: bytes) -> None:
        """The answer has its name after `wait`."""
        self._jobs.put((answer, data))
        self._waiting += len(data)
        if self._waiting > AT_ONCE:
            self.wait()

    def wait(self) -> None:
        done = Event()
        self._jobs.put(done)
        done.wait()
        self._waiting = 0


def _opened_ahead(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Each row and its file, if it is a local one: the disk is asked for a few of them before their turn."""
    files: deque[int] = deque()
    try:
        for number in range(-AHEAD, len(rows)):
            if number + AHEAD < len(rows):
                ahead = rows[number + AHEAD]
                files.append(open_ahead(ahead["uri"], ahead["offset"], ahead["length"]))
            if number >= 0:
                yield rows[number], files[0]
                _close(files.popleft())
    finally:
        for file in files:
            _close(file)


def _close(file: int) -> None:
    if file >= 0:
        os.close(file)
