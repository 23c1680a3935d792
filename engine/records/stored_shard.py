"""The record of a shard, read from the files of its nodes: each field when it is first used, and no other.

Rules read few of the many fields of an annotation, so judging a shard takes a third of the time that reading whole
tables takes. The values are those of the record that `assemble` makes of the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import EngineError
from engine.records.assemble import merged_order, outlined
from engine.records.shard import Bools, Column, Fields, Ints, Shard, in_order
from engine.schema import IMAGES, PARSE, RECORD
from engine.storage.column_reader import ColumnReader

ImageColumn = Callable[[pa.Array], pa.Array]  # makes a column of the images from their ids


class StoredShard(Shard):
    """A Shard that reads its fields from files when they are first used."""

    def __init__(
        self,
        images: ColumnReader,
        answers: Sequence[tuple[ColumnReader, Sequence[str]]],
        parses: Sequence[ColumnReader] = (),
        added: Mapping[str, ImageColumn] | None = None,
    ) -> None:
        """`answers`: the file of each node, and the annotation columns that it adds to the record. `parses`: files of
        parsed texts. `added`: further columns of the images, as functions of their ids.
        """
        self._answers = answers
        self._columns, self._made = {}, {}
        listed = images.column("image_id")
        self.ids = answers[0][0].column("image_id") if answers else listed
        for file, _ in answers[1:]:
            if not file.column("image_id").equals(self.ids):
                raise EngineError("Records of different images cannot be joined: pass the files of one shard.")
        self.image = _StoredImages(images, self.ids, listed, added or {})
        self.parse = _StoredParse(parses) if parses else None

    def column(self, name: str) -> Column:
        if name not in self._columns:
            # Failures belong to the record whatever a node adds to it.
            files = [file for file, columns in self._answers if name in columns or name == "failures"]
            masks = {"rle": lambda given: outlined(self, given)} if name == "regions" else {}
            self._columns[name] = _StoredColumn(name, files, len(self), masks)
        return self._columns[name]

    @property
    def failed(self) -> Bools:
        """Which images have a failure, or a text that could not be parsed."""
        failed = super().failed
        if self.parse is None or not len(broken := np.flatnonzero(self.parse.lengths("failures"))):
            return failed
        texts = self.column("texts")
        keys = self.parse.arrow("text_key").take(pa.array(broken))
        failed[texts.image[pc.is_in(texts.arrow("text_key"), value_set=keys).to_numpy(zero_copy_only=False)]] = True
        return failed


class _StoredColumn(Column):
    """One annotation column of several files."""

    def __init__(
        self,
        name: str,
        files: Sequence[ColumnReader],
        images: int,
        changes: Mapping[str, Callable[[pa.Array], pa.Array]],
    ) -> None:
        """`changes`: functions that change the values of a field after it was read."""
        Fields.__init__(self, None)
        self._name, self._changes, self._kind = name, changes, RECORD.field(name).type.value_type
        first = self._kind.field(0).name
        lists = [(file, file.field(name, first)) for file in files]
        parts = [(file, part, offsets) for file, part in lists if (offsets := _offsets(part))[-1]]
        self._files = [file for file, _, _ in parts]
        self._order: Ints | None = None
        self.offsets = parts[0][2] if parts else np.zeros(images + 1, np.int64)
        if len(parts) > 1:
            self.offsets, self._order = merged_order([offsets for _, _, offsets in parts])
        self.image = np.repeat(np.arange(images), np.diff(self.offsets))
        self._made["arrow", first] = self._joined(first, [part for _, part, _ in parts])

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def names(self) -> list[str]:
        return [field.name for field in self._kind]

    @property
    def values(self) -> pa.StructArray:
        return pa.StructArray.from_arrays([self.arrow(name) for name in self.names], fields=list(self._kind))

    def _read(self, name: str) -> pa.Array:
        read = self._joined(name, [file.field(self._name, name) for file in self._files])
        return self._changes[name](read) if name in self._changes else read

    def _joined(self, name: str, parts: Sequence[pa.ListArray]) -> pa.Array:
        kind = self._kind.field(name).type
        arrays = [part.flatten().field(name) for part in parts]
        if len(arrays) < 2:
            only = arrays[0] if arrays else pa.nulls(0, kind)
            return only if only.type == kind else only.cast(kind)
        return pa.concat_arrays([array.cast(kind) for array in arrays]).take(pa.array(self._order))


def _offsets(lists: pa.ListArray) -> Ints:
    offsets: Ints = lists.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0] if len(offsets) else np.zeros(1, np.int64)


class _StoredImages(Fields):
    """The columns of the images, in the order of `ids`."""

    def __init__(
        self,
        file: ColumnReader,
        ids: pa.Array,
        listed: pa.Array,
        added: Mapping[str, ImageColumn],
    ) -> None:
        super().__init__(None)
        self._file, self._ids, self._added = file, ids, added
        self._order = in_order(listed, ids)
        self._made["arrow", "image_id"] = ids

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def names(self) -> list[str]:
        return [*IMAGES.names, *self._added]

    @property
    def values(self) -> pa.Table:
        return pa.table({name: self.arrow(name) for name in self.names})

    def _read(self, name: str) -> pa.Array:
        if name in self._added:
            return self._added[name](self._ids)
        read = self._file.column(name)
        return read if self._order is None else read.take(self._order)


class _StoredParse(Fields):
    """The columns of the parsed texts, with one row for each text. Two nodes may have written the same text."""

    def __init__(self, files: Sequence[ColumnReader]) -> None:
        super().__init__(None)
        self._files = files
        self._rows: pa.Array | None = None
        keys = self._read("text_key").dictionary_encode()
        if len(keys.dictionary) < len(keys):
            self._rows = pa.array(np.sort(np.unique(keys.indices.to_numpy(), return_index=True)[1]))
        self._size = len(keys.dictionary)

    def __len__(self) -> int:
        return self._size

    @property
    def names(self) -> list[str]:
        return list(PARSE.names)

    @property
    def values(self) -> pa.Table:
        return pa.table({name: self.arrow(name) for name in self.names}, schema=PARSE)

    def _read(self, name: str) -> pa.Array:
        arrays = [file.column(name) for file in self._files]
        read = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
        return read if self._rows is None else read.take(self._rows)
