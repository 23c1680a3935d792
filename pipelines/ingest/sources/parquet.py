"""Parquet files as a source. Each row is an input, with its image in a column of bytes or URIs, and with captions.

Listing reads captions but no images. engine.storage.parquet_rows reads the images, row by row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import pyarrow as pa

from engine.errors import ConfigError, StorageError, unknown
from engine.images.file_kinds import recognise
from engine.storage.files import storage_errors
from engine.storage.open_uri import read_uri, shortened, why_unreadable
from engine.storage.parquet_rows import parquet_file
from engine.storage.uris import broken_uri, parquet_uri
from engine.storage.web import is_web
from pipelines.ingest.sources.captions import CAPTIONS_BY, CUSTOMARY, WEB, Captions
from pipelines.ingest.sources.containers import UNOPENED, Reader, find_containers, list_containers
from pipelines.ingest.sources.file_uris import resolve_file
from pipelines.ingest.sources.source import LICENCE, PATH, Entry
from pipelines.ingest.sources.source_path import resolve_source

IMAGES = ("image", "jpg", "jpeg", "png", "webp", "bytes")
URIS = ("uri", "url", "image_url", "image_path", "file_name", "path", "image")
BATCH, BATCH_OF_IMAGES = 1024, 32  # rows

Fits = Callable[[pa.Schema, str], bool]


@dataclass(slots=True)
class Columns:
    """The columns to read from a file. Either `image` or `uri` is empty."""

    image: str = ""
    uri: str = ""
    captions: list[str] = field(default_factory=list)


class ParquetRows:
    """The rows of Parquet files, local or remote, that are named by a path, a folder, a glob, or a range in braces.

    `image`: a column of bytes, or of Hugging Face images {bytes, path}. `uri`: a column of URLs, or of paths relative
    to the file's folder. `captions`: columns of texts, or of lists of texts. By default, columns are found by type and
    usual names. `captions_by`: `web` for alt-text, which rules judge, or `human`.
    """

    OPTIONS: ClassVar = {
        "path": PATH,
        "image": "the column with the bytes of the image",
        "uri": "the column with the URI of the image",
        "captions": "columns of texts, or of lists of texts",
        "captions_by": CAPTIONS_BY,
        "licence": LICENCE,
    }
    LISTS: ClassVar = {"captions": "columns such as [caption]"}

    def __init__(
        self,
        path: str,
        image: str = "",
        uri: str = "",
        captions: Sequence[str] | None = None,
        captions_by: str = WEB,
        licence: str = "",
    ) -> None:
        self.name = resolve_source(path)[0]
        self.image, self.uri, self.captions = image, uri, captions
        self.texts, self.licence = Captions(captions_by), licence
        self.left_out, self.notes = self.texts.left_out, list[str]()
        self.found, self.opened = list[str](), dict[str, Reader]()
        self.has_images = False  # whether any file so far had a column of images
        if image and uri:
            raise ConfigError("The source 'parquet' has image: and uri:, expected only one of them.")

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        found, lost = find_containers(self, self.name, (".parquet",))
        options = ["parquet", self.image, self.uri, self.captions, self.texts.by]
        yield from lost
        lacking = ""
        for entry in list_containers(self, found, options, whole):
            lacking = lacking or (entry.error if entry.reason == "no_image_column" else "")
            yield entry
        readers = self.opened.values()
        if (
            lacking
            and not any(reader.has_images for reader in readers if isinstance(reader, ParquetRows))
            and not whole
        ):
            raise ConfigError(lacking)

    def alone(self) -> Self:
        one = copy(self)
        one.texts = Captions(self.texts.by)
        one.left_out, one.notes = one.texts.left_out, []
        return one

    def read(self, uri: str) -> tuple[int, Iterator[Entry]]:
        """The number of rows in a file, and an entry for each row."""
        try:
            with storage_errors(uri):
                file = parquet_file(uri)
                rows = _count_rows(file)
                schema = file.schema_arrow
                schema.names  # noqa: B018  # ValueError if a name is not Unicode
        except (*UNOPENED, StorageError) as error:
            if isinstance(error.__cause__ or error, UNOPENED) or is_web(uri) or why_unreadable(error):
                # The file itself is listed, so that the probe reports why it cannot be read.
                return 0, iter([Entry(uri, licence=self.licence)])
            if isinstance(error.__cause__, OSError) and error.__cause__.errno is None:
                return 1, iter([self._broken(uri)])
            raise
        except (pa.ArrowException, ValueError, IndexError):
            return 1, iter([self._broken(uri)])
        try:
            columns = self._columns(schema, uri)
        except ConfigError as error:
            if len(self.found) == 1:
                raise
            # This file has no column of images, but other files of the source may have one.
            lacking = Entry(broken_uri("parquet", uri), licence=self.licence, length=0)
            return 1, iter([replace(lacking, reason="no_image_column", error=str(error)[:1000])])
        self.has_images = True
        if not rows:
            self.texts.left_out["a Parquet file without rows"] += 1
        return rows, self._rows(file, uri, columns)

    def _broken(self, uri: str) -> Entry:
        """An entry for a file that is not Parquet. It states the real format if that is recognised."""
        broken = Entry(broken_uri("parquet", uri), licence=self.licence, length=0)
        start = read_uri(uri, length=2048)
        problem = "it is encrypted" if start.startswith(b"PARE") else recognise(start, "")[1]
        if not problem or start.startswith(b"PAR1"):
            return broken
        return replace(broken, reason="not_parquet", error=f"'{uri}' cannot be read as Parquet: {problem}")

    # --- which columns ---

    def _columns(self, schema: pa.Schema, uri: str) -> Columns:
        """The columns to read.

        Raises ConfigError if no column has images, or if a given one is missing or has a wrong type.
        """
        for name in (self.image, self.uri, *(self.captions or ())):
            if len(schema.get_all_field_indices(name)) > 1:
                raise ConfigError(f"'{uri}' has two columns called '{name}': give each its own name.")
        schema = self._unique(schema, uri)
        captions = self.captions
        if captions is None:
            called = [name for name in schema.names if name.lower() in CUSTOMARY]
            captions = [name for name in called if _is_texts(schema, name)]
            self.notes += [
                f"The column '{name}' of '{uri}' holds {shortened(schema.field(name).type)}: not read as captions."
                for name in called
                if name not in captions
            ]
        for name in captions:
            _check(schema, name, "captions", uri, _is_texts)
        if self.image or not self.uri:
            image = self.image or _customary(schema, IMAGES, _is_image) or _only(schema, _is_image)
            if image:
                _check(schema, image, "image", uri, _is_image)
                return Columns(image, "", list(captions))
        location = self.uri or _customary(schema, URIS, _is_text)
        if not location:
            columns = shortened(
                ", ".join(f"{field.name or 'one without a name'} ({field.type})" for field in schema) or "none", 500
            )
            raise ConfigError(
                f"No column of '{uri}' looks like images: name one with image: or uri:; it has {columns}."
            )
        _check(schema, location, "uri", uri, _is_text)
        return Columns("", location, list(captions))

    def _unique(self, schema: pa.Schema, uri: str) -> pa.Schema:
        """The schema without columns that share a name, because reading them by name would be ambiguous."""
        twice = sorted({name for name in schema.names if len(schema.get_all_field_indices(name)) > 1})
        self.notes += [f"'{uri}' has several columns called '{name}': none of them was read." for name in twice]
        return pa.schema([field for field in schema if field.name not in twice])

    # --- its rows ---

    def _rows(self, file: Any, uri: str, columns: Columns) -> Iterator[Entry]:
        """Yields an entry for each row of the file, also for rows that cannot be read."""
        folder, number = uri.rsplit("/", 1)[0], 0
        with contextlib.closing(file):
            for group in range(file.metadata.num_row_groups):
                for row in self._read(file, group, columns, uri):
                    yield self._entry(row, number, columns, uri, folder)
                    number += 1

    def _read(self, file: Any, group: int, columns: Columns, uri: str) -> Iterator[Mapping[str, Any]]:
        """Yields every row of a row group. A row that cannot be read is empty: the probe reports it later."""
        read, rows = [*columns.captions, *filter(None, [columns.uri])], BATCH
        if columns.image and _may_lie_elsewhere(file, group, columns.image):
            read, rows = [*read, columns.image], BATCH_OF_IMAGES
        left = file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(rows, row_groups=[group], columns=read, use_threads=False) if read else ():
                for row in _values(batch):
                    if left > 0:
                        left -= 1
                        yield row
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                with storage_errors(uri):
                    raise
            self.texts.left_out["captions of rows that cannot be read"] += left if columns.captions else 0
        yield from ({} for _ in range(left))

    def _entry(self, row: Mapping[str, Any], number: int, columns: Columns, uri: str, folder: str) -> Entry:
        labels = self.texts.labels(row.get(name) for name in columns.captions)
        location = row.get(columns.uri) if columns.uri else None
        image = row.get(columns.image)
        if isinstance(image, dict) and image.get("bytes") is None:
            location = image.get("path")
        if location:
            image_file = resolve_file(location, folder)
            reason, error = image_file.reason, image_file.error
            return Entry(image_file.uri, licence=self.licence, labels=labels, reason=reason, error=error)
        return Entry(parquet_uri(columns.image or columns.uri, number, uri), licence=self.licence, labels=labels)


def _count_rows(file: Any) -> int:
    """The number of rows. Raises ValueError if the counts in the file contradict each other, as in a damaged file."""
    metadata = file.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for group in groups:
        flat = [group.column(n).num_values for n in range(group.num_columns) if not _repeats(metadata, n)]
        if group.num_rows < 0 or any(values != group.num_rows for values in flat):
            raise ValueError("rows and values do not agree")
    if (rows := sum(group.num_rows for group in groups)) != metadata.num_rows:
        raise ValueError("rows and groups do not agree")
    return int(rows)


def _repeats(metadata: Any, column: int) -> bool:
    return bool(metadata.schema.column(column).max_repetition_level)


def _values(batch: pa.RecordBatch) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a batch. Bytes that are not UTF-8 become surrogates."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for number in range(batch.num_rows):
            yield {name: _value(column[number]) for name, column in columns.items()}


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        if hasattr(scalar, "as_buffer"):
            return scalar.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
        return [_value(one) for one in scalar.values] if hasattr(scalar, "values") else None


def _may_lie_elsewhere(file: Any, group: int, column: str) -> bool:
    """Whether a column of structs {bytes, path} may hold an image that has a path but no bytes."""
    kind = file.schema_arrow.field(column).type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return False
    metadata = file.metadata.row_group(group)
    chunks = (metadata.column(number) for number in range(metadata.num_columns))
    statistics = next((chunk.statistics for chunk in chunks if chunk.path_in_schema == f"{column}.bytes"), None)
    return statistics is None or not statistics.has_null_count or statistics.null_count > 0


def _is_text(schema: pa.Schema, name: str) -> bool:
    kind = _plain(schema.field(name).type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_texts(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    listed = any(test(kind) for test in tests)
    return _is_text(pa.schema([pa.field(name, kind.value_type)]) if listed else schema, name)


def _is_image(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    if not pa.types.is_struct(kind):
        return _is_bytes(kind)
    if kind.get_field_index("bytes") < 0:
        return False
    inside = kind.field("bytes").type
    return _is_bytes(inside) or (pa.types.is_null(inside) and kind.get_field_index("path") >= 0)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_bytes(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


def _customary(schema: pa.Schema, names: Sequence[str], fits: Fits) -> str:
    """The first column that has one of these names (in upper or lower case) and the right type. '' if there is none."""
    there = {name.lower(): name for name in reversed(schema.names)}
    return next((there[name] for name in names if name in there and fits(schema, there[name])), "")


def _only(schema: pa.Schema, fits: Fits) -> str:
    found = [name for name in schema.names if fits(schema, name)]
    return found[0] if len(found) == 1 else ""


def _check(schema: pa.Schema, name: str, option: str, uri: str, fits: Fits) -> None:
    if name not in schema.names:
        raise unknown(f"column of '{uri}'", name, schema.names)
    if not fits(schema, name):
        kind = shortened(schema.field(name).type)
        expected = {"image": "bytes, or images {bytes, path}", "uri": "texts", "captions": "texts, or lists of texts"}
        raise ConfigError(f"The column '{name}' of '{uri}' holds {kind}, {option}: expects {expected[option]}.")
