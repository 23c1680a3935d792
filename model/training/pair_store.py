"""Random access to the pairs of a training and to their images.

Pairs files are read once and written by task to memory-mapped Arrow files. So a billion pairs need disk space, but
little memory. Pairs that are longer than the network's input are left out and counted, never cut.
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
from model.florence2_tasks import TASKS
from model.network.florence import Florence, Pixels

COLUMNS = ("image_id", "width", "height", "uri", "offset", "length", "task", "prompt", "target")
_ROWS = 50_000  # rows read from a pairs file at a time


@dataclass(slots=True)
class PairStore:
    """All pairs of a training. `tables`: {task: pairs in the order of the files}. `left_out`: number of pairs left out,
    by reason.
    """

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
    """Reads pairs files, given as paths or URLs. `tasks`: the tasks to read; empty for all.

    `base`: the folder that image locations are relative to; '' for the folder of the pairs file. `only`: {column:
    values to keep}, used for folds. Raises ConfigError if there are pairs of images outside the train split, and
    DamageError if a file is damaged.
    """
    chosen = list(tasks) or list(TASKS)
    layout = _Layout(scratch, florence)
    for file in files:
        for batch in _batches(file, only or {}):
            layout.add(batch, file, chosen, only or {}, base or file.rpartition("/")[0] or ".")
    return layout.close(chosen)


def _batches(file: str, others: Iterable[str]) -> Iterator[pa.Table]:
    folder, _, name = file.rpartition("/")
    storage = Storage(folder or ".")
    if (digest := name_digest(name)) and not storage.sha256(name).startswith(digest):
        raise DamageError(
            f"'{file}' is damaged (not the bytes committed): run 'engine check --repair' and follow its advice."
        )
    with storage.open(name) as data:
        columns = list(dict.fromkeys([*COLUMNS, "split", *others]))
        for batch in pq.ParquetFile(data, page_checksum_verification=True).iter_batches(_ROWS, columns=columns):
            yield pa.Table.from_batches([batch])


class _Layout:
    """Writes pairs to one Arrow file for each task."""

    def __init__(self, scratch: Path, florence: Florence) -> None:
        self.scratch, self.florence = scratch, florence
        self.left_out: Counter[str] = Counter()
        self._writers: dict[str, Any] = {}
        scratch.mkdir(parents=True, exist_ok=True)

    def add(self, batch: pa.Table, file: str, chosen: Sequence[str], only: Mapping[str, Any], base: str) -> None:
        held_out = pc.sum(pc.not_equal(batch["split"], "train")).as_py() or 0
        if held_out:
            raise ConfigError(
                f"'{file}' holds {held_out} pairs of images outside the train split, which are for measuring: train on "
                "a release without them."
            )
        batch = batch.filter(pc.is_in(batch["task"], value_set=pa.array(chosen, pa.string())))
        for column, values in only.items():
            batch = batch.filter(pc.is_in(batch[column], value_set=pa.array(values, batch.schema.field(column).type)))
        uris = [absolute(uri, base) for uri in batch["uri"].to_pylist()]
        batch = batch.set_column(batch.schema.get_field_index("uri"), "uri", pa.array(uris, pa.string())).select(
            COLUMNS
        )
        for task in batch["task"].unique().to_pylist():
            self._write(task, self._fitting(batch.filter(pc.equal(batch["task"], task))))

    def _fitting(self, table: pa.Table) -> pa.Table:
        """The table without the pairs whose prompt or target is too long for the network."""
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

    def close(self, chosen: Sequence[str]) -> PairStore:
        tables = {}
        for task in chosen:  # in a fixed order, so that the same seed gives the same schedule
            if task in self._writers:
                path, writer = self._writers[task]
                writer.close()
                tables[task] = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return PairStore({task: table for task, table in tables.items() if table.num_rows}, +self.left_out)


def _lengths(tokenizer: Any, texts: list[str]) -> npt.NDArray[np.int64]:
    return np.array([len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]], np.int64)


class PixelStore:
    """Reads images as square uint8 arrays of the network's size. The images used last are cached, up to
    `keep_bytes`.
    """

    def __init__(self, size: int, *, keep_bytes: int = 512 * 2**20, limits: Limits | None = None) -> None:
        self.size, self.limits = size, limits or Limits()
        self._room = max(keep_bytes // (size * size * 3), 1)
        self._cache: OrderedDict[tuple[str, int], Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, uri: str, offset: int, length: int, image_id: str = "") -> Pixels:
        """The pixels of an image, size x size x 3. Raises ImageError if the bytes are not an image or not the image
        `image_id`, and FileNotFoundError if they do not exist.
        """
        key = (uri, offset)
        with self._lock:
            if (cached := self._cache.get(key)) is not None:
                self._cache.move_to_end(key)
                return cached
        data = read_exactly(Locator(uri, offset, length), image_id)
        pixels = stretched(decode(data, self.limits), self.size)
        with self._lock:
            self._cache[key] = pixels
            while len(self._cache) > self._room:
                self._cache.popitem(last=False)
        return pixels


def stretched(pixels: Pixels, size: int) -> Pixels:
    """Resizes to a square like the checkpoint's image processor: bicubic, on uint8 values."""
    from PIL import Image

    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))
