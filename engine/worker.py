"""One unit of work inside one process: read the inputs of a shard, ask the component, write one file, commit.

What the component raises is a failure of one image. What storage raises is nobody's failure and stops the run.
A hang is ended by faulthandler, which needs no GIL: it ends the process, and the scheduler splits the unit.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from engine.catalog import resolve
from engine.errors import EngineError, ImageError, StartError, StorageError
from engine.graph import Node
from engine.images import Limits
from engine.inputs import ShardInputs
from engine.items import EntryItems, ImageItems, Items, TextItems
from engine.schema import Failure
from engine.shards import Commits, File, Record, TableWriter
from engine.storage import Storage
from engine.units import Done, Message, Progress, Suspect, Unit

SIGN_SECONDS = 0.2  # between two signs of life
SICK_STREAK = 8
SICK_SHARE = 0.2


class Worker:
    """Holds one component. `load` once, then `run` unit after unit."""

    def __init__(
        self,
        node: Node,
        nodes: Mapping[str, Node],
        dataset: str,
        limits: Limits,
        *,
        guarded: bool,
        max_seconds: float = 10.0,
    ) -> None:
        self.node, self.nodes, self.limits, self.guarded = node, nodes, limits, guarded
        self.storage = Storage(dataset)
        self.max_seconds = max_seconds
        self.one_huge_image = threading.Lock()
        self.component: Any = None
        self._threads: ThreadPoolExecutor | None = None
        self._batch_size = node.resources.batch_size
        self.guard = _Guard(node.resources.timeout_s if guarded else 0.0)

    def load(self) -> None:
        """StartError if the component cannot start, whatever the reason."""
        _, component = resolve("component", self.node.target, {})
        try:
            self.component = component(**self.node.options)
            self.component.load()
        except EngineError as error:
            raise StartError(f"{self.node.name} cannot start: {error}") from error
        except Exception as error:  # the border with a foreign model
            raise StartError(f"{self.node.name} cannot start: {type(error).__name__}: {error}") from error

    def run(self, unit: Unit) -> Iterator[Message]:
        """Signs of life, then Done or Suspect. Raises StorageError only."""
        started = time.perf_counter()
        if self.node.over == "shard":
            yield self._run_shard(unit, started)
            return
        inputs = ShardInputs(self.storage, self.nodes, self.node, unit)
        items = self.items(inputs)
        hi = len(items) if unit.hi < 0 else min(unit.hi, len(items))
        yield Progress(0, hi - unit.lo)
        work = _UnitRun(self, unit, items, hi)
        if unit.whole:
            yield from self._run_whole(unit, work, inputs, started)
        else:
            yield from self._run_part(work, inputs, started)
        if work.suspect is not None:
            yield work.suspect

    def items(self, inputs: ShardInputs) -> Items:
        kinds: dict[str, Callable[[Worker, ShardInputs], Items]] = {
            "images": ImageItems,
            "texts": TextItems,
            "entries": EntryItems,
        }
        return kinds[self.node.over](self, inputs)

    def _run_whole(self, unit: Unit, work: _UnitRun, inputs: ShardInputs, started: float) -> Iterator[Message]:
        commits = Commits(self.storage, self.node.folder)
        with (
            contextlib.suppress(_Abandoned),
            TableWriter(commits, unit.shard, work.items.schema, unit.revision) as writer,
        ):
            yield from work.go(writer.write)
            if work.suspect is not None:
                raise _Abandoned
        if work.suspect is None:
            done = work.done(started)
            done.committed = commit_file(commits, unit, writer.file, len(done.failures), inputs.digests)
            yield done

    def _run_part(self, work: _UnitRun, inputs: ShardInputs, started: float) -> Iterator[Message]:
        pieces: list[pa.Table] = []
        yield from work.go(pieces.append)
        if work.suspect is None:
            done = work.done(started)
            done.rows = table_bytes(pa.concat_tables(pieces) if pieces else work.items.schema.empty_table())
            done.inputs = inputs.digests
            yield done

    def _run_shard(self, unit: Unit, started: float) -> Done:
        """A component of ours over a whole shard (the filters, a release): it cannot fail an image."""
        inputs = ShardInputs(self.storage, self.nodes, self.node, unit)
        commits = Commits(self.storage, self.node.folder)
        output = self.component.run(unit.shard, inputs, commits)
        record = Record(unit.shard, unit.revision, output.files, output.failures, inputs.digests, output.counts)
        committed = commits.commit(record)
        return Done(output.items, output.failures, committed, seconds=time.perf_counter() - started)

    def pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="decode")
        return self._threads

    def abandon_threads(self) -> None:
        """A thread that hangs in a decoder cannot be ended; the next images get new ones."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
            self.one_huge_image = threading.Lock()  # the abandoned thread may hold the old one for ever


class _Abandoned(Exception):
    """Leaves the writer without a file: nothing of a sick worker is committed."""


class _Guard:
    """Ends the process, GIL or no GIL, when a batch takes longer than it may.

    Armed anew now and then, not for each batch: arming makes a thread and joins the one before while it holds the
    GIL, which on a busy machine keeps everybody waiting for a millisecond.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.slack = seconds, min(1.0, seconds / 10)
        self._armed = -math.inf

    def __enter__(self) -> None:
        now = time.monotonic()
        if self.seconds > 0 and now - self._armed >= self.slack:
            seconds = self.seconds + self.slack  # so that a batch that begins just before the next arming has its time
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
            self._armed = now

    def __exit__(self, *error: object) -> None:
        """Stays armed until `off`."""

    def off(self) -> None:
        if self._armed > 0:
            faulthandler.cancel_dump_traceback_later()
        self._armed = -math.inf


class _UnitRun:
    """Batches of one unit, cut by position; failures counted as they come."""

    def __init__(self, worker: Worker, unit: Unit, items: Items, hi: int) -> None:
        self.worker, self.unit, self.items, self.hi = worker, unit, items, hi
        self.suspect: Suspect | None = None
        self.failed: list[tuple[str, str, str]] = []
        self.notes: list[str] = []
        self._blamed: list[int] = []  # items the component itself failed on
        self._asked = 0
        self._unreported = 0
        self._reported = time.perf_counter()

    def go(self, write: Callable[[pa.Table], None]) -> Iterator[Progress]:
        """Yields progress; stops early with `suspect` set."""
        try:
            for lo, hi in self.items.batches(self.unit.lo, self.hi, self.worker._batch_size):
                with self.worker.guard:
                    asked = self.items.ask(lo, hi)
                answers = dict(asked.settled)
                for part in self._answered(asked.open):
                    answers.update(part)
                    yield from self._sign(0)
                asked.open.clear()  # the pixels go before the next batch's come
                table = self._table(answers, lo, hi)
                self._count(answers)
                if self._looks_sick():
                    return
                write(table)
                yield from self._sign(hi - lo)
            self._looks_sick(final=True)
        finally:
            self.worker.guard.off()
            self.items.close()

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
            with self.worker.guard:
                answers = self.items.annotate([item for _, item in asked])
            if len(answers) != len(asked):
                raise ValueError(f"{len(answers)} answers for {len(asked)} items")
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001  # the border with a foreign model
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
        except Exception as error:  # noqa: BLE001  # the border with a foreign model: it may return anything
            return self._bad_answer(error)

    def _bad_answer(self, error: Exception) -> Failure:
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

    def _failure(self, error: Exception) -> Failure:
        if isinstance(error, ImageError):
            return Failure(self.worker.node.name, error.reason, str(error))
        reason = "out_of_memory" if is_out_of_memory(error) else "raised"
        return Failure(self.worker.node.name, reason, f"{type(error).__name__}: {error}"[:500])

    def _count(self, answers: Mapping[int, Any]) -> None:
        for position in sorted(answers):
            answer = answers[position]
            if isinstance(answer, Failure):
                self.failed.append((self.items.name(position), answer.reason, answer.error))
                if answer.reason in ("raised", "out_of_memory", "bad_answer"):
                    self._blamed.append(position)
            self._asked += 1

    def _looks_sick(self, *, final: bool = False) -> bool:
        """Eight in a row, or over a fifth of the unit."""
        if self.unit.trust or not self._blamed:
            return False
        streak = self._blamed[-SICK_STREAK:]
        in_a_row = len(streak) == SICK_STREAK and streak[-1] - streak[0] == SICK_STREAK - 1
        # A worker may turn sick just before its unit ends: two failures at the very end are tried elsewhere too.
        at_the_end = final and self.hi - self.unit.lo > 2 and self._blamed[-2:] == [self.hi - 2, self.hi - 1]
        too_many = final and self._asked > 1 and len(self._blamed) > SICK_SHARE * self._asked
        if in_a_row or at_the_end or too_many:
            first = streak[0] if in_a_row else self._blamed[-1] if at_the_end else self._blamed[0]
            while first - 1 in self._blamed:
                first -= 1
            self.suspect = Suspect(first, len(self._blamed), self.failed[-1][2])
        return self.suspect is not None

    def done(self, started: float) -> Done:
        seconds = time.perf_counter() - started
        return Done(self.hi - self.unit.lo, len(self.failed), False, b"", seconds, self.notes, {}, self.failed)


def is_out_of_memory(error: BaseException) -> bool:
    """Python's, torch's and CUDA's ways of saying it."""
    return (
        isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "out of memory" in str(error).lower()
    )


def commit_file(commits: Commits, unit: Unit, file: File, failures: int, digests: Mapping[str, str]) -> bool:
    return commits.commit(Record(unit.shard, unit.revision, {"data": file}, failures, dict(digests)))


def table_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def table_from_bytes(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
