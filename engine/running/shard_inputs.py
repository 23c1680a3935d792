"""What one unit reads: the images of its shard, the answers of other nodes, and the labels of the source.

Row i of every file of a shard is about image i of the shard.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.errors import DamageError
from engine.layout import IMAGES, LABELS, TRUTH
from engine.records.embeddings import EMBEDDING, EMBEDDINGS, vectors_of
from engine.records.selection import columns_of, selected, selection_counts, selection_of
from engine.running.graph import KEPT_REGIONS, Node
from engine.running.parse_tables import ParseTable
from engine.schema import ANNOTATIONS, COLUMN_CLASSES, Parse, Sample
from engine.storage.column_reader import ColumnReader
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from engine.storage.sealed import advice_on

if TYPE_CHECKING:
    from engine.running.messages import Unit


class ShardInputs:
    """Reads the inputs of one unit. `digests`: {path: sha256} of all files that the unit may have read."""

    def __init__(self, storage: Storage, nodes: Mapping[str, Node], node: Node, unit: Unit) -> None:
        self.storage, self.nodes, self.node, self.unit = storage, nodes, node, unit
        self.digests: dict[str, str] = {}
        self._records: dict[str, Record] = {}
        self._images = self.record(IMAGES)
        self.image_file = self._reader(self._images, "data")
        self._image_columns: dict[str, pa.Array] = {}
        self._reading = threading.Lock()  # Parquet readers are not thread-safe
        self._tables: dict[str, TableReader] = {}
        self._parses: dict[str, ParseTable] = {}
        # A node that only passes labels on is not a detector: a missing label does not show that an object is absent.
        detectors = (name for name, kinds in node.sample_inputs.items() if "boxes" in kinds)
        self._detectors = tuple(name for name in detectors if "labels" not in nodes[name].needs)
        self._worked_on = {name: self._selection_of(name) for name in self._detectors if nodes[name].where}
        self._selection: tuple[npt.NDArray[np.bool_], dict[int, str]] | None = None
        for name in node.sample_inputs:
            if node.over == "shard":  # it reads its inputs itself, as columns; the commit names all of them
                file = self.record(name).files["data"]
                self.digests[file.path] = file.sha256
                continue
            reader = self._reader(self.record(name), "data", self.columns(name))
            if nodes[name].over == "texts":
                self._parses[name] = ParseTable(reader.read())
            else:
                self._tables[name] = reader
        self._judged: TableReader | None = None
        for name, kinds in node.sample_inputs.items():
            if KEPT_REGIONS in kinds and node.over == "images":
                self._judged = self._reader(self.record(name), "verdicts", ["regions", "region_texts"])
        parts = ("labels", "truth") if "scene" in node.needs else ("labels",) if node.reads_labels else ()
        self._labels = [self._reader(self._images, part) for part in parts if part in self._images.files]

    @functools.cached_property
    def images(self) -> pa.Table:
        """The table of the images of the shard."""
        with self._reading:
            return self.image_file.read()

    def image_column(self, name: str) -> pa.Array:
        """A column of `images`, also from several threads.

        It stays in Arrow, because a shard may have tens of thousands of images.
        """
        with self._reading:
            if name not in self._image_columns:
                self._image_columns[name] = self.image_file.column(name)
            return self._image_columns[name]

    def columns(self, name: str) -> list[str] | None:
        """The columns to read from an input. None stands for all columns."""
        if self.nodes[name].over == "texts":
            return None
        kinds = self.node.sample_inputs[name]
        more = [EMBEDDING] if EMBEDDINGS in kinds else []
        return ["image_id", *columns_of(kinds), "failures", *more]

    def file(self, name: str) -> ColumnReader:
        """The data table of one input, for reading single columns."""
        return self._reader(self.record(name), "data")

    def table(self, name: str) -> pa.Table:
        """The whole data table of one input."""
        return self.file(name).read()

    def part(self, name: str, part: str) -> pa.Table:
        """The table of another part of an input, such as 'verdicts'."""
        return self._reader(self.record(name), part).read()

    def selection(self) -> tuple[npt.NDArray[np.bool_], dict[int, str]] | None:
        """A mask of the images that the node's `where` selects, and {position: sentence} of the undecided ones.

        An image is undecided, and not selected, if a node that `where` reads failed on it. Returns None without a
        `where`.
        """
        where = self.node.where
        if where is None or self._selection is not None:
            return self._selection
        given, failed = [], dict[int, str]()
        for name, kinds in where.reads.items():
            columns = columns_of(kinds)
            table = self._reader(self.record(name), "data", ["image_id", *columns, "failures"]).read()
            given.append((table, columns))
            failed |= _failed(name, table, 0)
        mask = selected(f"annotate.{self.node.name} ({self.node.component})", where.sql, self.images, given)
        mask[list(failed)] = False
        self._selection = mask, failed
        return self._selection

    def counts(self) -> dict[str, object]:
        """Counts for the commit record, which state the images that were selected."""
        found = self.selection()
        return {} if found is None else selection_counts(found[0], len(found[1]))

    def _selection_of(self, name: str) -> npt.NDArray[np.bool_]:
        """A mask of the images on which an input worked."""
        return selection_of(self.record(name).counts, self.image_file.rows)

    def _image_part(self, part: str) -> pa.Table | None:
        return self._reader(self._images, part).read() if part in self._images.files else None

    def record(self, name: str) -> Record:
        """The commit record of an input, in the revision that the unit reads. `name`: a node, or IMAGES."""
        if name in self._records:
            return self._records[name]
        folder = self.node.base if name == IMAGES else self.nodes[name].folder
        try:
            found = self._records[name] = Commits(self.storage, folder).record(self.unit.shard, self.unit.inputs[name])
            return found
        except FileNotFoundError:
            raise DamageError(
                f"The commit of shard {self.unit.shard} in '{folder}' is missing: {advice_on(self.storage, folder)}"
            ) from None

    def _reader(self, record: Record, name: str, columns: Sequence[str] | None = None) -> ColumnReader:
        file = record.files[name]
        self.digests[file.path] = file.sha256
        try:
            return ColumnReader(self.storage, file.path, columns, sha256=file.sha256)
        except FileNotFoundError:
            raise DamageError(
                f"The data file '{file.path}' is missing, but a record names it: {advice_on(self.storage, file.path)}"
            ) from None

    def skipped(self, lo: int, hi: int) -> dict[int, str]:
        """{position: sentence} of the images on which this node cannot work.

        The sentence names the node, read by this one, that failed on the image.
        """
        answer: dict[int, str] = {}
        for name, reader in self._tables.items():
            answer = _failed(name, reader.slice(lo, hi), lo) | answer
        broken = {key: name for name, parses in self._parses.items() for key in parses.failed}
        if broken:
            for offset, sample in enumerate(self.samples(lo, hi)):
                for text in sample.texts:
                    if text.text_key in broken:
                        answer.setdefault(lo + offset, f"{broken[text.text_key]} failed")
        return answer

    def samples(self, lo: int, hi: int) -> list[Sample]:
        """The images [lo, hi), with the annotations that the node reads but without pixels."""
        columns = (self.image_column(name).slice(lo, hi - lo).to_pylist() for name in ("image_id", "width", "height"))
        sizes = zip(*columns, strict=True)
        answer = [Sample(image, width, height, detectors=self._detectors) for image, width, height in sizes]
        for name, mask in self._worked_on.items():
            for sample, worked in zip(answer, mask[lo:hi], strict=True):
                if not worked:
                    sample.detectors = tuple(other for other in sample.detectors if other != name)
        for name, reader in self._tables.items():
            self._add(answer, reader.slice(lo, hi), all_boxes="boxes" in self.node.sample_inputs[name])
        for labels in self._labels:
            self._add(answer, labels.slice(lo, hi), all_boxes=True)
        if self._judged is not None:
            for sample, verdicts in zip(answer, self._judged.slice(lo, hi).to_pylist(), strict=True):
                _drop(sample, verdicts)
        if self._parses:
            keys = dict.fromkeys(text.text_key for sample in answer for text in sample.texts)
            parse = {key: value for table in self._parses.values() for key, value in table.of(keys).items()}
            for sample in answer:
                sample.parse = parse
        return answer

    @property
    def parses(self) -> dict[str, Parse]:
        """{text key: parse} of all inputs, for nodes that work on whole shards."""
        names = [name for name in self.node.sample_inputs if self.nodes[name].over == "texts"]
        return {key: value for name in names for key, value in ParseTable(self.table(name)).all().items()}

    def _add(self, samples: Sequence[Sample], table: pa.Table, *, all_boxes: bool) -> None:
        if EMBEDDING in table.column_names:
            for sample, vector in zip(samples, vectors_of(table[EMBEDDING]), strict=True):
                sample.embedding = vector
        for column in set(ANNOTATIONS) & set(table.column_names):
            kind = COLUMN_CLASSES[column]
            for sample, items in zip(samples, table[column].to_pylist(), strict=True):
                annotations = getattr(sample, column)
                for item in items:
                    if column != "regions" or all_boxes or not item["merged_into"]:
                        annotations.append(kind(**item))

    def distinct_texts(self) -> dict[str, str]:
        """{text key: text} of the texts in the shard, ordered by first occurrence."""
        answer: dict[str, str] = {}
        for reader in self._tables.values():
            for items in reader.read()["texts"].to_pylist():
                for item in items:
                    answer.setdefault(item["text_key"], item["text"])
        return answer

    def _earlier_record(self) -> Record | None:
        """The record of the revision whose failures are tried again. None if this is no retry."""
        previous = self.unit.retry_of
        return None if previous < 0 else Commits(self.storage, self.node.folder).record(self.unit.shard, previous)

    def answered_before(self) -> dict[int, dict[str, Any]] | None:
        """The rows of the earlier revision that a retry keeps, by position. None if this is no retry.

        A row is kept if its image did not fail and its inputs have not changed.
        """
        before = self._earlier_record()
        if before is None:
            return None
        rows = TableReader(self.storage, before.files["data"].path).read()
        # An image that was not selected has no answer to keep.
        same = selection_of(before.counts, rows.num_rows).tolist()
        for path in before.inputs:
            self._compare(path, same)
        if not any(path.startswith(("labels/", "truth/")) for path in before.inputs):
            for labels in self._labels:
                for position, row in enumerate(labels.read().to_pylist()):
                    same[position] = same[position] and not any(row[column] for column in ANNOTATIONS)
        return {
            position: row for position, row in enumerate(rows.to_pylist()) if same[position] and not row["failures"]
        }

    def _compare(self, old_path: str, same: list[bool]) -> None:
        """Set `same` to False for each image whose row in the file `old_path` differs from its row in the input now."""
        if old_path in self.digests or (old_path.startswith(f"{IMAGES}/") and not self.node.reads_labels):
            return
        old = TableReader(self.storage, old_path).read()
        new = self._newer(old_path.rsplit("/", 1)[0], old)
        for position in range(len(same)):
            if new is None or not old.slice(position, 1).equals(new.slice(position, 1)):
                same[position] = False

    def _newer(self, folder: str, old: pa.Table) -> pa.Table | None:
        if folder == IMAGES:
            return old  # an image never changes; its labels are in other files
        if folder in (LABELS, TRUTH):
            return self._image_part(folder)
        for name in self.node.inputs:
            if self.nodes[name].folder == folder and self.nodes[name].over != "texts":
                return self.table(name)
        return None

    def parsed_before(self) -> dict[str, dict[str, Any]] | None:
        """The rows of the earlier revision that a retry keeps, by text key: texts that did not fail.

        None if this is no retry.
        """
        before = self._earlier_record()
        if before is None:
            return None
        rows = TableReader(self.storage, before.files["data"].path).read().to_pylist()
        return {row["text_key"]: row for row in rows if not row["failures"]}


def _drop(sample: Sample, verdicts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Remove the regions and region texts that the rules dropped, and the texts of dropped regions."""
    dropped = {one["id"] for own in verdicts.values() for one in own if not one["kept"]}
    if dropped:
        sample.regions = [region for region in sample.regions if region.id not in dropped]
        sample.region_texts = [text for text in sample.region_texts if not {text.id, text.region_id} & dropped]


def _failed(name: str, table: pa.Table, lo: int) -> dict[int, str]:
    """{position: sentence} of the failures in a table. `lo`: the position of its first row."""
    rows = enumerate(table["failures"].to_pylist(), lo)
    return {position: f"{_origin(name, failed)} failed" for position, failed in rows if failed}


def _origin(name: str, failures: Sequence[Mapping[str, Any]]) -> str:
    """The name of the node that failed first. If the node `name` skipped the image, its error names that other node."""
    first = failures[0]
    if first["reason"] == "skipped":
        return str(first["error"]).removesuffix(" failed")
    return str(first["component"] or name)
