"""Splits images into training images and audit images, which are used only to measure (`ingest.audit`).

Whole groups of near-duplicates are drawn, permanently, before images are assigned to shards. Draws are committed
tables, so a run that was killed draws the same again. The audit images are halved: `audit-fit` is for calibration and
the gate, `audit-test` for the figures that are reported. An image that is near to both training and audit images gets
the split `held` and is not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigError
from engine.images.near_duplicates import Hashes, groups, neighbours, neighbours_of
from engine.images.perceptual_hash import RADIUS, hashes_to_array
from engine.layout import SPLITS
from engine.schema import SPLITS as SPLIT_NAMES
from engine.schema import required
from engine.storage.commits import Commits, Record, TableReader, check_order
from engine.storage.files import Storage
from engine.storage.removals import Removed
from pipelines.ingest.name_list import SHOWN, NameList, read_name_list, spellings, unmatched_error
from pipelines.ingest.numbered_keys import ImageIds
from pipelines.ingest.rows import ProbedRow
from pipelines.recipe import Audit

WHAT = "audit list"
TRAIN, FIT, TEST, HELD = "train", "audit-fit", "audit-test", "held"

SPLIT = pa.schema([required(name, pa.string()) for name in ("image_id", "phash", "group", "split")])

NOTHING = Removed()
Inputs = Callable[[], Iterable[tuple[str, str]]]


@dataclass(slots=True)
class Candidate:
    """An image that has no split yet."""

    image_id: str
    phash: str  # perceptual hash; '' if the image has none, and so no near-duplicates
    uris: list[str] = field(default_factory=list)


class Earlier(NamedTuple):
    """The splits and perceptual hashes of images that were drawn before. Images without a hash are left out."""

    splits: pa.ChunkedArray
    hashes: Hashes


class DrawnSplits:
    """The split of each image that has one, in about 30 bytes an image."""

    def __init__(self) -> None:
        self._ids, self._splits = ImageIds(), bytearray()

    def add(self, table: pa.Table) -> None:
        self._ids.extend(table["image_id"].to_pylist())
        self._splits += bytes(map(SPLIT_NAMES.index, table["split"].to_pylist()))

    def of(self, image: str) -> str:
        """The split of an image; '' if it has none."""
        number = self._ids.find(image)
        return SPLIT_NAMES[self._splits[number]] if number >= 0 else ""


class Splits:
    """The committed draws. Without an audit split, every image is for training and nothing is written."""

    def __init__(self, storage: Storage, audit: Audit) -> None:
        self.storage, self.audit = storage, audit
        self.commits = Commits(storage, SPLITS)
        check_order(storage, SPLITS, ())
        self.next = len(self.commits.revisions())
        self.drawn = DrawnSplits()
        for path in self.commits.data_files().values():
            self.drawn.add(TableReader(storage, path, ["image_id", "split"]).read())

    def of(self, image_id: str) -> str:
        if not self.audit.wanted:
            return TRAIN
        split = self.drawn.of(image_id)
        assert split, image_id
        return split

    def draw(self, probed: Iterable[ProbedRow]) -> bool:
        """Draws a split for each image that has none. Returns False if another driver committed a draw meanwhile."""
        if not self.audit.wanted:
            return True
        fresh: dict[str, Candidate] = {}
        for row in probed:
            if not self.drawn.of(row["image_id"]):
                candidate = fresh.setdefault(row["image_id"], Candidate(row["image_id"], row["phash"]))
                if self.audit.list:
                    candidate.uris.append(row["uri"])
        if not fresh:
            return True
        table = draw_splits(
            list(fresh.values()), self._earlier(), self.audit.fraction, self.audit.seed, listed_for(self.audit)
        )
        file = self.commits.put_table(self.next, table)
        if not self.commits.commit(Record(self.next, 0, {"data": file})):
            return False
        self.next += 1
        self.drawn.add(table)
        return True

    def _earlier(self) -> Earlier:
        files = self.commits.data_files().values()
        tables = [TableReader(self.storage, path, ["phash", "split"]).read() for path in files]
        table = pa.concat_tables([SPLIT.empty_table().select(["phash", "split"]), *tables])
        table = table.filter(pc.not_equal(table["phash"], ""))
        return Earlier(table["split"].dictionary_encode(), hashes_to_array(table["phash"].to_pylist()))


def listed_for(audit: Audit) -> frozenset[str]:
    """The lines of the audit list. Raises ConfigError if it cannot be read."""
    return frozenset(read_name_list(audit.list, WHAT)) if audit.list else frozenset()


def check_audit_list(audit: Audit, drawn_before: DrawnSplits, inputs: Inputs, removed: Removed = NOTHING) -> list[str]:
    """Checks the audit list and returns notes. Raises ConfigError if a line matches no image, or a training image.

    `inputs`: iterates over (image id, URI) of all inputs. It is called a second time if lines match nothing. `removed`:
    what was removed from the data set; lines that match only such images are no error.
    """
    names = NameList(sorted(listed_for(audit)))
    for image, uri in inputs():
        names.match(image, uri)
    if lines := [line for line in names.unmatched() if not any(map(removed.has_name, spellings(line)))]:
        raise unmatched_error(audit.list, WHAT, lines, len(names.images), (uri for _, uri in inputs()))
    late = [line for line, images in names.images.items() if any(drawn_before.of(image) == TRAIN for image in images)]
    if late:
        shown = ", ".join(f"'{line}'" for line in late[:SHOWN]) + (", ..." if len(late) > SHOWN else "")
        raise ConfigError(
            f"Lines of the {WHAT} '{audit.list}' match images of the training split: {shown}: images keep their split, "
            "so take these lines out, or make a new data set."
        )
    several = names.ambiguous()
    return [
        f"'{line}' in the {WHAT} matches {len(names.images[line])} images, all taken as audit images: "
        + ", ".join(sorted(names.images[line].values())[:3])
        + (", ..." if len(names.images[line]) > 3 else "")
        for line in several[:SHOWN]
    ] + ([f"... and {len(several) - SHOWN} more lines of the {WHAT} match several images"] if several[SHOWN:] else [])


def draw_splits(
    fresh: Sequence[Candidate],
    before: Earlier,
    fraction: float,
    seed: int,
    listed: frozenset[str] = frozenset(),
) -> pa.Table:
    """The splits (schema SPLIT) of fresh images.

    A group near to earlier images gets their split. Of the other groups, those with an image of the audit list become
    audit images. Further groups follow, in an order given by `seed` and their content, until `fraction` of these images
    is reached. A group that would exceed the fraction is skipped.
    """
    label, near = _grouped(fresh, before)
    members: dict[int, list[int]] = {}
    for number, group in enumerate(label):
        members.setdefault(group, []).append(number)
    split = {group: _inherited(near.get(group, set())) for group in members}
    names = NameList(listed)
    named = {group for group, inside in members.items() if any(_is_listed(fresh[n], names) for n in inside)}
    split.update({group: HELD for group in named if split[group] in (TRAIN, HELD)})
    name = {group: min(fresh[n].image_id for n in inside) for group, inside in members.items()}
    free = sorted((group for group in members if not split[group]), key=lambda g: _order(seed, name[g]))
    chosen = [group for group in free if group in named]
    room = round(fraction * len(fresh)) - sum(len(members[group]) for group in chosen)
    for group in free:
        if group not in named and len(members[group]) <= room:
            chosen.append(group)
            room -= len(members[group])
    split.update(_halved(chosen, members))
    columns = [
        [image.image_id for image in fresh],
        [image.phash for image in fresh],
        [name[group] for group in label],
        [split[group] or TRAIN for group in label],
    ]
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=SPLIT)


def _grouped(fresh: Sequence[Candidate], before: Earlier) -> tuple[list[int], dict[int, set[str]]]:
    """The group of each fresh image, and for each group the splits of the earlier images that are near to it."""
    hashed = np.array([number for number, image in enumerate(fresh) if image.phash], np.int64)
    new = hashes_to_array([image.phash for image in fresh if image.phash])
    i, j, _ = neighbours(new, RADIUS, forest=True)
    label: list[int] = groups(len(fresh), hashed[i], hashed[j]).tolist()
    i, j, _ = neighbours_of(new, before.hashes, RADIUS)
    near: dict[int, set[str]] = {}
    for one, other in zip(i.tolist(), j.tolist(), strict=True):
        near.setdefault(label[hashed[one]], set()).add(before.splits[other].as_py())
    return label, near


def _inherited(near: set[str]) -> str:
    """The split of a group that is near to images with these splits. '' if `near` is empty."""
    return (next(iter(near)) if len(near) == 1 else HELD) if near else ""


def _is_listed(image: Candidate, names: NameList) -> bool:
    return any(names.match(image.image_id, uri) for uri in image.uris)


def _order(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def _halved(chosen: Sequence[int], members: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """Assigns each group to the half that has fewer images so far."""
    size = {FIT: 0, TEST: 0}
    answer = {}
    for group in chosen:
        answer[group] = FIT if size[FIT] <= size[TEST] else TEST
        size[answer[group]] += len(members[group])
    return answer
