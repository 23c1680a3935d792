"""The last step of ingest: assigns every distinct image to a shard, in listing order and permanently.

An exact duplicate becomes another source of its image. If a source later adds, changes or removes labels of an image,
the image's shard gets a new revision. Images never move to another shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from engine.errors import DamageError
from engine.layout import IMAGES, INPUTS, LABELS, LISTINGS, PLACED, SPLITS, TRUTH
from engine.running.graph import Node
from engine.running.plan import Plan
from engine.storage.commits import Commits, Record, check_order, record_name
from engine.storage.files import Storage
from engine.storage.listings import IN_SOURCE, Key, Listing, read_listing
from engine.storage.removals import read_removed
from pipelines.ingest.committed_folders import OTHER_NUMBERS, committed_folders
from pipelines.ingest.image_shards import ImageShards
from pipelines.ingest.listing_changes import describe_changes, state_changes
from pipelines.ingest.probed_inputs import Position, ProbedInputs, key_of
from pipelines.ingest.rows import ProbedRow
from pipelines.ingest.splits import Splits, check_audit_list
from pipelines.recipe import Recipe


def assign_shards(storage: Storage, recipe: Recipe, plan: Plan, node: Node) -> list[str]:
    """Assigns new images to shards, and updates the sources and labels of images that are in a shard already.

    `node`: the probe. Returns sentences about changes in the sources since the last run.
    """
    while True:
        attempt = _Attempt(storage, recipe, plan, node)
        if attempt.complete():
            return attempt.notes
        # If another driver commits a shard meanwhile, this starts again from what is committed.


class _Attempt:
    """One attempt to assign newly probed inputs, and to apply the latest listing to images/."""

    def __init__(self, storage: Storage, recipe: Recipe, plan: Plan, node: Node) -> None:
        self.storage, self.recipe = storage, recipe
        self.notes: list[str] = []
        self.assigned = Commits(storage, f"{PLACED}/{node.key[:8]}")  # one record for each chunk of inputs
        self.applied = Commits(storage, f"{LISTINGS}/{node.key[:8]}")  # one record for each listing applied to images/
        self.revisions = plan.revisions[node.name]
        self.todo = np.flatnonzero(self.revisions > self.assigned.revisions(len(self.revisions))).tolist()
        self.listing = read_listing(storage)
        self.probed = ProbedInputs(Commits(storage, node.folder), self.revisions, self.listing)

    def complete(self) -> bool:
        """Assigns and applies everything. Returns False if another driver committed meanwhile."""
        splits = Splits(self.storage, self.recipe.ingest.audit)
        if self.recipe.ingest.audit.list:
            notes = check_audit_list(
                self.recipe.ingest.audit, splits.drawn, self.probed.images_and_uris, read_removed(self.storage)
            )
            self.notes = notes if self.todo else []
        before = self._applied_listing()
        if not self.todo and before and before.number == self.listing.number:
            return True
        folders = [name for name in committed_folders(self.storage) if name.split("/")[0] not in OTHER_NUMBERS]
        check_order(self.storage, IMAGES, folders)
        changes = state_changes(before or Listing(), self.listing)
        changed = self.probed.images_of(changes)
        columns = ["image_id", "phash", "uri", "source", "fingerprint", "failures"]
        if not splits.draw(self._rows(changed, columns)):
            return False
        shards = ImageShards(self.storage, self.recipe, splits, self.probed)
        if not all(map(shards.add, self._rows(changed))):
            return False
        if before is None:
            shards.placed.mark_all()
        images = {image for _, image in changed.values() if image and shards.placed.mark(image)}
        files = {key[:2] for key in changes}
        if not shards.flush() or not shards.revise(files):
            return False
        self.probed.find(images, files)
        self.notes += describe_changes(changes, {key: image for key, (_, image) in changed.items()}, self.probed)
        for folder in (INPUTS, LISTINGS, SPLITS, IMAGES, LABELS, TRUTH):
            Commits(self.storage, folder).sweep()
        for chunk in self.todo:
            self.assigned.commit(Record(chunk, int(self.revisions[chunk]), {}))
        if self.listing.number >= 0:
            self._record_listing()
        return True

    def _applied_listing(self) -> Listing | None:
        """The latest listing that was applied to images/. None if its files were removed."""
        number = len(self.applied.revisions()) - 1
        if number < 0:
            return Listing()
        try:
            listing, record = read_listing(self.storage, number), self.applied.record(number, 0)
        except (FileNotFoundError, DamageError):
            return None
        return listing if listing.made_of == record.inputs else None

    def _record_listing(self) -> None:
        """Records the listing as applied.

        Records with later numbers are removed, because their listings no longer exist.
        """
        number = self.listing.number
        for other in range(number, len(self.applied.revisions())):
            self.storage.remove(f"{self.applied.folder}/{record_name(other, 0)}")
        self.applied.commit(Record(number, 0, {}, inputs=self.listing.made_of))

    def _rows(
        self, changed: Mapping[Key, tuple[Position, str]], columns: Sequence[str] | None = None
    ) -> Iterator[ProbedRow]:
        """Yields images in chunks that are not assigned yet, and images of changed inputs that are listed again."""
        new = set(self.todo)
        again = {key for key, (position, image) in changed.items() if image and position[0] not in new}
        again = {key for key in again if self.listing.state(key) in IN_SOURCE}
        chunks = {changed[key][0][0] for key in again}
        for chunk in sorted(new | chunks):
            for row in self.probed.rows([chunk], columns):
                if chunk in new or key_of(row) in again:
                    yield row
