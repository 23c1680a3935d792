"""The record of a shard as flat arrays: one array for each field, over all annotations of all images.

`image` is the row number of an image in the shard, not an id. References become row numbers; -1 for a missing id.
Arrays are made on first use and stored, so do not write to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import EngineError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

T = TypeVar("T")


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def filled(strings: pa.Array) -> Bools:
    """Which strings are not empty."""
    lengths: Numbers = pc.binary_length(strings).to_numpy(zero_copy_only=False)
    return lengths > 0


def as_lists(kind: pa.DataType, offsets: Ints, values: pa.Array) -> pa.ListArray:
    """An Arrow list array of the type `kind`, made of offsets and flat values."""
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=kind)


def with_field(values: pa.StructArray, name: str, replaced: pa.Array) -> pa.StructArray:
    """The structs, with one field replaced."""
    fields = list(values.type)
    arrays = [replaced if field.name == name else values.field(field.name) for field in fields]
    return pa.StructArray.from_arrays(arrays, fields=fields)


class Fields:
    """The fields of flat rows: as Arrow arrays, as NumPy arrays of numbers, or, for strings, as codes."""

    def __init__(self, values: pa.StructArray | pa.Table | None) -> None:
        self._values = values
        self._made: dict[tuple[str, str], Any] = {}

    @property
    def values(self) -> pa.StructArray | pa.Table:
        """The rows with all their fields."""
        return self._values

    @property
    def names(self) -> list[str]:
        """The names of the fields."""
        return [field.name for field in (self.values.type if self._structs else self.values.schema)]

    @property
    def _structs(self) -> bool:
        return isinstance(self.values, pa.StructArray)

    def __len__(self) -> int:
        return len(self.values)

    def _read(self, name: str) -> pa.Array:
        return self.values.field(name) if self._structs else one_array(self.values.column(name))

    def _once(self, kind: str, name: str, make: Callable[[], T]) -> T:
        if (kind, name) not in self._made:
            self._made[kind, name] = make()
        made: T = self._made[kind, name]
        return made

    def arrow(self, name: str) -> pa.Array:
        return self._once("arrow", name, lambda: self._read(name))

    def numbers(self, name: str) -> Numbers:
        """The field as a NumPy array. Null becomes NaN."""
        return self._once("numbers", name, lambda: self.arrow(name).to_numpy(zero_copy_only=False))

    def codes(self, name: str) -> tuple[Numbers, list[str]]:
        """A number for each row, and the string that each number stands for.

        Numbers are compared much faster than strings.
        """

        def make() -> tuple[Numbers, list[str]]:
            coded = self.arrow(name).dictionary_encode()
            return coded.indices.to_numpy(), coded.dictionary.to_pylist()

        return self._once("codes", name, make)

    def lengths(self, name: str) -> Numbers:
        return self._once("lengths", name, lambda: pc.list_value_length(self.arrow(name)).to_numpy())


class Column(Fields):
    """One list column, flattened. The values of image k are offsets[k]:offsets[k + 1]."""

    def __init__(self, lists: pa.ListArray) -> None:
        offsets = lists.offsets.to_numpy().astype(np.int64)
        super().__init__(lists.flatten())
        self.offsets: Ints = offsets - offsets[0] if len(offsets) else np.zeros(1, np.int64)
        self.image: Ints = np.repeat(np.arange(len(lists)), np.diff(self.offsets))


class Shard:
    """The record of a shard, with its images and, if given, its parses.

    `images`: a table with at least the images of the record, in any order.
    """

    def __init__(self, record: pa.Table, images: pa.Table, parse: pa.Table | None = None) -> None:
        self.record = record
        self.ids = one_array(record.column("image_id"))
        self.image = Fields(_in_order(images, self.ids))
        self.parse = None if parse is None else Fields(parse)
        self._columns: dict[str, Column] = {}
        self._made: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = Column(one_array(self.record.column(name)))
        return self._columns[name]

    @property
    def failed(self) -> Bools:
        """Which images have a failure."""
        failed: Bools = np.diff(self.column("failures").offsets) > 0
        return failed

    def find(self, name: str, image: Ints, ids: pa.Array) -> Ints:
        """The row in the column `name` of each of these ids. -1 if it is missing.

        `image`: for each id, the row of its image.
        """
        if not len(ids):
            return np.zeros(0, np.int64)
        column = self.column(name)
        coded = pa.concat_arrays([column.arrow("id"), ids]).dictionary_encode()
        codes, known = coded.indices.to_numpy(), len(column)
        keys = column.image * len(coded.dictionary) + codes[:known]
        wanted = image * len(coded.dictionary) + codes[known:]
        found = pc.index_in(pa.array(wanted), value_set=pa.array(keys))
        rows: Ints = pc.fill_null(found, -1).to_numpy().astype(np.int64)
        return rows

    def _once(self, name: str, make: Callable[[], Ints]) -> Ints:
        if name not in self._made:
            self._made[name] = make()
        made: Ints = self._made[name]
        return made

    @property
    def roots(self) -> Ints:
        """For each region the row of the region that it was finally merged into. Its own row if it was not merged."""
        return self._once("roots", self._roots)

    def _roots(self) -> Ints:
        regions = self.column("regions")
        roots = np.arange(len(regions))
        merged = np.flatnonzero(filled(regions.arrow("merged_into")))
        if len(merged):
            target = self.find("regions", regions.image[merged], regions.arrow("merged_into").take(pa.array(merged)))
            roots[merged] = np.where(target >= 0, target, merged)
            # Each step follows twice as many merges. The limit also ends cycles.
            for _ in range(len(roots).bit_length()):
                roots = roots[roots]
        return roots

    def root_of(self, rows: Ints) -> Ints:
        """For each of these regions the one that it was finally merged into. -1 stays -1."""
        return np.where(rows >= 0, self.roots[rows], -1) if len(rows) and len(self.roots) else rows

    @property
    def phrase_text(self) -> Ints:
        """For each phrase the row of the text that it is part of."""
        phrases = self.column("phrases")
        return self._once("phrase_text", lambda: self.find("texts", phrases.image, phrases.arrow("text_id")))

    @property
    def region_text_region(self) -> Ints:
        """For each region text the row of its region. If the region was merged, the row of the final region."""
        texts = self.column("region_texts")
        return self._once(
            "region_text_region", lambda: self.root_of(self.find("regions", texts.image, texts.arrow("region_id")))
        )

    @property
    def phrase_regions(self) -> Ints:
        """The row of the region for each entry of the `region_ids` of all phrases.

        A merged region is replaced by the final one.
        """
        phrases = self.column("phrases")
        return self._once(
            "phrase_regions",
            lambda: self.root_of(
                self.find("regions", phrases.image[self.phrase_of_link], phrases.arrow("region_ids").flatten())
            ),
        )

    @property
    def phrase_of_link(self) -> Ints:
        phrases = self.column("phrases")
        return self._once("phrase_of_link", lambda: np.repeat(np.arange(len(phrases)), phrases.lengths("region_ids")))

    @property
    def parse_rows(self) -> Ints:
        """For each text the row of its parse. -1 if it has none, or if the parser failed."""
        return self._once("parse_rows", self._parse_rows)

    def _parse_rows(self) -> Ints:
        if self.parse is None:
            raise EngineError("This shard was made without a parse, which a column of the parse needs: pass its parse.")
        keys, known = self.column("texts").arrow("text_key"), self.parse.arrow("text_key")
        rows = pc.fill_null(pc.index_in(keys, value_set=known), -1).to_numpy().astype(np.int64)
        failed = np.flatnonzero(self.parse.lengths("failures"))
        return np.where(np.isin(rows, failed), -1, rows) if len(failed) else rows


def _in_order(images: pa.Table, ids: pa.Array) -> pa.Table:
    """The rows of `images` that have these ids, in the order of the ids."""
    rows = in_order(one_array(images.column("image_id")), ids)
    return images if rows is None else images.take(rows)


def in_order(known: pa.Array, ids: pa.Array) -> pa.Array | None:
    """The row of each of these ids among the known ids. None if the two are equal."""
    if known.equals(ids):
        return None
    rows = pc.index_in(ids, value_set=known)
    if rows.null_count:
        lost = ids.filter(rows.is_null())[0].as_py()
        raise EngineError(f"Image '{lost}' has a record but no row in the images table: pass the images of its shard.")
    return rows


def slice_strings(strings: pa.Array, rows: Ints, start: Numbers, end: Numbers) -> pa.Array:
    """For each row number, strings[row][start:end] in code points; '' for -1.

    Arrow slices all strings at the same place only.
    """
    if not len(strings) or not len(rows):
        return pa.array([""] * len(rows), pa.string())
    _, offsets_buffer, data_buffer = strings.buffers()
    bounds = np.frombuffer(offsets_buffer, np.int32)[strings.offset : strings.offset + len(strings) + 1].astype(
        np.int64
    )
    data = np.frombuffer(data_buffer or b"", np.uint8)[bounds[0] : bounds[-1]]
    bounds -= bounds[0]
    points = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data))  # the byte at which each code point starts
    first = np.searchsorted(points, bounds)  # the code point at which each string starts
    low, high = first[:-1][rows], first[1:][rows]
    begin = points[np.clip(low + np.maximum(start, 0), low, high)]
    size = np.maximum(points[np.clip(low + np.maximum(end, 0), low, high)] - begin, 0)
    size[rows < 0] = 0
    ends = np.cumsum(size)
    taken = data[np.repeat(begin - (ends - size), size) + np.arange(int(ends[-1]))]
    offsets = np.append(0, ends).astype(np.int32)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets.tobytes()), pa.py_buffer(taken.tobytes()))
