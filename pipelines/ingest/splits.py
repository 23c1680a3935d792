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

import numpy as np
import pyarrow as pa

from engine.errors import ConfigError
from engine.images.near_duplicates import groups, neighbours, neighbours_of
from engine.images.perceptual_hash import RADIUS, hashes_to_array
from engine.layout import SPLITS
from engine.schema import required
from engine.storage.commits import Commits, Record, TableReader, check_order
from engine.storage.files import Storage
from engine.storage.removals import Removed
from pipelines.ingest.name_list import SHOWN, NameList, read_name_list, spellings, unmatched_error
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


class Splits:
    """The committed draws. Without an audit split, every image is for training and nothing is written."""

    def __init__(self, storage: Storage, audit: Audit) -> None:
        self.storage, self.audit = storage, audit
        self.commits = Commits(storage, SPLITS)
        check_order(storage, SPLITS, ())
        self.next = len(self.commits.revisions())
        self.drawn: dict[str, tuple[str, str]] = {}  # image: (split, phash)
        for path in self.commits.data_files().values():
            self._read(TableReader(storage, path).read())

    def _read(self, table: pa.Table) -> None:
        columns = (table[name].to_pylist() for name in ("image_id", "split", "phash"))
        self.drawn.update({image_id: (split, phash) for image_id, split, phash in zip(*columns, strict=True)})

    def of(self, image_id: str) -> str:
        return self.drawn[image_id][0] if self.audit.wanted else TRAIN

    def draw(self, probed: Iterable[ProbedRow]) -> bool:
        """Draws a split for each image that has none. Returns False if another driver committed a draw meanwhile."""
        if not self.audit.wanted:
            return True
        fresh: dict[str, Candidate] = {}
        for row in probed:
            if row["image_id"] not in self.drawn:
                candidate = fresh.setdefault(row["image_id"], Candidate(row["image_id"], row["phash"]))
                candidate.uris.append(row["uri"])
        if not fresh:
            return True
        table = draw_splits(
            list(fresh.values()), self.drawn, self.audit.fraction, self.audit.seed, listed_for(self.audit)
        )
        file = self.commits.put_table(self.next, table)
        if not self.commits.commit(Record(self.next, 0, {"data": file})):
            return False
        self.next += 1
        self._read(table)
        return True


def listed_for(audit: Audit) -> frozenset[str]:
    """The lines of the audit list. Raises ConfigError if it cannot be read."""
    return frozenset(read_name_list(audit.list, WHAT)) if audit.list else frozenset()


def check_audit_list(
    audit: Audit, drawn_before: Mapping[str, tuple[str, str]], inputs: Inputs, removed: Removed = NOTHING
) -> list[str]:
    """Checks the audit list and returns notes. Raises ConfigError if a line matches no image, or a training image.

    `inputs`: iterates over (image id, URI) of all inputs. It is called a second time if lines match nothing. `removed`:
    what was removed from the data set; lines that match only such images are no error.
    """
    names = NameList(sorted(listed_for(audit)))
    for image, uri in inputs():
        names.match(image, uri)
    if lines := [line for line in names.unmatched() if not any(map(removed.has_name, spellings(line)))]:
        raise unmatched_error(audit.list, WHAT, lines, len(names.images), (uri for _, uri in inputs()))
    late = [line for line, images in names.images.items() if any(_is_train(drawn_before, image) for image in images)]
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


def _is_train(drawn_before: Mapping[str, tuple[str, str]], image: str) -> bool:
    return drawn_before.get(image, ("", ""))[0] == TRAIN


def draw_splits(
    fresh: Sequence[Candidate],
    before: Mapping[str, tuple[str, str]],
    fraction: float,
    seed: int,
    listed: frozenset[str] = frozenset(),
) -> pa.Table:
    """The splits (schema SPLIT) of fresh images. `before`: {image id: (split, hash)} of earlier images.

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


def _grouped(
    fresh: Sequence[Candidate], before: Mapping[str, tuple[str, str]]
) -> tuple[list[int], dict[int, set[str]]]:
    """The group of each fresh image, and for each group the splits of the earlier images that are near to it."""
    hashed = np.array([number for number, image in enumerate(fresh) if image.phash], np.int64)
    new = hashes_to_array([image.phash for image in fresh if image.phash])
    i, j, _ = neighbours(new, RADIUS, forest=True)
    label: list[int] = groups(len(fresh), hashed[i], hashed[j]).tolist()
    earlier = [(split, phash) for split, phash in before.values() if phash]
    i, j, _ = neighbours_of(new, hashes_to_array([phash for _, phash in earlier]), RADIUS)
    near: dict[int, set[str]] = {}
    for one, other in zip(i.tolist(), j.tolist(), strict=True):
        near.setdefault(label[hashed[one]], set()).add(earlier[other][0])
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
