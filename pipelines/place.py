"""Give every distinct image its place in a shard, in listing order and for good.

An exact duplicate becomes one more source of its image. Sources and labels that are found later are committed as a
later revision of the shard: no image ever moves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.config import Recipe
from engine.errors import ImageError
from engine.graph import IMAGES, Node
from engine.plan import Plan
from engine.schema import ANNOTATIONS, RECORD
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.shards import Commits, File, Record, TableReader, check_order
from engine.storage import Storage, read_image, storage_errors
from engine.tars import TarWriter
from pipelines.ingest import INPUTS_FOLDER
from pipelines.splits import FOLDER as SPLITS_FOLDER
from pipelines.splits import TRAIN, Splits

LABELS_FOLDER, TRUTH_FOLDER, PLACED_FOLDER = "labels", "truth", "placed"
# What is committed by other numbers than those of image shards.
NOT_OVER = frozenset(
    (INPUTS_FOLDER, "probe", PLACED_FOLDER, "splits", "surveyed", "releases", "models", "runs", "rounds")
)
LOCATOR = ("uri", "offset", "length")


@dataclass(slots=True)
class _Image:
    """One distinct image on its way to its place, with everything its sources say of it."""

    row: dict[str, Any]
    sources: list[dict[str, str]]
    labels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, probed: Mapping[str, Any]) -> bool:
        """Take in what one more listing says of it; False if all of it was known."""
        source = {"source": probed["source"], "uri": probed["uri"]}
        before = (len(self.sources), self._said())
        if source not in self.sources:
            self.sources.append(source)
        self.licence(probed["licence"])
        self._add_labels({name: probed[name] for name in ANNOTATIONS})
        return before != (len(self.sources), self._said())

    def _said(self) -> int:
        return sum(map(len, self.labels.values()))

    def licence(self, licence: str) -> None:
        if licence and not self.row["licence"]:
            self.row["licence"] = licence

    def _add_labels(self, said: Mapping[str, list[dict[str, Any]]]) -> None:
        """Take in what a source says. What was said before is said once; new ids are made unique, references follow."""
        known = {_told(item): item["id"] for column in self.labels.values() for item in column}
        taken = set(known.values())
        names: dict[str, str] = {}
        for column in said.values():
            for item in column:
                names[item["id"]] = known.get(_told(item)) or _free(item["id"], taken)
                taken.add(names[item["id"]])
        old = set(known.values())
        for name, column in said.items():
            for item in column:
                if names[item["id"]] not in old:
                    self.labels.setdefault(name, []).append(_renamed(item, names))


_REFERENCES = ("id", "region_id", "text_id")
_REFERENCE_LISTS = ("region_ids", "parents", "support")


def _told(item: Mapping[str, Any]) -> str:
    """What an annotation says, apart from what it is called and refers to."""
    return json.dumps({k: v for k, v in item.items() if k not in (*_REFERENCES, *_REFERENCE_LISTS)}, sort_keys=True)


def _free(name: str, taken: set[str]) -> str:
    producer, number = name.rpartition("/")[0] or "human", len(taken)
    while name in taken:
        name, number = f"{producer}/{number}", number + 1
    return name


def _renamed(item: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    new = dict(item)
    for key in _REFERENCES:
        if key in new:
            new[key] = names.get(new[key], new[key])
    for key in _REFERENCE_LISTS:
        if key in new:
            new[key] = [names.get(name, name) for name in new[key]]
    return new


def _image_of(probed: Mapping[str, Any], split: str) -> _Image:
    row = {
        **{name: probed[name] for name in ("image_id", "width", "height", "format", "licence", "bytes", *LOCATOR)},
        "split": split,
    }
    image = _Image(row, [])
    image.add(probed)
    return image


def place_images(storage: Storage, recipe: Recipe, plan: Plan, node: Node) -> None:
    """Give every distinct image that was probed a place; images that have one learn of new sources."""
    while not _place_once(storage, recipe, plan, node):
        pass  # another driver committed a shard meanwhile: begin again from what is committed


def _place_once(storage: Storage, recipe: Recipe, plan: Plan, node: Node) -> bool:
    probed = Commits(storage, node.folder)
    placed = Commits(storage, f"{PLACED_FOLDER}/{node.key[:8]}")
    revisions = plan.revisions[node.name]
    todo = np.flatnonzero(revisions > placed.revisions(len(revisions)))
    if not len(todo):
        return True
    check_order(storage, IMAGES, [folder for folder in commit_folders(storage) if folder.split("/")[0] not in NOT_OVER])
    splits = Splits(storage, recipe.ingest.audit)
    if not splits.draw(_rows(probed, todo, revisions, ["image_id", "phash", "uri", "failures"])):
        return False
    shards = _Shards(storage, recipe, splits)
    for row in _rows(probed, todo, revisions):
        if not shards.take(row):
            return False
    if not shards.flush() or not shards.revise():
        return False
    for folder in (INPUTS_FOLDER, SPLITS_FOLDER, IMAGES, LABELS_FOLDER, TRUTH_FOLDER):
        Commits(storage, folder).sweep()
    for chunk in todo:
        placed.commit(Record(int(chunk), int(revisions[chunk]), {}))
    return True


def _rows(
    probed: Commits,
    chunks: npt.NDArray[Any],
    revisions: npt.NDArray[np.int32],
    columns: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """The images among the inputs of these chunks, one chunk in memory at a time."""
    for chunk in chunks:
        record = probed.record(int(chunk), int(revisions[chunk]))
        for row in TableReader(probed.storage, record.files["data"].path, columns).read().to_pylist():
            if not row["failures"]:
                yield row


class _Shards:
    """The image shards: what is committed, and the one that is filling."""

    def __init__(self, storage: Storage, recipe: Recipe, splits: Splits) -> None:
        self.storage, self.size, self.pack = storage, recipe.ingest.shard_size, recipe.ingest.pack
        self.splits = splits
        self.commits = Commits(storage, IMAGES)
        self.revisions = self.commits.revisions()
        self.next = len(self.revisions)
        self.filling: dict[str, _Image] = {}
        self.changed: dict[int, list[Mapping[str, Any]]] = {}
        self.home = self._homes()

    def _homes(self) -> dict[str, int]:
        answer: dict[str, int] = {}
        for shard, path in self.commits.data_files().items():
            ids = TableReader(self.storage, path, ["image_id"]).read()["image_id"].to_pylist()
            answer.update(dict.fromkeys(ids, shard))
        return answer

    def take(self, row: Mapping[str, Any]) -> bool:
        """False if another driver took the place."""
        name = row["image_id"]
        if name in self.filling:
            self.filling[name].add(row)
        elif name in self.home:
            self.changed.setdefault(self.home[name], []).append(row)
        else:
            self.filling[name] = _image_of(row, self.splits.of(name))
            if len(self.filling) >= self.size:
                return self.flush()
        return True

    def flush(self) -> bool:
        if not self.filling:
            return True
        images = list(self.filling.values())
        packed = {"tar": _pack(self.commits, self.next, images)} if self.pack else {}
        if not self._commit(self.next, 0, images, packed):
            return False
        self.home.update(dict.fromkeys(self.filling, self.next))
        self.filling, self.next = {}, self.next + 1
        return True

    def _commit(self, shard: int, revision: int, images: Sequence[_Image], old: Mapping[str, File]) -> bool:
        """Commit the table and the labels of a shard; its tar, if it has one, stays as it is.

        What people said of images that are not for training lies apart, where no specialist and no filter reads.
        """
        files = {part: file for part, file in old.items() if part == "tar"}
        for image in images:
            image.row["sources"] = sorted(image.sources, key=lambda source: (source["source"], source["uri"]))
        table = pa.Table.from_pylist([image.row for image in images], schema=IMAGES_SCHEMA)
        files["data"] = self.commits.put_table(shard, table, revision)
        for part, folder in (("labels", LABELS_FOLDER), ("truth", TRUTH_FOLDER)):
            table = _label_table(images, part)
            if table is not None:
                files[part] = Commits(self.storage, folder).put_table(shard, table, revision)
        return self.commits.commit(Record(shard, revision, files))

    def revise(self) -> bool:
        """Commit later revisions of shards whose images gained sources or labels. False if another driver did."""
        if not self.changed:
            return True
        revision, latest = _latest_revision(self.storage) + 1, self.commits.revisions()
        for shard, rows in sorted(self.changed.items()):
            old = self.commits.record(shard, int(latest[shard]))
            images = self._committed(old)
            gained = [images[row["image_id"]].add(row) for row in rows]
            if any(gained) and not self._commit(shard, revision, list(images.values()), old.files):
                return False
        return True

    def _committed(self, record: Record) -> dict[str, _Image]:
        rows = TableReader(self.storage, record.files["data"].path).read().to_pylist()
        answer = {row["image_id"]: _Image(row, row["sources"]) for row in rows}
        for part in ("labels", "truth"):
            if part in record.files:
                for said in TableReader(self.storage, record.files[part].path).read().to_pylist():
                    labels = answer[said["image_id"]].labels
                    labels |= {name: labels.get(name, []) + said[name] for name in ANNOTATIONS if said[name]}
        return answer


def _label_table(images: Sequence[_Image], part: str) -> pa.Table | None:
    """One row an image; None if there is nothing to say. People's labels of images kept to measure with are truth."""
    empty: dict[str, Any] = {name: [] for name in (*ANNOTATIONS, "failures")}
    rows = [empty | _part(image, part) | {"image_id": image.row["image_id"]} for image in images]
    if not any(row[name] for row in rows for name in ANNOTATIONS):
        return None
    return pa.Table.from_pylist(rows, schema=RECORD)


def _part(image: _Image, part: str) -> dict[str, list[dict[str, Any]]]:
    if image.row["split"] == TRAIN:
        return image.labels if part == "labels" else {}
    return {
        name: [item for item in column if (item["score"] is None) is (part == "truth")]
        for name, column in image.labels.items()
    }


def commit_folders(storage: Storage) -> list[str]:
    """Every folder that may hold commits: a name, or a name and a key."""
    tops = [name for name in storage.names("") if "." not in name]
    return [folder for top in tops for folder in (top, *(f"{top}/{k}" for k in storage.names(top) if "." not in k))]


def _latest_revision(storage: Storage) -> int:
    """Over the whole data set, so that whatever read an older revision is stale."""
    return max((int(Commits(storage, name).revisions().max(initial=0)) for name in commit_folders(storage)), default=0)


def _pack(commits: Commits, shard: int, images: Sequence[_Image]) -> File:
    """Original bytes into one shard tar; the images' locators then point into it.

    An image whose bytes changed since it was probed keeps its old locator: the worker that reads it will say so.
    """

    def read(image: _Image) -> bytes | None:
        try:
            return read_image(commits.storage, image.row["image_id"], tuple(image.row[name] for name in LOCATOR), list)
        except ImageError:
            return None

    scratch = commits.storage.scratch(f"{commits.folder}/{shard:05d}")
    places: list[tuple[_Image, int, int]] = []
    with storage_errors(scratch), open(scratch, "wb") as file, ThreadPoolExecutor(8) as threads:
        tar = TarWriter(file)
        for some in (images[start : start + 32] for start in range(0, len(images), 32)):
            for image, data in zip(some, threads.map(read, some), strict=True):
                if data is not None:
                    place = tar.add(image.row["image_id"], image.row["format"].lower(), data)
                    places.append((image, *place))
        tar.close()
    packed = commits.put_file(shard, scratch, "tar", len(places))
    for image, offset, length in places:
        image.row |= {"uri": packed.path, "offset": offset, "length": length}
    return packed
