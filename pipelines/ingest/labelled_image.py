"""One distinct image with its locator, sources and labels, merged from all inputs that contain it.

The result depends only on these inputs and the latest listing. It is therefore the same after a source was corrected or
a run was killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.images.locate import Locator, is_relative, locator_of
from engine.storage.listings import IN_FORCE, IN_SOURCE
from pipelines.ingest.rows import AnnotationRow, ImageRow, LabelColumns, ProbedRow, labels_of


@dataclass(frozen=True, slots=True)
class Input:
    """A probed input that is an image, and its state in the latest listing."""

    row: ProbedRow
    state: str
    in_recipe: bool = True  # whether the latest scan included its source


@dataclass(slots=True)
class LabelledImage:
    """`row` is the image's row in images/."""

    row: ImageRow
    labels: LabelColumns = field(default_factory=dict)

    def same(self, other: LabelledImage) -> bool:
        return self.row == other.row and _filled(self.labels) == _filled(other.labels)


def _filled(labels: LabelColumns) -> LabelColumns:
    return {name: column for name, column in labels.items() if column}


def merge_inputs(inputs: Sequence[Input], split: str, before: ImageRow | None = None) -> LabelledImage:
    """Merges all inputs that contain one image, in the order of listing. `before`: the image's row in images/, if any.

    An image that no source lists any more keeps its sources and its licence, but loses its labels.
    """
    in_force = [one.row for one in inputs if one.state in IN_FORCE]
    rows = in_force or [one.row for one in inputs]
    first = before or rows[0]
    sources = sorted({(row["source"], row["uri"]) for row in rows})
    locator = locator_of(first)
    if not is_relative(locator.uri):
        held = [one for one in inputs if one.state in IN_SOURCE]
        locator = _locator(locator, [one.row for one in held if one.in_recipe] or [one.row for one in held])
    image: ImageRow = {
        "image_id": first["image_id"],
        "sources": [{"source": source, "uri": uri} for source, uri in sources],
        "width": first["width"],
        "height": first["height"],
        "format": first["format"],
        "licence": next((row["licence"] for row in rows if row["licence"]), first["licence"]),
        "split": split,
        "bytes": first["bytes"],
        "uri": locator.uri,
        "offset": locator.offset,
        "length": locator.length,
    }
    labels: LabelColumns = {}
    for row in in_force:
        _add_labels(labels, labels_of(row))
    return LabelledImage(image, labels)


def _locator(before: Locator, held: Sequence[ProbedRow]) -> Locator:
    """Where to read the image. The place does not change as long as a source still lists the image there."""
    locators = [locator_of(row) for row in held]
    return before if before in locators or not locators else locators[0]


def _add_labels(labels: LabelColumns, added: LabelColumns) -> None:
    """Adds the labels of one input. Equal labels are added once.

    New ids are made unique, also where labels refer to them.
    """
    ids = {_content(item): item["id"] for column in labels.values() for item in column}
    taken = set(ids.values())
    renamed: dict[str, str] = {}
    for column in added.values():
        for item in column:
            renamed[item["id"]] = ids.get(_content(item)) or _free_id(item["id"], taken)
            taken.add(renamed[item["id"]])
    old = set(ids.values())
    for name, column in added.items():
        for item in column:
            if renamed[item["id"]] not in old:
                labels.setdefault(name, []).append(_with_ids(item, renamed))


_REFERENCES = ("id", "region_id", "text_id")
_REFERENCE_LISTS = ("region_ids", "parents", "support")


def _content(item: AnnotationRow) -> str:
    """The annotation without its id and without its references to other annotations."""
    return json.dumps({k: v for k, v in item.items() if k not in (*_REFERENCES, *_REFERENCE_LISTS)}, sort_keys=True)


def _free_id(name: str, taken: set[str]) -> str:
    producer, number = name.rpartition("/")[0] or "human", len(taken)
    while name in taken:
        name, number = f"{producer}/{number}", number + 1
    return name


def _with_ids(item: AnnotationRow, renamed: Mapping[str, str]) -> AnnotationRow:
    new = item.copy()
    for key in _REFERENCES:
        if key in new:
            new[key] = renamed.get(new[key], new[key])  # type: ignore[literal-required]
    for key in _REFERENCE_LISTS:
        if key in new:
            new[key] = [renamed.get(name, name) for name in new[key]]  # type: ignore[literal-required]
    return new
