"""What one unit reads: the images of its shard, the answers of the nodes it depends on, the labels that came along.

Rows are aligned by position: row i of every file of a shard is image i of that shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.component import RESOURCES
from engine.errors import DamageError
from engine.layout import IMAGES, LABELS, TRUTH
from engine.running.graph import KEPT_REGIONS, Node
from engine.schema import (
    ANNOTATIONS,
    COLUMN_CLASSES,
    Chunk,
    Complexity,
    Parse,
    Sample,
)
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from engine.storage.sealed import advice_on

if TYPE_CHECKING:
    from engine.running.messages import Unit


class ShardInputs:
    def __init__(self, storage: Storage, nodes: Mapping[str, Node], node: Node, unit: Unit) -> None:
        self.storage, self.nodes, self.node, self.unit = storage, nodes, node, unit
        self.digests: dict[str, str] = {}
        self._images = self._record(IMAGES)
        self.images: pa.Table = self._reader(self._images, "data").read()
        self._sizes = self._named_sizes() if node.over == "images" else []
        self._tables: dict[str, TableReader] = {}
        self._parses: dict[str, Mapping[str, Parse]] = {}
        # Who hands on labels looked at nothing: its silence says nothing either.
        detectors = (name for name, kinds in node.inputs.items() if "boxes" in kinds)
        self._detectors = tuple(name for name in detectors if "labels" not in nodes[name].needs)
        for name in node.inputs:
            reader = self._reader(self._record(name), "data", self.columns(name))
            if nodes[name].over == "texts":
                self._parses[name] = _parses(reader.read())
            else:
                self._tables[name] = reader
        self._judged: TableReader | None = None
        for name, kinds in node.inputs.items():
            if KEPT_REGIONS in kinds and node.over == "images":
                self._judged = self._reader(self._record(name), "verdicts", ["regions", "region_texts"])
        parts = ("labels", "truth") if "scene" in node.needs else ("labels",) if node.reads_labels else ()
        self._labels = [self._reader(self._images, part) for part in parts if part in self._images.files]

    def _named_sizes(self) -> list[tuple[str, int, int]]:
        columns = (self.images[name].to_pylist() for name in ("image_id", "width", "height"))
        return list(zip(*columns, strict=True))

    def columns(self, name: str) -> list[str] | None:
        """The columns read from an input: those its resources fill."""
        if self.nodes[name].over == "texts":
            return None
        wanted = {column for kind in self.node.inputs[name] for column in RESOURCES[kind]}
        return ["image_id", *(column for column in ANNOTATIONS if column in wanted), "failures"]

    def table(self, name: str) -> pa.Table:
        """The whole committed table of one input, for components over a shard."""
        return self._reader(self._record(name), "data").read()

    def part(self, name: str, part: str) -> pa.Table:
        """Another committed table of an input, beside its answers."""
        return self._reader(self._record(name), part).read()

    def record(self, name: str) -> Record:
        return self._record(name)

    def _said(self, part: str) -> pa.Table | None:
        return self._reader(self._images, part).read() if part in self._images.files else None

    def _record(self, name: str) -> Record:
        folder = self.node.base if name == IMAGES else self.nodes[name].folder
        try:
            return Commits(self.storage, folder).record(self.unit.shard, self.unit.inputs[name])
        except FileNotFoundError:
            raise DamageError(
                f"The commit of shard {self.unit.shard} in '{folder}' is gone: {advice_on(self.storage, folder)}"
            ) from None

    def _reader(self, record: Record, name: str, columns: Sequence[str] | None = None) -> TableReader:
        file = record.files[name]
        self.digests[file.path] = file.sha256
        try:
            return TableReader(self.storage, file.path, columns, sha256=file.sha256)
        except FileNotFoundError:
            raise DamageError(
                f"The data file '{file.path}' is gone though a record names it: {advice_on(self.storage, file.path)}"
            ) from None

    def skipped(self, lo: int, hi: int) -> dict[int, str]:
        """Positions whose inputs failed, with the sentence that says which."""
        answer: dict[int, str] = {}
        for name, reader in self._tables.items():
            failures = reader.slice(lo, hi)["failures"].to_pylist()
            for offset, failed in enumerate(failures):
                if failed:
                    answer.setdefault(lo + offset, f"{_origin(name, failed)} failed")
        broken = {key: name for name, parses in self._parses.items() for key, parse in parses.items() if parse.failures}
        if broken:
            for offset, sample in enumerate(self.samples(lo, hi)):
                for text in sample.texts:
                    if text.text_key in broken:
                        answer.setdefault(lo + offset, f"{broken[text.text_key]} failed")
        return answer

    def samples(self, lo: int, hi: int) -> list[Sample]:
        """The images [lo, hi) with the annotations this node reads; pixels are put in by the worker."""
        answer = [Sample(*size, asked=self._detectors) for size in self._sizes[lo:hi]]
        for name, reader in self._tables.items():
            self._add(answer, reader.slice(lo, hi), all_boxes="boxes" in self.node.inputs[name])
        for labels in self._labels:
            self._add(answer, labels.slice(lo, hi), all_boxes=True)
        if self._judged is not None:
            for sample, verdicts in zip(answer, self._judged.slice(lo, hi).to_pylist(), strict=True):
                _drop(sample, verdicts)
        if self._parses:
            parse = self.parses
            for sample in answer:
                sample.parse = parse
        return answer

    @property
    def parses(self) -> dict[str, Parse]:
        """What the parsers among the inputs say of each text, by its key."""
        return {key: value for parses in self._parses.values() for key, value in parses.items()}

    def _add(self, samples: Sequence[Sample], table: pa.Table, *, all_boxes: bool) -> None:
        for column in set(ANNOTATIONS) & set(table.column_names):
            kind = COLUMN_CLASSES[column]
            for sample, items in zip(samples, table[column].to_pylist(), strict=True):
                place = getattr(sample, column)
                for item in items:
                    if column != "regions" or all_boxes or not item["merged_into"]:
                        place.append(kind(**item))

    def distinct_texts(self) -> dict[str, str]:
        """{text_key: text} over the shard, in the order of first occurrence."""
        answer: dict[str, str] = {}
        for reader in self._tables.values():
            for items in reader.read()["texts"].to_pylist():
                for item in items:
                    answer.setdefault(item["text_key"], item["text"])
        return answer

    def _before(self) -> Record | None:
        """This node's own commit at an earlier revision, if there is one."""
        previous = self.unit.retry_of
        return None if previous < 0 else Commits(self.storage, self.node.folder).record(self.unit.shard, previous)

    def answered_before(self) -> dict[int, dict[str, Any]] | None:
        """Rows of the revision before that still stand: same inputs, no failure."""
        before = self._before()
        if before is None:
            return None
        rows = TableReader(self.storage, before.files["data"].path).read()
        same = [True] * rows.num_rows
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
        """Mark rows whose input changed between the revisions."""
        if old_path in self.digests or (old_path.startswith(f"{IMAGES}/") and not self.node.reads_labels):
            return
        old = TableReader(self.storage, old_path).read()
        new = self._newer(old_path.rsplit("/", 1)[0], old)
        for position in range(len(same)):
            if new is None or not old.slice(position, 1).equals(new.slice(position, 1)):
                same[position] = False

    def _newer(self, folder: str, old: pa.Table) -> pa.Table | None:
        if folder == IMAGES:
            return old  # what a node reads of an image never changes; labels lie apart
        if folder in (LABELS, TRUTH):
            return self._said(folder)
        for name in self.node.inputs:
            if self.nodes[name].folder == folder and self.nodes[name].over != "texts":
                return self.table(name)
        return None

    def parsed_before(self) -> dict[str, dict[str, Any]] | None:
        before = self._before()
        if before is None:
            return None
        rows = TableReader(self.storage, before.files["data"].path).read().to_pylist()
        return {row["text_key"]: row for row in rows if not row["failures"]}


def _drop(sample: Sample, verdicts: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Take out the regions that were dropped, and what is written of them."""
    dropped = {one["id"] for own in verdicts.values() for one in own if not one["kept"]}
    if dropped:
        sample.regions = [region for region in sample.regions if region.id not in dropped]
        sample.region_texts = [text for text in sample.region_texts if not {text.id, text.region_id} & dropped]


def _origin(name: str, failures: Sequence[Mapping[str, Any]]) -> str:
    """Who failed first: a skipped row names the one it was skipped for."""
    first = failures[0]
    if first["reason"] == "skipped":
        return str(first["error"]).removesuffix(" failed")
    return str(first["component"] or name)


def _parses(table: pa.Table) -> dict[str, Parse]:
    return {row["text_key"]: _parse(row) for row in table.to_pylist()}


def _parse(row: Mapping[str, Any]) -> Parse:
    return Parse(
        **{
            **row,
            "object_complexity": Complexity(**row["object_complexity"]),
            "action_complexity": Complexity(**row["action_complexity"]),
            "chunks": [Chunk(**chunk) for chunk in row["chunks"]],
        }
    )
