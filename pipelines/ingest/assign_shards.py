"""Give every distinct image its place in a shard, in listing order and for good.

An exact duplicate becomes one more source of its image. When a listing finds that a source gives an image again, or
says something else of it, or nothing any more, that is committed as a later revision of the shard: no image moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from engine.errors import DamageError, ImageError
from engine.images.locate import is_relative, locator_of, read_image
from engine.layout import (
    IMAGES,
    INPUTS,
    LABELS,
    LISTINGS,
    MODELS,
    PLACED,
    PROBE,
    RELEASES,
    ROUNDS,
    RUNS,
    SPLITS,
    SURVEYED,
    TRUTH,
)
from engine.running.graph import Node
from engine.running.plan import Plan
from engine.schema import ANNOTATIONS, RECORD
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.storage.commits import Commits, File, Record, TableReader, check_order, record_name
from engine.storage.files import Storage, storage_errors
from engine.storage.listings import HELD, IN_FORCE, Key, Listing, read_listing
from engine.storage.tars import TarWriter
from pipelines.ingest.listing_changes import state_changes, told_changes
from pipelines.ingest.placed_image import Input, PlacedImage, image_of
from pipelines.ingest.probed_inputs import ProbedInputs, key_of
from pipelines.ingest.splits import HELD as HELD_BACK
from pipelines.ingest.splits import TRAIN, Splits, check_audit_list
from pipelines.recipe import Recipe

# What is committed by other numbers than those of image shards.
NOT_OVER = frozenset((INPUTS, LISTINGS, PROBE, PLACED, SPLITS, SURVEYED, RELEASES, MODELS, RUNS, ROUNDS))


def place_images(storage: Storage, recipe: Recipe, plan: Plan, node: Node) -> list[str]:
    """Give every distinct image that was probed a place, and carry over what the sources say now of those that have
    one. Returns what changed in the sources since this was done before, a sentence each.
    """
    while True:
        placing = _Placing(storage, recipe, plan, node)
        if placing.done():
            return placing.told
        # another driver committed a shard meanwhile: begin again from what is committed


class _Placing:
    """One try: what is probed and not placed, and what the latest listing changed since one was carried over."""

    def __init__(self, storage: Storage, recipe: Recipe, plan: Plan, node: Node) -> None:
        self.storage, self.recipe = storage, recipe
        self.told: list[str] = []
        self.placed = Commits(storage, f"{PLACED}/{node.key[:8]}")
        self.carried = Commits(storage, f"{LISTINGS}/{node.key[:8]}")  # listings whose changes are in images/
        self.revisions = plan.revisions[node.name]
        self.todo = np.flatnonzero(self.revisions > self.placed.revisions(len(self.revisions))).tolist()
        self.listing = read_listing(storage)
        self.probed = ProbedInputs(Commits(storage, node.folder), self.revisions, self.listing)

    def done(self) -> bool:
        splits = Splits(self.storage, self.recipe.ingest.audit)
        if self.recipe.ingest.audit.list:
            told = check_audit_list(self.recipe.ingest.audit, splits.drawn, self.probed.images_and_uris)
            self.told = told if self.todo else []
        before = self._before()
        if not self.todo and before and before.number == self.listing.number:
            return True
        over = [folder for folder in commit_folders(self.storage) if folder.split("/")[0] not in NOT_OVER]
        check_order(self.storage, IMAGES, over)
        changes = state_changes(before or Listing(), self.listing)
        found = self.probed.images_of(changes)
        if not splits.draw(self._given(found, ["image_id", "phash", "uri", "source", "fingerprint", "failures"])):
            return False
        shards = _Shards(self.storage, self.recipe, splits, self.probed)
        for row in self._given(found):
            if not shards.take(row):
                return False
        shards.affected |= set(shards.home) if before is None else set()
        shards.affected |= {image for _, image in found.values() if image in shards.home}
        if not shards.flush() or not shards.revise({key[:2] for key in changes}):
            return False
        self.told += told_changes(changes, {key: image for key, (_, image) in found.items()}, self.probed)
        for folder in (INPUTS, LISTINGS, SPLITS, IMAGES, LABELS, TRUTH):
            Commits(self.storage, folder).sweep()
        for chunk in self.todo:
            self.placed.commit(Record(chunk, int(self.revisions[chunk]), {}))
        if self.listing.number >= 0:
            self._carry()
        return True

    def _before(self) -> Listing | None:
        """The listing whose changes are in images/; None if that is not known, because its files were removed."""
        number = len(self.carried.revisions()) - 1
        if number < 0:
            return Listing()
        try:
            listing, record = read_listing(self.storage, number), self.carried.record(number, 0)
        except (FileNotFoundError, DamageError):
            return None
        return listing if listing.made_of == record.inputs else None

    def _carry(self) -> None:
        """Later records are of listings that were removed."""
        number = self.listing.number
        for other in range(number, len(self.carried.revisions())):
            self.storage.remove(f"{self.carried.folder}/{record_name(other, 0)}")
        self.carried.commit(Record(number, 0, {}, inputs=self.listing.made_of))

    def _given(
        self, found: Mapping[Key, tuple[tuple[int, int], str]], columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The images among the inputs that are new, and among those that a source gives again."""
        new = set(self.todo)
        again = {key for key, (place, image) in found.items() if image and place[0] not in new}
        again = {key for key in again if self.listing.state(key) in HELD}
        chunks = {found[key][0][0] for key in again}
        for chunk in sorted(new | chunks):
            for row in self.probed.rows([chunk], columns):
                if chunk in new or key_of(row) in again:
                    yield row


class _Shards:
    """The image shards: what is committed, and the one that is filling."""

    def __init__(self, storage: Storage, recipe: Recipe, splits: Splits, probed: ProbedInputs) -> None:
        self.storage, self.size, self.pack = storage, recipe.ingest.shard_size, recipe.ingest.pack
        self.splits, self.probed = splits, probed
        self.commits = Commits(storage, IMAGES)
        self.revisions = self.commits.revisions()
        self.next = len(self.revisions)
        self.filling: dict[str, list[Input]] = {}
        self.affected: set[str] = set()
        self.home = self._homes()

    def _homes(self) -> dict[str, int]:
        answer: dict[str, int] = {}
        for shard, path in self.commits.data_files().items():
            ids = TableReader(self.storage, path, ["image_id"]).read()["image_id"].to_pylist()
            answer.update(dict.fromkeys(ids, shard))
        return answer

    def take(self, row: Mapping[str, Any]) -> bool:
        """False if another driver took the place. What its source took back before it had one gets none."""
        name, one = row["image_id"], self.probed.input(row)
        if name in self.filling:
            self.filling[name].append(one)
        elif name in self.home:
            self.affected.add(name)
        elif one.state in HELD:
            self.filling[name] = [one]
            if len(self.filling) >= self.size:
                return self.flush()
        return True

    def flush(self) -> bool:
        if not self.filling:
            return True
        images = [image_of(inputs, self.splits.of(name)) for name, inputs in self.filling.items()]
        files = {"tar": _pack(self.commits, self.next, images)} if self.pack else {}
        if not self._commit(self.next, 0, images, files):
            return False
        self.home.update(dict.fromkeys(self.filling, self.next))
        self.filling, self.next = {}, self.next + 1
        return True

    def _commit(self, shard: int, revision: int, images: Sequence[PlacedImage], old: Mapping[str, File]) -> bool:
        """Commit the table and the labels of a shard; its tar, if it has one, stays as it is.

        What people said of images that are not for training lies apart, where no specialist and no filter reads.
        """
        files = {part: file for part, file in old.items() if part == "tar"}
        table = pa.Table.from_pylist([image.row for image in images], schema=IMAGES_SCHEMA)
        files["data"] = self.commits.put_table(shard, table, revision)
        for part, folder in (("labels", LABELS), ("truth", TRUTH)):
            table = _label_table(images, part)
            if table is not None:
                files[part] = Commits(self.storage, folder).put_table(shard, table, revision)
        return self.commits.commit(Record(shard, revision, files))

    def revise(self, files: Set[tuple[str, str]]) -> bool:
        """Commit later revisions of shards of whose images something else is said. False if another driver did.

        `files`: sources and URIs that changed.
        """
        self.probed.find(self.affected, files)
        shards: dict[int, list[str]] = {}
        for name in self.affected:
            shards.setdefault(self.home[name], []).append(name)
        revision, latest = 0, self.commits.revisions()
        for shard, names in sorted(shards.items()):
            old = self.commits.record(shard, int(latest[shard]))
            images = self._committed(old)
            now = {name: self._now(name, images[name]) for name in names}
            if all(now[name].same(images[name]) for name in names):
                continue
            revision = revision or _latest_revision(self.storage) + 1
            if not self._commit(shard, revision, list((images | now).values()), old.files):
                return False
        return True

    def _now(self, name: str, before: PlacedImage) -> PlacedImage:
        """An image whose only file holds another one now can be read nowhere: it is held back."""
        inputs = self.probed.of(name)
        lost = not is_relative(before.row["uri"]) and not any(one.state in IN_FORCE for one in inputs)
        files = {(one.row["source"], one.row["uri"]) for one in inputs}
        lost = lost and any(uri == before.row["uri"] and self.probed.now(source, uri) for source, uri in files)
        return image_of(inputs, HELD_BACK if lost else self.splits.of(name), before.row)

    def _committed(self, record: Record) -> dict[str, PlacedImage]:
        rows = TableReader(self.storage, record.files["data"].path).read().to_pylist()
        answer = {row["image_id"]: PlacedImage(row) for row in rows}
        for part in ("labels", "truth"):
            if part in record.files:
                for said in TableReader(self.storage, record.files[part].path).read().to_pylist():
                    labels = answer[said["image_id"]].labels
                    labels |= {name: labels.get(name, []) + said[name] for name in ANNOTATIONS if said[name]}
        return answer


def _label_table(images: Sequence[PlacedImage], part: str) -> pa.Table | None:
    """One row an image; None if there is nothing to say. People's labels of images kept to measure with are truth."""
    empty: dict[str, Any] = {name: [] for name in (*ANNOTATIONS, "failures")}
    rows = [empty | _part(image, part) | {"image_id": image.row["image_id"]} for image in images]
    if not any(row[name] for row in rows for name in ANNOTATIONS):
        return None
    return pa.Table.from_pylist(rows, schema=RECORD)


def _part(image: PlacedImage, part: str) -> dict[str, list[dict[str, Any]]]:
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


def _pack(commits: Commits, shard: int, images: Sequence[PlacedImage]) -> File:
    """Original bytes into one shard tar; the images' locators then point into it.

    An image whose bytes changed since it was probed keeps its old locator: the worker that reads it will say so.
    """

    def read(image: PlacedImage) -> bytes | None:
        try:
            return read_image(commits.storage, image.row["image_id"], locator_of(image.row))
        except ImageError:
            return None

    scratch = commits.storage.scratch(f"{commits.folder}/{shard:05d}")
    places: list[tuple[PlacedImage, int, int]] = []
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
