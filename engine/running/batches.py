"""Runs the batches of one unit through the component, and counts the failures.

If a batch fails, it runs again in halves (out of memory) or image by image (any other error), so an error costs only
the image that caused it. If the source of an image cannot be read now, nothing of the unit is committed.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import GONE, ImageError, StorageError
from engine.running.component_source import describe_error
from engine.running.foreign_code import DescriptorsClosed
from engine.running.image_items import NOT_SELECTED, ImageItems
from engine.running.interrupts import Interrupted
from engine.running.items import Items
from engine.running.messages import Done, Progress, Suspect, Unit
from engine.schema import Failure

if TYPE_CHECKING:
    from engine.running.worker import Worker

SIGN_SECONDS = 0.2  # between two signs of life
SICK_STREAK = 8  # the worker may be at fault if so many items in a row fail,
SICK_SHARE = 0.2  # or a larger share of a unit


class UnitRun:
    """The work on one unit. Batches are cut by position, so they are the same in every run."""

    def __init__(self, worker: Worker, unit: Unit, items: Items, hi: int) -> None:
        self.worker, self.unit, self.items, self.hi = worker, unit, items, hi
        self.suspect: Suspect | None = None
        self.absent: list[tuple[str, str, str]] = []  # images whose source cannot be read now
        self.failed: list[tuple[str, str, str]] = []
        self.notes: list[str] = []
        self._blamed: list[int] = []  # positions of failures that are the component's fault
        self._rows = 0
        self._attempted = 0  # items given to the component
        self._unanswered = 0  # those of them that failed
        self._unreported = 0
        self._reported = time.perf_counter()

    def go(self, write: Callable[[pa.Table], None]) -> Iterator[Progress]:
        """Run all batches and write their rows.

        Stops early if the worker itself seems to be at fault, and sets `suspect`.
        """
        try:
            for lo, hi in self.items.batches(self.unit.lo, self.hi, self.worker._batch_size):
                with self.worker.guard:
                    batch = self.items.prepare(lo, hi)
                    if hi == self.hi and self.unit.following is not None and isinstance(self.items, ImageItems):
                        self.worker.decode_ahead(self.unit.following, self.items.room(lo, hi))
                self._note_absent(batch.settled)
                if self.absent:  # go on reading, to find all missing images
                    batch.open.clear()
                    yield from self._sign(hi - lo)
                    continue
                before = sum(isinstance(answer, Failure) for answer in batch.settled.values())
                left_out = sum(answer is NOT_SELECTED for answer in batch.settled.values())
                answers = dict(batch.settled)
                for part in self._answered(batch.open):
                    answers.update(part)
                    yield from self._sign(0)
                batch.open.clear()  # free the pixels before the next batch is decoded
                table = self._table(answers, lo, hi)
                self._count(answers, before, left_out)
                if self._looks_sick():
                    return
                write(table)
                yield from self._sign(hi - lo)
            if not self.absent:
                self._looks_sick(final=True)
        finally:
            self.worker.guard.off()
            self.items.close()

    @property
    def unfinished(self) -> bool:
        """Whether nothing of this unit may be committed."""
        return self.suspect is not None or bool(self.absent)

    def _note_absent(self, settled: Mapping[int, Any]) -> None:
        for position in sorted(settled):
            answer = settled[position]
            if isinstance(answer, Failure) and answer.reason in GONE and not self.unit.give_up:
                self.absent.append((self.items.name(position), answer.reason, answer.error))

    def _sign(self, items: int) -> Iterator[Progress]:
        """Yields Progress, at most every SIGN_SECONDS. `items`: number of items finished since the last call."""
        self._unreported += items
        if time.perf_counter() - self._reported >= SIGN_SECONDS:
            yield Progress(self._unreported)
            self._reported, self._unreported = time.perf_counter(), 0

    def _answered(self, items: Sequence[tuple[int, Any]]) -> Iterator[dict[int, Any]]:
        """Yields the answers to the items, each given as (position, item).

        Batches have the size that fits in memory.
        """
        if not items:
            return
        size = min(len(items), self.worker._batch_size)
        for start in range(0, len(items), size):
            yield from self._attempt(items[start : start + size])

    def _attempt(self, items: Sequence[tuple[int, Any]]) -> Iterator[dict[int, Any]]:
        try:
            with self.worker.guard, self.worker.foreign.call():
                answers = self.items.annotate([item for _, item in items])
            _check_number(answers, len(items))
        except (StorageError, Interrupted, DescriptorsClosed):
            raise
        except BaseException as error:  # noqa: BLE001  # a foreign model may raise anything and may call sys.exit
            if len(items) == 1:
                yield {items[0][0]: self._failure(error)}
                return
            size = self._smaller(len(items), error)
        else:
            yield {
                position: self._checked(item, answer) for (position, item), answer in zip(items, answers, strict=True)
            }
            return
        # At this point the error is deleted, so its traceback no longer holds the tensors of the batch.
        free_gpu_memory()
        for start in range(0, len(items), size):
            yield from self._attempt(items[start : start + size])

    def _smaller(self, number: int, error: BaseException) -> int:
        """The batch size for trying a failed batch of `number` items again."""
        if not is_out_of_memory(error):
            return 1
        size = (number + 1) // 2
        self.worker._batch_size = min(self.worker._batch_size, size)
        where = " on the GPU" if self.worker.node.resources.gpus else ""
        self.notes.append(f"out of memory{where} at {number}: batch halved to {size}")
        return size

    def _checked(self, item: Any, answer: Any) -> Any:
        try:
            return self.items.check(item, answer)
        except Interrupted:
            raise
        except BaseException as error:  # noqa: BLE001  # a foreign model may return anything
            return self._bad_answer(error)

    def _bad_answer(self, error: BaseException) -> Failure:
        return Failure(self.worker.node.name, "bad_answer", f"{type(error).__name__}: {error}"[:500])

    def _table(self, answers: dict[int, Any], lo: int, hi: int) -> pa.Table:
        """The table of a batch, items lo to hi. If Arrow cannot store an answer, its item gets a failure instead."""
        try:
            return self.items.table([answers[position] for position in range(lo, hi)], lo)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError):
            for position in range(lo, hi):
                try:
                    self.items.table([answers[position]], position)
                except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError) as error:
                    answers[position] = self._bad_answer(error)
            return self.items.table([answers[position] for position in range(lo, hi)], lo)

    def _failure(self, error: BaseException) -> Failure:
        if isinstance(error, ImageError):
            return Failure(self.worker.node.name, error.reason, str(error))
        self.worker.foreign.log_error(error)
        reason = "out_of_memory" if is_out_of_memory(error) else "raised"
        return Failure(self.worker.node.name, reason, describe_error(error, type(self.worker.component)))

    def _count(self, answers: Mapping[int, Any], settled: int, left_out: int) -> None:
        """Count the failures of a batch.

        `settled`: number of failures from before the component ran, such as unreadable files. `left_out`: number of
        images that the node's `where` does not select.
        """
        failed_before = len(self.failed)
        for position in sorted(answers):
            answer = answers[position]
            if isinstance(answer, Failure):
                self.failed.append((self.items.name(position), answer.reason, answer.error))
                if answer.reason in ("raised", "out_of_memory", "bad_answer"):
                    self._blamed.append(position)
        self._rows += len(answers) - left_out
        self._attempted += len(answers) - left_out - settled
        self._unanswered += len(self.failed) - failed_before - settled

    def _looks_sick(self, *, final: bool = False) -> bool:
        """Whether the failures suggest that the worker itself is at fault.

        If so, sets `suspect`. `final`: the unit is at its end.
        """
        if self.unit.trust or not self._blamed:
            return False
        streak = self._blamed[-SICK_STREAK:]
        in_a_row = len(streak) == SICK_STREAK and streak[-1] - streak[0] == SICK_STREAK - 1
        # A worker may break just before its unit ends, so two failures at the very end are enough.
        at_the_end = final and self.hi - self.unit.lo > 2 and self._blamed[-2:] == [self.hi - 2, self.hi - 1]
        too_many = final and self._rows > 1 and len(self._blamed) > SICK_SHARE * self._rows
        if in_a_row or at_the_end or too_many:
            first = streak[0] if in_a_row else self._blamed[-1] if at_the_end else self._blamed[0]
            while first - 1 in self._blamed:
                first -= 1
            self.suspect = Suspect(first, len(self._blamed), self.failed[-1][2])
        return self.suspect is not None

    def done(self, started: float) -> Done:
        seconds = time.perf_counter() - started
        done = Done(self.hi - self.unit.lo, len(self.failed), False, b"", seconds, self.notes, {}, self.failed)
        done.attempted, done.unanswered = self._attempted, self._unanswered
        return done


def _check_number(answers: Any, items: int) -> None:
    """Raise ValueError if the number of answers differs from the number of items."""
    if not hasattr(answers, "__len__"):
        raise ValueError(f"gave a {type(answers).__name__}, expected a list with one answer for each item of its batch")
    if len(answers) != items:
        raise ValueError(f"{len(answers)} answers for a batch of {items}: give one for each, in the same order")


_NO_MEMORY = (
    "out of memory",
    "alloc_failed",
    "failed to allocate memory",
)  # CUDA and torch; cuBLAS, cuDNN; onnxruntime


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, torch, CUDA or onnxruntime means that memory was too small."""
    words = str(error).lower()
    named = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return named or any(part in words for part in _NO_MEMORY)


def free_gpu_memory() -> None:
    """Free the GPU memory that torch keeps in reserve, if this process uses a GPU."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
