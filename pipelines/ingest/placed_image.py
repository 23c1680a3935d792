"""One distinct image and everything that its sources say of it now.

What is said is a function of the inputs that gave it and of the latest listing: whoever computes it again, after a
source was corrected or a run was killed, gets the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.images.locate import Locator, is_relative, locator_of
from engine.schema import ANNOTATIONS
from engine.storage.listings import HELD, IN_FORCE

_OWN = ("image_id", "width", "height", "format", "licence", "bytes", *Locator._fields)

Labels = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Input:
    """A probed input that gave an image, and its state in the latest listing."""

    row: Mapping[str, Any]
    state: str
    looked_at: bool = True  # its source is one of the recipe


@dataclass(slots=True)
class PlacedImage:
    """`row` is its row in images/."""

    row: dict[str, Any]
    labels: Labels = field(default_factory=dict)

    def same(self, other: PlacedImage) -> bool:
        return self.row == other.row and _filled(self.labels) == _filled(other.labels)


def _filled(labels: Labels) -> Labels:
    return {name: column for name, column in labels.items() if column}


def image_of(inputs: Sequence[Input], split: str, before: Mapping[str, Any] | None = None) -> PlacedImage:
    """The image that all of these inputs gave, in the order of listing. `before`: its row in images/, if it has one.

    An image whose inputs were all taken back keeps its sources and its licence; its labels go.
    """
    in_force = [one.row for one in inputs if one.state in IN_FORCE]
    rows = in_force or [one.row for one in inputs]
    row = dict(before) if before else {name: rows[0][name] for name in _OWN}
    row["licence"] = next((said["licence"] for said in rows if said["licence"]), row["licence"])
    row["split"] = split
    sources = {(said["source"], said["uri"]): None for said in rows}
    row["sources"] = [{"source": source, "uri": uri} for source, uri in sorted(sources)]
    if not is_relative(row["uri"]):
        held = [one for one in inputs if one.state in HELD]
        row |= _locator(row, [one.row for one in held if one.looked_at] or [one.row for one in held])
    labels: Labels = {}
    for said in in_force:
        _add_labels(labels, {name: said[name] for name in ANNOTATIONS})
    return PlacedImage(row, labels)


def _locator(row: Mapping[str, Any], held: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where it is read: where it was, if a source still gives it there."""
    places = [locator_of(one) for one in held]
    now = locator_of(row)
    return (now if now in places or not places else places[0])._asdict()


def _add_labels(labels: Labels, said: Mapping[str, list[dict[str, Any]]]) -> None:
    """Take in what one input says. What was said before is said once; new ids are made unique, references follow."""
    known = {_told(item): item["id"] for column in labels.values() for item in column}
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
                labels.setdefault(name, []).append(_renamed(item, names))


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
