"""The pairs of a training as a random-access table, whatever they came from, and the pixels they point at.

Pairs files are read once and laid out by task in memory-mapped Arrow, so a billion of them need disk, not memory.
What the network has no room for is left out, and counted: it is never cut.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import ConfigError, DamageError
from engine.images.decode import Limits, decode
from engine.images.locate import Locator, absolute, read_exactly
from engine.storage.files import Storage
from engine.storage.sealed import name_digest
from model.network.florence import Florence, Pixels
from model.pairs.tasks import TASKS

COLUMNS = ("image_id", "width", "height", "uri", "offset", "length", "task", "prompt", "target")
_ROWS = 50_000  # of a pairs file at a time


@dataclass(slots=True)
class PairStore:
    """`tables`: the pairs of each task, in the order of the files. `left_out`: {reason: pairs}."""

    tables: dict[str, pa.Table]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> dict[str, int]:
        return {task: table.num_rows for task, table in self.tables.items()}

    def pair(self, task: str, row: int) -> dict[str, Any]:
        return {name: self.tables[task].column(name)[row].as_py() for name in COLUMNS}


def open_pairs(
    files: Sequence[str],
    florence: Florence,
    scratch: Path,
    *,
    tasks: Sequence[str] = (),
    only: Mapping[str, Any] | None = None,
    base: str = "",
) -> PairStore:
    """Read pairs files (paths or URLs). `tasks` [] means all there are.

    `base`: the folder that relative locators are relative to; '': that of their file. `only`: {column: values} to
    keep, as folds need it. Pairs of images that are not of the train split are refused.
    """
    wanted = list(tasks) or list(TASKS)
    layout = _Layout(scratch, florence)
    for file in files:
        for batch in _batches(file, only or {}):
            layout.add(batch, file, wanted, only or {}, base or file.rpartition("/")[0] or ".")
    return layout.close(wanted)


def _batches(file: str, others: Iterable[str]) -> Iterator[pa.Table]:
    folder, _, name = file.rpartition("/")
    storage = Storage(folder or ".")
    if (digest := name_digest(name)) and not storage.sha256(name).startswith(digest):
        raise DamageError(f"'{file}' is damaged (not the bytes committed): 'engine check --repair' tells what to do.")
    with storage.open(name) as data:
        columns = list(dict.fromkeys([*COLUMNS, "split", *others]))
        for batch in pq.ParquetFile(data, page_checksum_verification=True).iter_batches(_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])


class _Layout:
    """One Arrow file a task, written as pairs come."""

    def __init__(self, scratch: Path, florence: Florence) -> None:
        self.scratch, self.florence = scratch, florence
        self.left_out: Counter[str] = Counter()
        self._writers: dict[str, Any] = {}
        scratch.mkdir(parents=True, exist_ok=True)

    def add(self, batch: pa.Table, file: str, wanted: Sequence[str], only: Mapping[str, Any], base: str) -> None:
        held_out = pc.sum(pc.not_equal(batch["split"], "train")).as_py() or 0
        if held_out:
            raise ConfigError(
                f"'{file}' holds {held_out} pairs of images that are kept to measure with: train on none of them."
            )
        batch = batch.filter(pc.is_in(batch["task"], value_set=pa.array(wanted, pa.string())))
        for column, values in only.items():
            batch = batch.filter(pc.is_in(batch[column], value_set=pa.array(values, batch.schema.field(column).type)))
        uris = [absolute(uri, base) for uri in batch["uri"].to_pylist()]
        batch = batch.set_column(batch.schema.get_field_index("uri"), "uri", pa.array(uris, pa.string())).select(
            COLUMNS
        )
        for task in batch["task"].unique().to_pylist():
            self._write(task, self._fitting(batch.filter(pc.equal(batch["task"], task))))

    def _fitting(self, table: pa.Table) -> pa.Table:
        """Without the pairs whose prompt or target outgrows the network."""
        if not table.num_rows:
            return table
        prompts = _lengths(self.florence.tokenizer, table["prompt"].to_pylist()) + self.florence.image_tokens + 2
        targets = _lengths(self.florence.tokenizer, table["target"].to_pylist()) + 2
        long_prompt, long_target = prompts > self.florence.max_tokens, targets > self.florence.max_tokens
        self.left_out["prompt_too_long"] += int(long_prompt.sum())
        self.left_out["target_too_long"] += int((long_target & ~long_prompt).sum())
        return table.filter(pa.array(~(long_prompt | long_target)))

    def _write(self, task: str, table: pa.Table) -> None:
        if task not in self._writers:
            path = self.scratch / f"{len(self._writers):02d}.arrow"
            self._writers[task] = (path, pa.ipc.new_file(str(path), table.schema))
        self._writers[task][1].write_table(table.combine_chunks())

    def close(self, wanted: Sequence[str]) -> PairStore:
        tables = {}
        for task in wanted:  # in a fixed order, or the same seed would mix otherwise
            if task in self._writers:
                path, writer = self._writers[task]
                writer.close()
                tables[task] = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return PairStore({task: table for task, table in tables.items() if table.num_rows}, +self.left_out)


def _lengths(tokenizer: Any, texts: list[str]) -> npt.NDArray[np.int64]:
    return np.array([len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]], np.int64)


class PixelStore:
    """Images by locator as square uint8 arrays of the network's size; those last asked for stay in memory."""

    def __init__(self, size: int, *, keep_bytes: int = 512 * 2**20, limits: Limits | None = None) -> None:
        self.size, self.limits = size, limits or Limits()
        self._room = max(keep_bytes // (size * size * 3), 1)
        self._kept: OrderedDict[tuple[str, int], Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, uri: str, offset: int, length: int, image_id: str = "") -> Pixels:
        """size x size x 3. ImageError for what is no image or not this one, FileNotFoundError where it is gone."""
        key = (uri, offset)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        data = read_exactly(Locator(uri, offset, length), image_id)
        pixels = stretched(decode(data, self.limits), self.size)
        with self._lock:
            self._kept[key] = pixels
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        return pixels


def stretched(pixels: Pixels, size: int) -> Pixels:
    """As the checkpoint's image processor resizes: bicubic, to a square, on whole grey levels."""
    from PIL import Image

    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
