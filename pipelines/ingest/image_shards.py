"""Writes the shards of images/ with their labels, and packs original bytes into shard tars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Literal

import pyarrow as pa

from engine.errors import ImageError
from engine.images.locate import is_relative, locator_of, read_image
from engine.layout import IMAGES, LABELS, TRUTH
from engine.schema import ANNOTATIONS, record_table
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.storage.commits import Commits, File, Record, TableReader
from engine.storage.files import Storage, storage_errors
from engine.storage.listings import IN_FORCE, IN_SOURCE
from engine.storage.tars import TarWriter
from pipelines.ingest.committed_folders import latest_revision
from pipelines.ingest.labelled_image import Input, LabelledImage, merge_inputs
from pipelines.ingest.placed_images import PlacedImages
from pipelines.ingest.probed_inputs import ProbedInputs
from pipelines.ingest.rows import LabelColumns, ProbedRow
from pipelines.ingest.splits import HELD, TRAIN, Splits
from pipelines.recipe import Recipe

Part = Literal["labels", "truth"]
REVISED = 20_000  # images whose inputs are held in memory at a time
_FOLDERS: dict[Part, str] = {"labels": LABELS, "truth": TRUTH}


class ImageShards:
    """The committed shards, and the shard that is being filled.

    Methods return False if another driver committed first.
    """

    def __init__(self, storage: Storage, recipe: Recipe, splits: Splits, probed: ProbedInputs) -> None:
        self.storage, self.size, self.pack = storage, recipe.ingest.shard_size, recipe.ingest.pack
        self.splits, self.probed = splits, probed
        self.commits = Commits(storage, IMAGES)
        self.next = len(self.commits.revisions())
        self.filling: dict[str, list[Input]] = {}
        self.placed = PlacedImages()  # marked: images whose sources or labels may have changed
        for shard, path in self.commits.data_files().items():
            self.placed.add(shard, self._ids(path))

    def _ids(self, path: str) -> list[str]:
        ids: list[str] = TableReader(self.storage, path, ["image_id"]).read()["image_id"].to_pylist()
        return ids

    def add(self, row: ProbedRow) -> bool:
        """Adds an input to its image. An image that is in no shard is skipped if its source no longer lists it."""
        name, one = row["image_id"], self.probed.input(row)
        if name in self.filling:
            self.filling[name].append(one)
        elif not self.placed.mark(name) and one.state in IN_SOURCE:
            self.filling[name] = [one]
            if len(self.filling) >= self.size:
                return self.flush()
        return True

    def flush(self) -> bool:
        """Commits the shard that is being filled."""
        if not self.filling:
            return True
        images = [merge_inputs(inputs, self.splits.of(name)) for name, inputs in self.filling.items()]
        files = {"tar": _pack(self.commits, self.next, images)} if self.pack else {}
        if not self._commit(self.next, 0, images, files):
            return False
        self.placed.add(self.next, list(self.filling))
        self.filling, self.next = {}, self.next + 1
        return True

    def _commit(self, shard: int, revision: int, images: Sequence[LabelledImage], old: Mapping[str, File]) -> bool:
        """Commits the table and the labels of a shard. `old`: the files of its last revision; only the tar is reused.

        Human labels of audit images go to truth/, which no specialist and no filter reads.
        """
        files = {part: file for part, file in old.items() if part == "tar"}
        table = pa.Table.from_pylist([image.row for image in images], schema=IMAGES_SCHEMA)
        files["data"] = self.commits.put_table(shard, table, revision)
        for part, folder in _FOLDERS.items():
            table = _label_table(images, part)
            if table is not None:
                files[part] = Commits(self.storage, folder).put_table(shard, table, revision)
        return self.commits.commit(Record(shard, revision, files))

    def revise(self, changed: Set[tuple[str, str]]) -> bool:
        """Commits new revisions of the shards whose images changed. `changed`: (source, URI) of the changed files."""
        latest, revision = self.commits.revisions(), 0
        for group in _groups(self.placed.marked()):
            records = {shard: self.commits.record(shard, int(latest[shard])) for shard in group}
            names = {shard: self._names(records[shard], rows) for shard, rows in group.items()}
            self.probed.find(set(chain.from_iterable(names.values())), changed)
            for shard, old in records.items():
                images = self._read_images(old)
                now = {name: self._merged_again(name, images[name]) for name in names[shard]}
                if all(now[name].same(images[name]) for name in now):
                    continue
                revision = revision or latest_revision(self.storage) + 1
                if not self._commit(shard, revision, list((images | now).values()), old.files):
                    return False
        return True

    def _names(self, record: Record, rows: Sequence[int]) -> list[str]:
        ids = self._ids(record.files["data"].path)
        return [ids[row] for row in rows]

    def _merged_again(self, name: str, before: LabelledImage) -> LabelledImage:
        """The image, merged from its current inputs.

        Its split becomes `held` if its only file now contains another image.
        """
        inputs = self.probed.of(name)
        lost = not is_relative(before.row["uri"]) and not any(one.state in IN_FORCE for one in inputs)
        files = {(one.row["source"], one.row["uri"]) for one in inputs}
        lost = lost and any(uri == before.row["uri"] and self.probed.now(source, uri) for source, uri in files)
        return merge_inputs(inputs, HELD if lost else self.splits.of(name), before.row)

    def _read_images(self, record: Record) -> dict[str, LabelledImage]:
        rows = TableReader(self.storage, record.files["data"].path).read().to_pylist()
        images = {row["image_id"]: LabelledImage(row) for row in rows}
        for part in _FOLDERS:
            if part in record.files:
                for row in TableReader(self.storage, record.files[part].path).read().to_pylist():
                    labels = images[row["image_id"]].labels
                    labels |= {name: labels.get(name, []) + row[name] for name in ANNOTATIONS if row[name]}
        return images


def _groups(shards: Iterable[tuple[int, list[int]]]) -> Iterator[dict[int, list[int]]]:
    """The rows of shards, by shard, in groups of about REVISED rows."""
    group: dict[int, list[int]] = {}
    for shard, rows in shards:
        group[shard] = rows
        if sum(map(len, group.values())) >= REVISED:
            yield group
            group = {}
    if group:
        yield group


def _label_table(images: Sequence[LabelledImage], part: Part) -> pa.Table | None:
    """The labels that belong in this part, with one row for each image. None if there are no such labels."""
    columns = [_labels(image, part) for image in images]
    if not any(any(labels.values()) for labels in columns):
        return None
    return record_table([{"image_id": i.row["image_id"], **labels} for i, labels in zip(images, columns, strict=True)])


def _labels(image: LabelledImage, part: Part) -> LabelColumns:
    """The image's labels that belong in this part.

    The part `truth` has the human labels of images not used for training.
    """
    if image.row["split"] == TRAIN:
        return image.labels if part == "labels" else {}
    return {
        name: [item for item in column if (item["score"] is None) is (part == "truth")]
        for name, column in image.labels.items()
    }


def _pack(commits: Commits, shard: int, images: Sequence[LabelledImage]) -> File:
    """Copies the original bytes into a shard tar, and changes the images' locators to their places in it.

    An image whose bytes have changed since the probe keeps its old locator. The worker that reads it then reports the
    change.
    """

    def read(image: LabelledImage) -> bytes | None:
        try:
            return read_image(commits.storage, image.row["image_id"], locator_of(image.row))
        except ImageError:
            return None

    scratch = commits.storage.scratch(f"{commits.folder}/{shard:05d}")
    members: list[tuple[LabelledImage, int, int]] = []
    with storage_errors(scratch), open(scratch, "wb") as file, ThreadPoolExecutor(8) as threads:
        tar = TarWriter(file)
        for batch in (images[start : start + 32] for start in range(0, len(images), 32)):
            for image, data in zip(batch, threads.map(read, batch), strict=True):
                if data is not None:
                    offset, length = tar.add(image.row["image_id"], image.row["format"].lower(), data)
                    members.append((image, offset, length))
        tar.close()
    packed = commits.put_file(shard, scratch, "tar", len(members))
    for image, offset, length in members:
        image.row.update({"uri": packed.path, "offset": offset, "length": length})
    return packed
