"""The images of a shard as the items of a unit. They are decoded in threads, ahead of the component."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from engine.component import Specialist
from engine.errors import ImageError
from engine.images.decode import decode
from engine.images.locate import Locator, read_image
from engine.records.answers import check_answer, number
from engine.records.embeddings import EMBEDDING, embedding_column, record_with_embedding
from engine.running.items import Batch
from engine.running.shard_inputs import ShardInputs
from engine.schema import ANNOTATIONS, RECORD, Answer, Failure, Sample, as_row, record_table

if TYPE_CHECKING:
    from engine.running.worker import Worker

BATCH_PIXELS = 96_000_000  # most decoded pixels of a batch, so that sixteen huge photos do not fill the memory
HUGE_PIXELS = 16_000_000
NOT_SELECTED = Answer()  # the answer for an image that the node's `where` does not select


class ImageItems:
    """The images of a shard."""

    def __init__(self, worker: Worker, inputs: ShardInputs) -> None:
        self.worker, self.inputs, self.node = worker, inputs, worker.node
        self._size = worker.embedding_size
        self.schema = record_with_embedding(self._size) if self._size else RECORD
        self.ids = inputs.image_column("image_id")
        width, height = (inputs.image_column(name).to_numpy().astype(np.int64) for name in ("width", "height"))
        self._area = array("q", (width * height).tobytes())
        reads = Locator._fields if "pixels" in self.node.needs else ()
        self._places = [inputs.image_column(name) for name in reads]
        self._decoding: dict[int, Future[Any]] = {}
        self._began: dict[int, float] = {}  # position: when its decoding began
        self._following: dict[int, int] = {}  # {start of a batch: its end}
        self._kept = inputs.answered_before()  # with --retry-failed, rows of the earlier revision that are kept

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, position: int) -> str:
        return str(self.ids[position].as_py())

    def batches(self, lo: int, hi: int, size: int) -> Iterator[tuple[int, int]]:
        """Cut by position and by decoded pixels. The batches are the same in every run."""
        self._following = dict(cut(self._area, lo, hi, size))
        yield from self._following.items()

    def room(self, lo: int, hi: int) -> int:
        """The number of pixels that may be decoded ahead while the items [lo, hi) are in memory."""
        return BATCH_PIXELS - sum(self._area[lo:hi])

    def decode_first(self, lo: int, hi: int, size: int, pixels: int) -> None:
        """Begin to decode the first of the batches that `batches(lo, hi, size)` gives, if it has so few pixels."""
        first, end = next(cut(self._area, lo, hi, size), (lo, lo))
        if sum(self._area[first:end]) <= pixels:
            settled = self._settled(first, end)
            for position in range(first, end):
                if position not in settled:
                    self._start(position)

    def prepare(self, lo: int, hi: int) -> Batch:
        settled = self._settled(lo, hi)
        wanted = [position for position in range(lo, hi) if position not in settled]
        pixels = self._pixels(wanted, lo, hi) if "pixels" in self.node.needs else {}
        opened: list[tuple[int, Sample]] = []
        samples = self.inputs.samples(lo, hi) if wanted else []
        for position in wanted:
            sample = samples[position - lo]
            decoded = pixels.get(position)
            if isinstance(decoded, Failure):
                settled[position] = decoded
                continue
            sample.pixels = decoded
            opened.append((position, sample))
        return Batch(opened, settled)

    def _settled(self, lo: int, hi: int) -> dict[int, Any]:
        """The answers and failures that are known before the component runs, by position."""
        settled: dict[int, Any] = {}
        skipped = self.inputs.skipped(lo, hi)
        if found := self.inputs.selection():
            mask, undecided = found
            skipped |= {position: error for position, error in undecided.items() if lo <= position < hi}
            settled = {p: NOT_SELECTED for p in range(lo, hi) if not mask[p] and p not in undecided}
        if self._kept is not None:
            settled = {p: self._kept[p] for p in range(lo, hi) if p in self._kept} | settled
        for position, error in skipped.items():
            settled.setdefault(position, Failure(self.node.name, "skipped", error, 0))
        return settled

    def _pixels(self, wanted: Sequence[int], lo: int, hi: int) -> dict[int, Any]:
        """The decoded images of this batch, by position. Also starts to decode the next batch."""
        for position in wanted:
            self._start(position)
        following = range(hi, self._following.get(hi, hi))
        if sum(self._area[position] for position in (*range(lo, hi), *following)) <= BATCH_PIXELS:
            for position in following:
                self._start(position)
        # Wait for the last image first. This thread then wakes rarely, and seldom takes the GIL from the decoders.
        return {position: self._decoded(position) for position in reversed(wanted)}

    def _decoded(self, position: int) -> Any:
        """The pixels of an image, or a Failure if decoding takes longer than `decode_seconds`."""
        while True:
            try:
                answer = self._decoding[position].result(timeout=self.worker.decode_seconds / 2)
            except TimeoutError:
                self._fail_overdue()
            else:
                del self._decoding[position]
                self._began.pop(position, None)
                return answer

    def _fail_overdue(self) -> None:
        """Make a Failure of each image whose decoding takes too long. The time for reading its bytes does not count."""
        now, seconds = time.monotonic(), self.worker.decode_seconds
        left = [position for position, future in self._decoding.items() if not future.done()]
        overdue = [position for position in left if now - self._began.get(position, now) >= seconds]
        if not overdue:
            return
        self.worker.abandon_threads()
        for position in left:
            del self._decoding[position]
            self._began.pop(position, None)
            if position in overdue:
                self._decoding[position] = Future()
                error = f"decoding took longer than {seconds:g} s"
                self._decoding[position].set_result(Failure(self.node.name, "timeout", error))
            else:
                self._start(position)

    def _start(self, position: int) -> None:
        if position not in self._decoding and (self._kept is None or position not in self._kept):
            self._decoding[position] = self.worker.pool().submit(self._decode, position)

    def _decode(self, position: int) -> Any:
        try:
            data = read_image(
                self.worker.storage,
                self.name(position),
                Locator(*(column[position].as_py() for column in self._places)),
                lambda: [source["uri"] for source in self.inputs.image_column("sources")[position].as_py()],
            )
            with self._turn(position):
                self._began[position] = time.monotonic()
                return decode(data, self.worker.limits)
        except ImageError as error:
            return Failure(self.node.name, error.reason, str(error))

    def _turn(self, position: int) -> contextlib.AbstractContextManager[Any]:
        """A lock for a huge image, because decoding it needs several times its size. Only one is decoded at a time."""
        return self.worker.one_huge_image if self._area[position] > HUGE_PIXELS else contextlib.nullcontext()

    def annotate(self, samples: Sequence[Sample]) -> Sequence[Answer]:
        return cast(Specialist, self.worker.component).annotate(samples)

    def check(self, sample: Sample, answer: Answer) -> Any:
        error = check_answer(answer, sample, self.node.gives, human=self.node.reads_labels, embedding_size=self._size)
        if error:
            return Failure(self.node.name, "bad_answer", error)
        number(answer, self.node.name)
        return answer

    def table(self, answers: Sequence[Any], lo: int) -> pa.Table:
        rows: list[dict[str, Any]] = []
        ids = self.ids.slice(lo, len(answers)).to_pylist()
        for name, answer in zip(ids, answers, strict=True):
            row: dict[str, Any] = {"image_id": name}
            if isinstance(answer, Failure):
                row["failures"] = [as_row(answer)]
            elif isinstance(answer, dict):
                row = answer
            else:
                row |= {name: [as_row(item) for item in getattr(answer, name)] for name in ANNOTATIONS}
                row[EMBEDDING] = answer.embedding
            rows.append(row)
        table = record_table(rows)
        if not self._size:
            return table
        vectors = embedding_column([row.get(EMBEDDING) for row in rows], self._size)
        return table.append_column(self.schema.field(EMBEDDING), vectors)

    def close(self) -> None:
        for future in self._decoding.values():
            future.cancel()
        self._decoding.clear()


def cut(area: Sequence[int], lo: int, hi: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut [lo, hi) into batches of at most `size` images and BATCH_PIXELS pixels. A batch has at least one image."""
    start = lo
    while start < hi:
        stop, pixels = start, 0
        while stop < hi and stop - start < size and (stop == start or pixels + area[stop] <= BATCH_PIXELS):
            pixels += area[stop]
            stop += 1
        yield start, stop
        start = stop
