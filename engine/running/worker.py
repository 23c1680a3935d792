"""Runs units in one process: reads the inputs of a shard, calls the component, writes a file, commits it.

An error of the component makes one image fail. An error of the storage ends the run. If a component hangs, faulthandler
ends the process, for which it does not need the GIL. The scheduler then splits the unit.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast

import pyarrow as pa

from engine.component import EntryComponent, Parser, ShardComponent, Specialist
from engine.config.catalog import resolve
from engine.errors import GONE, EngineError, ImageError, SourcesGone, StartError
from engine.images.decode import Limits
from engine.records.embeddings import EMBEDDINGS
from engine.running.batches import UnitRun
from engine.running.component_source import describe_error, source_digest
from engine.running.entry_items import EntryItems
from engine.running.foreign_code import DescriptorsClosed, ForeignCalls
from engine.running.graph import Node
from engine.running.hang_guard import Guard
from engine.running.image_items import ImageItems
from engine.running.interrupts import Interrupted
from engine.running.items import Items, TextItems
from engine.running.messages import Absent, Done, Message, Progress, Unit
from engine.running.shard_inputs import ShardInputs
from engine.storage import web
from engine.storage.commits import Commits, File, Record, TableWriter
from engine.storage.files import Storage

# The node's `over` (images, texts, entries or shard) decides which of these it is.
Component = Specialist | Parser | EntryComponent | ShardComponent[ShardInputs]


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What all workers of a run share: the graph, the data set, and the limits for images and web hosts."""

    nodes: Mapping[str, Node]
    dataset: str  # folder or URL
    limits: Limits = field(default_factory=Limits)
    decode_seconds: float = 10.0  # an image that takes longer to decode fails with `timeout`
    web_attempts: int = web.ATTEMPTS


class Worker:
    """Holds one component. Call `load` once, then `run` for each unit.

    `guarded`: whether to end the process if a batch exceeds its time-out. `log`: the file for the component's output.
    """

    def __init__(self, node: Node, context: WorkerContext, *, guarded: bool, log: str = "") -> None:
        self.node, self.nodes, self.limits, self.guarded = node, context.nodes, context.limits, guarded
        self.storage = Storage(context.dataset)
        self.decode_seconds = context.decode_seconds
        web.ATTEMPTS = context.web_attempts
        self.one_huge_image = threading.Lock()
        self.component: Component | None = None  # until `load`
        self.embedding_size = 0  # set by `load` for a node that gives embeddings
        self._threads: ThreadPoolExecutor | None = None
        self._ahead: tuple[Unit, ShardInputs, ImageItems] | None = None  # the next unit, if its decoding has begun
        self._batch_size = node.resources.batch_size
        self.foreign = ForeignCalls(self.storage, log, in_driver=not guarded)
        self.guard = Guard(node.resources.timeout_s if guarded else 0.0)

    def load(self) -> None:
        """Make and load the component. Raises StartError if that fails for any reason."""
        _, component = resolve("component", self.node.target, {})
        try:
            with self.foreign.call():
                made: Component = component(**self.node.options)
                made.load()
                self.component, self.embedding_size = made, embedding_size(self.node, made)
        except EngineError as error:
            raise StartError(f"{self.node.name} cannot start: {error}") from error
        except (Interrupted, DescriptorsClosed):
            raise
        except BaseException as error:  # foreign code may raise anything and may call sys.exit
            self.foreign.log_error(error)
            raise StartError(f"{self.node.name} cannot start: {describe_error(error, component)}") from error
        finally:
            self.foreign.upload_log()

    def run(self, unit: Unit) -> Iterator[Message]:
        """Run a unit. Yields Progress, and finally Done, Suspect or Absent. Raises StorageError only."""
        started = time.perf_counter()
        if self.node.over == "shard":
            try:
                yield self._run_shard(unit, started)
            except SourcesGone as gone:
                yield Absent(gone.images)
            return
        try:
            yield from self._run_items(unit, started)
        finally:
            self.foreign.upload_log()

    def _run_items(self, unit: Unit, started: float) -> Iterator[Message]:
        inputs, items = self._opened(unit)
        hi = len(items) if unit.hi < 0 else min(unit.hi, len(items))
        yield Progress(0, hi - unit.lo)
        work = UnitRun(self, unit, items, hi)
        if unit.whole:
            yield from self._run_whole(unit, work, inputs, started)
        else:
            yield from self._run_part(work, inputs, started)
        if work.absent:
            yield Absent(work.absent)
        elif work.suspect is not None:
            yield work.suspect

    def _opened(self, unit: Unit) -> tuple[ShardInputs, Items]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            expected, inputs, items = ahead
            if expected == unit:
                return inputs, items
            items.close()
        inputs = ShardInputs(self.storage, self.nodes, self.node, unit)
        return inputs, self.items(inputs)

    def decode_ahead(self, unit: Unit, pixels: int) -> None:
        """Begin to decode the first batch of a unit, if it has at most `pixels` pixels.

        The worker calls it for the unit that probably follows, so that decoding goes on while the current one is
        finished and committed. If reading its inputs fails, nothing happens: `run` will raise the error.
        """
        with contextlib.suppress(EngineError, OSError):
            inputs = ShardInputs(self.storage, self.nodes, self.node, unit)
            items = ImageItems(self, inputs)
            items.decode_first(unit.lo, unit.hi if unit.hi >= 0 else len(items), self._batch_size, pixels)
            self._ahead = unit, inputs, items

    def items(self, inputs: ShardInputs) -> Items:
        kinds: dict[str, Callable[[Worker, ShardInputs], Items]] = {
            "images": ImageItems,
            "texts": TextItems,
            "entries": EntryItems,
        }
        return kinds[self.node.over](self, inputs)

    def _run_whole(self, unit: Unit, work: UnitRun, inputs: ShardInputs, started: float) -> Iterator[Message]:
        commits = Commits(self.storage, self.node.folder)
        with (
            contextlib.suppress(_Abandoned),
            TableWriter(commits, unit.shard, work.items.schema, unit.revision) as writer,
        ):
            yield from work.go(writer.write)
            if work.unfinished:
                raise _Abandoned
        if not work.unfinished:
            done = work.done(started)
            done.counts = inputs.counts()
            done.committed = commit_file(commits, self.node, unit, writer.file, done, inputs.digests)
            yield done

    def _run_part(self, work: UnitRun, inputs: ShardInputs, started: float) -> Iterator[Message]:
        pieces: list[pa.Table] = []
        yield from work.go(pieces.append)
        if not work.unfinished:
            done = work.done(started)
            done.rows = table_bytes(pa.concat_tables(pieces) if pieces else work.items.schema.empty_table())
            done.inputs, done.counts = inputs.digests, inputs.counts()
            yield done

    def _run_shard(self, unit: Unit, started: float) -> Done:
        """Run a shard component on a unit. Its errors are not failures of images."""
        inputs = ShardInputs(self.storage, self.nodes, self.node, unit)
        commits = Commits(self.storage, self.node.folder)
        try:
            output = cast(ShardComponent[ShardInputs], self.component).run(unit.shard, inputs, commits)
        except ImageError as error:
            if error.reason not in GONE:
                raise
            raise SourcesGone([("", error.reason, str(error))]) from error
        record = Record(unit.shard, unit.revision, output.files, output.failures, inputs.digests, output.counts)
        committed = commits.commit(record)
        return Done(output.items, output.failures, committed, seconds=time.perf_counter() - started)

    def pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="decode")
        return self._threads

    def abandon_threads(self) -> None:
        """Use new threads from now on, because a thread that hangs in a decoder cannot be ended."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = self._ahead = None
            self.one_huge_image = threading.Lock()  # the hanging thread may never release the old lock


def embedding_size(node: Node, component: Component) -> int:
    """The length of the embeddings that a loaded component gives, or 0.

    Raises StartError if it gives some without a length.
    """
    if EMBEDDINGS not in node.gives:
        return 0
    size = getattr(component, "embedding_size", None)
    if not isinstance(size, int) or size < 1:
        raise StartError(
            f"it gives embeddings, but its `embedding_size` is {size} after `load`: set it to the length of each"
        )
    return size


class _Abandoned(Exception):
    """Raised so that the table writer deletes its unfinished file."""


def commit_file(commits: Commits, node: Node, unit: Unit, file: File, done: Done, digests: Mapping[str, str]) -> bool:
    """Commit one data file. If the component is the user's, the record also gets a digest of its source file."""
    counts = {**done.counts, **({"source": source_digest(node.target)} if node.own_code else {})}
    return commits.commit(Record(unit.shard, unit.revision, {"data": file}, done.failed, dict(digests), counts))


def table_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def table_from_bytes(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
