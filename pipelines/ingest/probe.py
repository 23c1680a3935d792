"""The probe: a node that reads each listed file, computes its image id, and reads its header.

It decodes pixels only if the recipe has an audit split, to find near-duplicates by their perceptual hash.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import BoundedSemaphore, Event, Thread

from engine.errors import ImageError
from engine.images.decode import Limits, decode, image_id, probe
from engine.images.perceptual_hash import perceptual_hash
from engine.storage.open_uri import open_ahead, read_input
from engine.storage.parquet_rows import forget
from engine.storage.removals import ERROR, REASON, Removed
from engine.storage.uris import split_uri
from engine.storage.urls import scheme_of
from pipelines.ingest.labels import upright
from pipelines.ingest.rows import ListedRow, Probed, labels_of

AHEAD = 8  # how many local files are open before their turn
MAX_WAITING = 64 * 2**20  # bytes of images that may wait to be hashed

Hashing = Callable[[Probed, bytes], None]


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
        # Threads speed up remote files, where most of the time is waiting, and pixels. Headers of local files are read
        # without them, because threads would only compete for the GIL.
        self._threads = ThreadPoolExecutor(32, thread_name_prefix="read")
        self._decoding = BoundedSemaphore(4)  # limits how many images are decoded at a time
        self._hasher = _Hasher()

    def probe(self, rows: Sequence[ListedRow]) -> list[Probed | ImageError]:
        """For each input, the columns of PROBE, or the error if the input is not a readable image."""
        if self.phash or any(scheme_of(split_uri(row["uri"])[2]) for row in rows):
            return list(self._threads.map(self._at_once, rows))
        answers = [self._one(row, self._hasher.hash_later, file) for row, file in _opened_ahead(rows)]
        self._hasher.wait()
        return answers

    def _at_once(self, row: ListedRow) -> Probed | ImageError:
        return self._one(row, _hash)

    def _one(self, row: ListedRow, hash_image: Hashing, opened: int = -1) -> Probed | ImageError:
        answer: Probed = {"phash": ""}
        if row.get("reason"):  # tables of older versions do not have this column
            return ImageError(row["reason"], row["error"])
        try:
            # Reading one byte more than allowed shows whether a file is too large.
            most = self.limits.max_bytes + 1
            data = read_input(row["uri"], row["offset"], row["length"], at_most=most, opened=opened)
            if self.removed.images and self.removed.has_image(image_id(data)):
                return ImageError(REASON, ERROR)
            hash_image(answer, data)
            header = probe(data, self.limits)
            answer["width"], answer["height"] = header.width, header.height
            answer["format"], answer["bytes"] = header.format, len(data)
            labels = labels_of(row)
            if any(labels.values()):
                found = upright(labels, row["frame"], (row["frame_width"], row["frame_height"]), header)
                answer["fits"], answer["left_out"] = found.fits, found.left_out
                answer.update(found.labels)  # type: ignore[typeddict-item]
        except ImageError as error:
            return error
        if self.phash:
            answer["phash"] = self._phash(data)
        return answer

    def _phash(self, data: bytes) -> str:
        """The perceptual hash. '' if the pixels cannot be decoded: a node that needs pixels will report that error."""
        try:
            with self._decoding:
                return perceptual_hash(decode(data, self.limits))
        except ImageError:
            return ""


def _hash(answer: Probed, data: bytes) -> None:
    answer["image_id"] = image_id(data)


class _Hasher:
    """Computes image ids in one thread, while the next file is read and its header is parsed.

    One queue serves all images. A future for each image would cost half of the time that the thread saves.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Probed, bytes] | Event] = SimpleQueue()
        self._waiting = 0  # bytes queued since the last wait
        Thread(target=self._work, name="hash", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if isinstance(job, Event):
                job.set()
            else:
                _hash(*job)

    def hash_later(self, answer: Probed, data: bytes) -> None:
        """Queues an image for hashing. When `wait` returns, the answer has its `image_id`."""
        self._jobs.put((answer, data))
        self._waiting += len(data)
        if self._waiting > MAX_WAITING:
            self.wait()

    def wait(self) -> None:
        done = Event()
        self._jobs.put(done)
        done.wait()
        self._waiting = 0


def _opened_ahead(rows: Sequence[ListedRow]) -> Iterator[tuple[ListedRow, int]]:
    """Yields each row with its file descriptor, or -1 if it is not a local file.

    A few files are opened before their turn.
    """
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
