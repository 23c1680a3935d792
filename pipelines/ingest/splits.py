"""Which images are for training and which are kept apart to measure with (`ingest.audit`).

Drawn by group of near-duplicates and for good, before an image gets its place: what was drawn is a committed table,
so a run that is killed draws the same. The audit half is halved: `audit-fit` for calibration and the gate,
`audit-test` for the figures that are printed. An image that is near both sides is `held`: used for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.errors import ConfigError
from engine.images.near_duplicates import groups, neighbours, neighbours_of
from engine.images.perceptual_hash import RADIUS, hashes_to_array
from engine.layout import SPLITS
from engine.schema import required
from engine.storage.commits import Commits, Record, TableReader, check_order
from engine.storage.files import Storage
from pipelines.ingest.name_list import TOLD, NameList, read_name_list, unmatched_error
from pipelines.recipe import Audit

WHAT = "audit list"
TRAIN, FIT, TEST, HELD = "train", "audit-fit", "audit-test", "held"

SPLIT = pa.schema([required(name, pa.string()) for name in ("image_id", "phash", "group", "split")])

Inputs = Callable[[], Iterable[tuple[str, str]]]


@dataclass(slots=True)
class Candidate:
    """An image that has no split yet."""

    image_id: str
    phash: str  # '' for one without a hash: it is like no other
    uris: list[str] = field(default_factory=list)


class Splits:
    """What was drawn so far. Without an audit split every image is for training and nothing is written."""

    def __init__(self, storage: Storage, audit: Audit) -> None:
        self.storage, self.audit = storage, audit
        self.commits = Commits(storage, SPLITS)
        check_order(storage, SPLITS, ())
        self.next = len(self.commits.revisions())
        self.drawn: dict[str, tuple[str, str]] = {}  # image: (split, phash)
        for path in self.commits.data_files().values():
            self._learn(TableReader(storage, path).read())

    def _learn(self, table: pa.Table) -> None:
        columns = (table[name].to_pylist() for name in ("image_id", "split", "phash"))
        self.drawn.update({image_id: (split, phash) for image_id, split, phash in zip(*columns, strict=True)})

    def of(self, image_id: str) -> str:
        return self.drawn[image_id][0] if self.audit.wanted else TRAIN

    def draw(self, probed: Iterable[Mapping[str, Any]]) -> bool:
        """Give each image among these rows that has none a split. False if another driver did meanwhile."""
        if not self.audit.wanted:
            return True
        fresh: dict[str, Candidate] = {}
        for row in probed:
            if row["image_id"] not in self.drawn:
                known = fresh.setdefault(row["image_id"], Candidate(row["image_id"], row["phash"]))
                known.uris.append(row["uri"])
        if not fresh:
            return True
        table = drawn(list(fresh.values()), self.drawn, self.audit.fraction, self.audit.seed, listed_for(self.audit))
        file = self.commits.put_table(self.next, table)
        if not self.commits.commit(Record(self.next, 0, {"data": file})):
            return False
        self.next += 1
        self._learn(table)
        return True


def listed_for(audit: Audit) -> frozenset[str]:
    """The lines of the audit list: image ids, URIs, or ends of paths. ConfigError if it cannot be read."""
    return frozenset(read_name_list(audit.list, WHAT)) if audit.list else frozenset()


def check_audit_list(audit: Audit, drawn_before: Mapping[str, tuple[str, str]], inputs: Inputs) -> list[str]:
    """ConfigError for lines that mean no image, or one that is for training already. Returns what a person should
    read. `inputs` gives (image, uri) of everything listed, as often as it is asked.
    """
    names = NameList(sorted(listed_for(audit)))
    for image, uri in inputs():
        names.take(image, uri)
    if lines := names.unmatched():
        raise unmatched_error(audit.list, WHAT, lines, len(names.images), (uri for _, uri in inputs()))
    late = [line for line, images in names.images.items() if any(_is_train(drawn_before, image) for image in images)]
    if late:
        told = ", ".join(f"'{line}'" for line in late[:TOLD]) + (", ..." if len(late) > TOLD else "")
        raise ConfigError(
            f"Lines of the {WHAT} '{audit.list}' mean images that are for training already: {told}: images keep their "
            "split, so take these lines out, or make a new data set."
        )
    several = names.ambiguous()
    return [
        f"'{line}' in the {WHAT} means {len(names.images[line])} images, all kept apart: "
        + ", ".join(sorted(names.images[line].values())[:3])
        + (", ..." if len(names.images[line]) > 3 else "")
        for line in several[:TOLD]
    ] + ([f"... and {len(several) - TOLD} more lines of the {WHAT} mean several images"] if several[TOLD:] else [])


def _is_train(drawn_before: Mapping[str, tuple[str, str]], image: str) -> bool:
    return drawn_before.get(image, ("", ""))[0] == TRAIN


def drawn(
    fresh: Sequence[Candidate],
    before: Mapping[str, tuple[str, str]],
    fraction: float,
    seed: int,
    listed: frozenset[str] = frozenset(),
) -> pa.Table:
    """The splits (schema SPLIT) of fresh images. `before`: {image: (split, phash)}, which do not change.

    A group that touches earlier images follows them; of the others those listed go to the audit split, and further
    ones, in an order that `seed` and their content decide, until it holds `fraction` of these images. Groups that do
    not fit whole are passed over.
    """
    hashed = [number for number, image in enumerate(fresh) if image.phash]
    new = hashes_to_array([fresh[number].phash for number in hashed])
    i, j, _ = neighbours(new, RADIUS, forest=True)
    rows = np.array(hashed, np.int64)
    label = groups(len(fresh), rows[i], rows[j])
    met = _met(label, rows, new, before)
    members: dict[int, list[int]] = {}
    for number, group in enumerate(label.tolist()):
        members.setdefault(group, []).append(number)
    split = {group: _following(met.get(group, set())) for group in members}
    names = NameList(listed)
    named = {group for group, inside in members.items() if any(_is_listed(fresh[n], names) for n in inside)}
    for group in named:
        if split[group] in (TRAIN, HELD):
            split[group] = HELD
    name = {group: min(fresh[n].image_id for n in inside) for group, inside in members.items()}
    free = sorted((group for group in members if not split[group]), key=lambda g: _order(seed, name[g]))
    chosen = [group for group in free if group in named]
    room = round(fraction * len(fresh)) - sum(len(members[group]) for group in chosen)
    for group in free:
        if group not in named and len(members[group]) <= room:
            chosen.append(group)
            room -= len(members[group])
    split.update(_halved(chosen, members))
    found = [(image, int(group)) for image, group in zip(fresh, label, strict=True)]
    columns = [
        [image.image_id for image, _ in found],
        [image.phash for image, _ in found],
        [name[group] for _, group in found],
        [split[group] or TRAIN for _, group in found],
    ]
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=SPLIT)


def _met(
    label: npt.NDArray[Any], rows: npt.NDArray[np.int64], new: npt.NDArray[np.uint64], before: Mapping[str, Any]
) -> dict[int, set[str]]:
    """For each group the splits of the earlier images that it is near to."""
    known = [(split, phash) for split, phash in before.values() if phash]
    i, j, _ = neighbours_of(new, hashes_to_array([phash for _, phash in known]), RADIUS)
    answer: dict[int, set[str]] = {}
    for one, other in zip(i.tolist(), j.tolist(), strict=True):
        answer.setdefault(int(label[rows[one]]), set()).add(known[other][0])
    return answer


def _following(met: set[str]) -> str:
    """The split of a group that is near images of these; '' where it is free."""
    return (next(iter(met)) if len(met) == 1 else HELD) if met else ""


def _is_listed(image: Candidate, listed: NameList) -> bool:
    return any(listed.take(image.image_id, uri) for uri in image.uris)


def _order(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()


def _halved(chosen: Sequence[int], members: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """Each group to the half that has fewer images."""
    size = {FIT: 0, TEST: 0}
    answer = {}
    for group in chosen:
        answer[group] = FIT if size[FIT] <= size[TEST] else TEST
        size[answer[group]] += len(members[group])
    return answer
