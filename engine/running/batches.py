"""The batches of one unit: ask the component, halve or ask one by one where it fails, count what fails.

What the component raises is a failure of one image. An image whose source cannot be read now is no failure: the unit
is put aside, nothing of it is committed, and the component is not asked any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.errors import GONE, ImageError, StorageError
from engine.running.component_source import describe_error
from engine.running.foreign_code import DescriptorsClosed
from engine.running.interrupts import Interrupted
from engine.running.items import Items
from engine.running.messages import Done, Progress, Suspect, Unit
from engine.schema import Failure

if TYPE_CHECKING:
    from engine.running.worker import Worker

SIGN_SECONDS = 0.2  # between two signs of life
SICK_STREAK = 8
SICK_SHARE = 0.2


class UnitRun:
    """Batches of one unit, cut by position; failures counted as they come."""

    def __init__(self, worker: Worker, unit: Unit, items: Items, hi: int) -> None:
        self.worker, self.unit, self.items, self.hi = worker, unit, items, hi
        self.suspect: Suspect | None = None
        self.absent: list[tuple[str, str, str]] = []  # images whose source cannot be read now
        self.failed: list[tuple[str, str, str]] = []
        self.notes: list[str] = []
        self._blamed: list[int] = []  # items the component itself failed on
        self._rows = 0
        self._asked = 0  # items the component answers for
        self._refused = 0  # those of them without an answer
        self._unreported = 0
        self._reported = time.perf_counter()

    def go(self, write: Callable[[pa.Table], None]) -> Iterator[Progress]:
        """Yields progress; stops early with `suspect` set."""
        try:
            for lo, hi in self.items.batches(self.unit.lo, self.hi, self.worker._batch_size):
                with self.worker.guard:
                    asked = self.items.ask(lo, hi)
                self._note_absent(asked.settled)
                if self.absent:  # the rest is read all the same, to tell how much is missing
                    asked.open.clear()
                    yield from self._sign(hi - lo)
                    continue
                before = sum(isinstance(answer, Failure) for answer in asked.settled.values())
                answers = dict(asked.settled)
                for part in self._answered(asked.open):
                    answers.update(part)
                    yield from self._sign(0)
                asked.open.clear()  # the pixels go before the next batch's come
                table = self._table(answers, lo, hi)
                self._count(answers, before)
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
        """Often enough to see life, seldom enough to cost nothing."""
        self._unreported += items
        if time.perf_counter() - self._reported >= SIGN_SECONDS:
            yield Progress(self._unreported)
            self._reported, self._unreported = time.perf_counter(), 0

    def _answered(self, asked: Sequence[tuple[int, Any]]) -> Iterator[dict[int, Any]]:
        """Ask for a batch; halve it when memory runs out, ask one by one when it raises."""
        if not asked:
            return
        size = min(len(asked), self.worker._batch_size)
        for start in range(0, len(asked), size):
            yield from self._attempt(asked[start : start + size])

    def _attempt(self, asked: Sequence[tuple[int, Any]]) -> Iterator[dict[int, Any]]:
        try:
            with self.worker.guard, self.worker.foreign.call():
                answers = self.items.annotate([item for _, item in asked])
            if len(answers) != len(asked):
                raise ValueError(f"{len(answers)} answers for {len(asked)} items")
        except (StorageError, Interrupted, DescriptorsClosed):
            raise
        except BaseException as error:  # noqa: BLE001  # the border with a foreign model, which may call sys.exit
            if len(asked) == 1:
                yield {asked[0][0]: self._failure(error)}
                return
            if is_out_of_memory(error):
                size = (len(asked) + 1) // 2
                self.worker._batch_size = min(self.worker._batch_size, size)
                self.notes.append(f"out of memory at {len(asked)}: batch halved to {size}")
            else:
                size = 1
            for start in range(0, len(asked), size):
                yield from self._attempt(asked[start : start + size])
            return
        yield {position: self._checked(item, answer) for (position, item), answer in zip(asked, answers, strict=True)}

    def _checked(self, item: Any, answer: Any) -> Any:
        try:
            return self.items.checked(item, answer)
        except Interrupted:
            raise
        except BaseException as error:  # noqa: BLE001  # the border with a foreign model: it may return anything
            return self._bad_answer(error)

    def _bad_answer(self, error: BaseException) -> Failure:
        return Failure(self.worker.node.name, "bad_answer", f"{type(error).__name__}: {error}"[:500])

    def _table(self, answers: dict[int, Any], lo: int, hi: int) -> pa.Table:
        """The rows of a batch; an answer that Arrow cannot take becomes that item's failure."""
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
        self.worker.foreign.note(error)
        reason = "out_of_memory" if is_out_of_memory(error) else "raised"
        return Failure(self.worker.node.name, reason, describe_error(error, type(self.worker.component)))

    def _count(self, answers: Mapping[int, Any], settled: int) -> None:
        """`settled`: how many of the failures are not the component's."""
        failed_before = len(self.failed)
        for position in sorted(answers):
            answer = answers[position]
            if isinstance(answer, Failure):
                self.failed.append((self.items.name(position), answer.reason, answer.error))
                if answer.reason in ("raised", "out_of_memory", "bad_answer"):
                    self._blamed.append(position)
        self._rows += len(answers)
        self._asked += len(answers) - settled
        self._refused += len(self.failed) - failed_before - settled

    def _looks_sick(self, *, final: bool = False) -> bool:
        """Eight in a row, or over a fifth of the unit."""
        if self.unit.trust or not self._blamed:
            return False
        streak = self._blamed[-SICK_STREAK:]
        in_a_row = len(streak) == SICK_STREAK and streak[-1] - streak[0] == SICK_STREAK - 1
        # A worker may turn sick just before its unit ends: two failures at the very end are tried elsewhere too.
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
        done.asked, done.refused = self._asked, self._refused
        return done


def is_out_of_memory(error: BaseException) -> bool:
    """Python's, torch's and CUDA's ways of saying it."""
    return (
        isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "out of memory" in str(error).lower()
    )
