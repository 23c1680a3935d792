"""One shard of a release: its rows, and its files, one for each format.

The component `Release` runs in a worker. It fails if the bytes of an image cannot be read. When the run gives up on
such images, they are left out and listed in the manifest as lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from engine.component import Output
from engine.errors import SourcesGone, StorageError
from engine.images.decode import EXTENSIONS
from engine.images.locate import image_bytes
from engine.layout import LOOSE_FILES
from engine.running.shard_inputs import ShardInputs
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, File
from engine.storage.files import Storage, sha256_file
from model.pairs.options import PairOptions
from pipelines.emit.choice.rows import ChosenRows, chosen_rows
from pipelines.emit.figures import shard_figures
from pipelines.emit.loose_files import LOOSE_PART, LooseFiles
from pipelines.emit.source_names import released_sources
from pipelines.emit.write_shard import Written, remove, write_shard
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.format import IMAGE_COLUMNS, SAMPLE, Shard
from pipelines.release_options import ResizeOptions


class Release:
    """Writes the files of one shard of a release.

    `numbers`: {shard of the data set: its number in the release}; empty if the shards are those of a choice.
    `formats`: the names of the formats to write. `embeddings`: the nodes whose embeddings are released. `labels`:
    emit.label_list. `resize`: emit.qwen2_5_vl. `yolo_polygons`: emit.yolo_polygons. `reads`: {node: resources} that a
    shard of a choice is made from. `label_map`: emit.labels.
    """

    def __init__(
        self,
        *,
        folder: str,
        numbers: dict[int, int],
        record: list[Any],
        parses: list[str],
        pairs: Mapping[str, Any],
        formats: Sequence[str],
        embeddings: Sequence[str] = (),
        labels: Sequence[str] = (),
        resize: Mapping[str, int] | None = None,
        yolo_polygons: bool = False,
        reads: Mapping[str, Sequence[str]] | None = None,
        label_map: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.numbers, self.record, self.parses = folder, numbers, record, parses
        self.options, self.formats, self.embeddings = PairOptions(**pairs), formats, embeddings
        self.labels, self.resize, self.yolo_polygons = labels, ResizeOptions(**(resize or {})), yolo_polygons
        self.reads, self.label_map = dict(reads or {}), dict(label_map or {})

    def load(self) -> None:
        return None

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        rows = chosen_rows(self, shard, inputs)
        if not rows.kept.num_rows:
            return Output({}, 0, counts={})
        content = Shard(release_rows(rows.kept, rows.images, rows.split), rows.split, rows.number, rows.embeddings)
        read = _reader(inputs.storage, rows.images)
        files, written = self._write(inputs.storage, commits, shard, content, read, give_up=inputs.unit.give_up)
        kept, images = _readable(rows, written)
        counts: dict[str, Any] = dict(_counts(kept, images)) if kept.num_rows else {}
        counts |= {f"splits.{rows.split}": kept.num_rows} if kept.num_rows else {}
        lost = [[image_id, reason] for image_id, reason, _ in written.lost]
        left_out = {part: dict(sorted(found.items())) for part, found in written.left_out.items()}
        counts |= {"figures": shard_figures(kept, images)} if kept.num_rows else {}
        more = {"lost": lost, "pairs": written.pairs.totals(), "formats": left_out, "labels": rows.labels}
        return Output(files, kept.num_rows, len(lost), {**counts, **more})

    def _write(
        self,
        storage: Storage,
        commits: Commits,
        number: int,
        shard: Shard,
        read: Callable[[str], bytes],
        *,
        give_up: bool,
    ) -> tuple[dict[str, File], Written]:
        """Writes the files of a shard. Raises SourcesGone if images cannot be read, unless `give_up` is set."""
        loose = LooseFiles(storage, self.folder)
        shard = replace(shard, put=loose.put, labels=self.labels, resize=self.resize, yolo_polygons=self.yolo_polygons)
        paths = {part: storage.scratch(f"{self.folder}/{shard.name}-{part}") for part in self.formats}
        listed = storage.scratch(f"{self.folder}/{LOOSE_FILES}")
        try:
            written = write_shard(paths, shard, read, self.options)
            if written.lost and not give_up:
                remove(paths.values())
                raise SourcesGone(written.lost)
            files = {}
            for part, count in written.rows.items():
                if not count:
                    continue
                name = FORMATS[part].file_name(shard)
                if name:
                    files[part] = _finished(storage, paths[part], f"{self.folder}/{name}", count)
                else:
                    files[part] = commits.put_file(number, paths[part], part, count)
            if count := loose.finish(listed):
                name = f"{LOOSE_FILES}{shard.name}.parquet"
                files[LOOSE_PART] = _finished(storage, listed, f"{self.folder}/{name}", count)
            return files, written
        except OSError as error:
            target = f"{self.folder}/{shard.name}"
            raise StorageError(f"The release shard '{target}' could not be written: {error}") from error


def _finished(storage: Storage, path: str, target: str, rows: int) -> File:
    """Moves a local file into the release."""
    size, digest = os.path.getsize(path), sha256_file(path)
    storage.upload(path, target)
    return File(target, digest, rows, size)


def _readable(rows: ChosenRows, written: Written) -> tuple[pa.Table, pa.Table]:
    """The annotations and the images of a shard without those that cannot be read."""
    if not written.lost:
        return rows.kept, rows.images
    lost_ids = {image_id for image_id, _, _ in written.lost}
    readable = pa.array([image_id not in lost_ids for image_id in rows.images["image_id"].to_pylist()])
    return rows.kept.filter(readable), rows.images.filter(readable)


def _reader(storage: Storage, images: pa.Table) -> Callable[[str], bytes]:
    """A function from image id to original bytes. It raises ImageError if they cannot be read."""
    located = images.select(["image_id", "uri", "offset", "length", "sources"])
    rows = {row["image_id"]: row for row in located.to_pylist()}
    return lambda image_id: image_bytes(storage, rows[image_id])


def release_rows(kept: pa.Table, images: pa.Table, split: str = "train") -> pa.Table:
    """The rows of SAMPLE, made from rows of RECORD and the rows of IMAGES of the same images."""
    if not kept["image_id"].equals(images["image_id"]):
        raise ValueError("the annotations and the rows of images are of different images")
    own = {name: images[name] for name in IMAGE_COLUMNS}
    own["sources"] = released_sources(images["sources"], SAMPLE.field("sources"))
    own["split"] = pa.array([split] * images.num_rows, pa.string())
    columns = [*own.values(), *(kept[name] for name in ANNOTATIONS)]
    return pa.table(columns, names=SAMPLE.names).cast(SAMPLE)


def _counts(kept: pa.Table, images: pa.Table) -> dict[str, int]:
    """Numbers of images (also by file extension) and of annotations in each column (also by granularity or kind)."""
    counts = {"images": kept.num_rows}
    for item in images["format"].combine_chunks().value_counts().to_pylist():
        name = f"images.{EXTENSIONS[item['values']]}"
        counts[name] = counts.get(name, 0) + item["counts"]
    for column in ANNOTATIONS:
        values = kept[column].combine_chunks().flatten()
        counts[column] = len(values)
        for field in ("granularity", "kind"):
            if values.type.get_field_index(field) >= 0:
                for item in values.field(field).value_counts().to_pylist():
                    counts[f"{column}.{item['values']}"] = item["counts"]
    return counts
