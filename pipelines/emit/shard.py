"""One shard of a release: its rows, and its files, one for each format.

The component `Release` runs in a worker. It fails if the bytes of an image cannot be read. When the run gives up on
such images, they are left out and listed in the manifest as lost.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.component import Output
from engine.errors import ImageError, SourcesGone, StorageError
from engine.images.decode import EXTENSIONS
from engine.images.locate import image_bytes
from engine.records.embeddings import EMBEDDING
from engine.running.shard_inputs import ShardInputs
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, File
from engine.storage.files import Storage, sha256_file
from filters.judging.keep import keep
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from pipelines.emit.pairs import PairCounts
from pipelines.emit.source_names import released_sources
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.format import IMAGE_COLUMNS, SAMPLE, Sample, Shard
from pipelines.filter.judge import shard_record


class Release:
    """Writes the files of one shard of a release. `embeddings`: the nodes whose embeddings are released."""

    def __init__(
        self,
        *,
        folder: str,
        numbers: dict[int, int],
        record: list[Any],
        parses: list[str],
        pairs: Mapping[str, Any],
        embeddings: Sequence[str] = (),
    ) -> None:
        self.folder, self.numbers, self.record, self.parses = folder, numbers, record, parses
        self.options, self.embeddings = PairOptions(**pairs), embeddings

    def load(self) -> None:
        return None

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        record, _ = shard_record(inputs, self.record, self.parses)
        kept = _without_audit(keep(record, inputs.table("judge")), inputs.images)
        if not kept.num_rows:
            return Output({}, 0, counts={})
        ids = kept["image_id"].to_pylist()
        images = _rows_of(inputs.images, ids)
        names = {part: form.file_name(self.numbers[shard]) for part, form in FORMATS.items()}
        content = Shard(release_rows(kept, images), names["tar"], self._embeddings(inputs, ids))
        read = _reader(inputs.storage, images)
        files, written = self._write(inputs.storage, names, content, read, give_up=inputs.unit.give_up)
        if written.lost:
            lost_ids = {image_id for image_id, _, _ in written.lost}
            readable = pa.array([image_id not in lost_ids for image_id in images["image_id"].to_pylist()])
            kept, images = kept.filter(readable), images.filter(readable)
        counts = _counts(kept, images) if kept.num_rows else {}
        lost = [[image_id, reason] for image_id, reason, _ in written.lost]
        totals = written.pairs.totals()
        return Output(files, kept.num_rows, len(lost), {**counts, "lost": lost, "pairs": totals})

    def _embeddings(self, inputs: ShardInputs, ids: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """The columns of vectors of these images. If a crash lost every image of a shard, its table has no column."""
        tables = {name: inputs.table(name) for name in self.embeddings}
        return {
            name: _rows_of(table.select(["image_id", EMBEDDING]), ids)[EMBEDDING]
            for name, table in tables.items()
            if EMBEDDING in table.column_names
        }

    def _write(
        self,
        storage: Storage,
        names: Mapping[str, str],
        shard: Shard,
        read: Callable[[str], bytes],
        *,
        give_up: bool,
    ) -> tuple[dict[str, File], Written]:
        """Writes the files of a shard. Raises SourcesGone if images cannot be read, unless `give_up` is set."""
        paths = {part: storage.scratch(f"{self.folder}/{name}") for part, name in names.items()}
        try:
            written = write_shard(paths, shard, read, self.options)
            if written.lost and not give_up:
                _remove(paths.values())
                raise SourcesGone(written.lost)
            if not written.rows["tar"]:  # loaders refuse a tar without images
                _remove(paths.values())
                return {}, written
            files = {}
            for part, count in written.rows.items():
                if count:
                    path, target = paths[part], f"{self.folder}/{names[part]}"
                    size, digest = os.path.getsize(path), sha256_file(path)
                    storage.upload(path, target)
                    files[part] = File(target, digest, count, size)
            return files, written
        except OSError as error:
            target = f"{self.folder}/{names['tar']}"
            raise StorageError(f"The release shard '{target}' could not be written: {error}") from error


def _without_audit(kept: pa.Table, images: pa.Table) -> pa.Table:
    """The rows of images in the split "train". Images of the audit split are used to measure, never to train."""
    training = images.filter(pc.equal(images["split"], "train"))["image_id"]
    return kept.filter(pc.is_in(kept["image_id"], value_set=training.combine_chunks()))


def _rows_of(images: pa.Table, wanted: Sequence[str]) -> pa.Table:
    position = {image_id: row for row, image_id in enumerate(images["image_id"].to_pylist())}
    return images.take([position[image_id] for image_id in wanted])


def _reader(storage: Storage, images: pa.Table) -> Callable[[str], bytes]:
    """A function from image id to original bytes. It raises ImageError if they cannot be read."""
    located = images.select(["image_id", "uri", "offset", "length", "sources"])
    rows = {row["image_id"]: row for row in located.to_pylist()}
    return lambda image_id: image_bytes(storage, rows[image_id])


def release_rows(kept: pa.Table, images: pa.Table) -> pa.Table:
    """The rows of SAMPLE, made from rows of RECORD and the rows of IMAGES of the same images."""
    if not kept["image_id"].equals(images["image_id"]):
        raise ValueError("the annotations and the rows of images are of different images")
    sources = released_sources(images["sources"], SAMPLE.field("sources"))
    own = [sources if name == "sources" else images[name] for name in IMAGE_COLUMNS]
    columns = own + [kept[name] for name in ANNOTATIONS]
    return pa.table(columns, names=SAMPLE.names).cast(SAMPLE)


@dataclass(frozen=True, slots=True)
class Written:
    """The result of `write_shard`: rows in each file, lost images as (id, reason, error), counts of pairs."""

    rows: dict[str, int]
    lost: list[tuple[str, str, str]]
    pairs: PairCounts


def write_shard(
    paths: Mapping[str, str], shard: Shard, read: Callable[[str], bytes], options: PairOptions | None = None
) -> Written:
    """Writes one local file for each format in `paths`. The same rows and bytes give the same files.

    `read` returns the bytes of an image id. If it raises ImageError, the image is left out. Files without rows are
    removed.
    """
    lost: list[tuple[str, str, str]] = []
    pairs = PairCounts()
    with contextlib.ExitStack() as opened:
        writers = {
            part: FORMATS[part].writer(opened.enter_context(open(path, "wb")), shard) for part, path in paths.items()
        }
        for number, row in enumerate(shard.rows.to_pylist()):
            try:
                data = read(row["image_id"])
            except ImageError as error:
                lost.append((row["image_id"], error.reason, str(error)))
                continue
            compiled = compile_pairs(row, width=row["width"], height=row["height"], options=options or PairOptions())
            pairs.add(compiled)
            sample = Sample(number, row, data, compiled.pairs)
            for writer in writers.values():
                writer.add(sample)
        rows = {part: writer.finish() for part, writer in writers.items()}
    _remove(path for path in paths.values() if not os.path.getsize(path))
    return Written(rows, lost, pairs)


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _counts(kept: pa.Table, images: pa.Table) -> dict[str, int]:
    """Numbers of images (also by file extension) and of annotations in each column (also by granularity or kind)."""
    counts = {"images": kept.num_rows}
    for item in images["format"].combine_chunks().value_counts().to_pylist():
        counts[f"images.{EXTENSIONS[item['values']]}"] = item["counts"]
    for column in ANNOTATIONS:
        values = kept[column].combine_chunks().flatten()
        counts[column] = len(values)
        for field in ("granularity", "kind"):
            if values.type.get_field_index(field) >= 0:
                for item in values.field(field).value_counts().to_pylist():
                    counts[f"{column}.{item['values']}"] = item["counts"]
    return counts
