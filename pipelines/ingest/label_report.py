"""What turned out about labels once the photos were seen: masks and boxes that are not of their photo, and photos with
an EXIF turn whose labels fit both frames. The probe writes it beside each input; this adds it up by source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.listings import HELD, read_listing


@dataclass(slots=True)
class LabelReport:
    """`left_out`: {source: {reason: number}}; `notes`: sentences a person should read."""

    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def label_report(storage: Storage, probe: Node) -> LabelReport:
    """Of all inputs that a source holds now. Inputs probed by versions that did not look are not counted."""
    answer = LabelReport()
    fits: dict[str, Counter[str]] = {}
    for row in _remarkable(storage, probe):
        if row["left_out"]:
            answer.left_out.setdefault(row["source"], Counter()).update(row["left_out"])
        if row["fits"]:
            fits.setdefault(row["source"], Counter())[row["fits"]] += 1
    answer.notes = list(_frame_notes(fits))
    return answer


def _remarkable(storage: Storage, probe: Node) -> Iterator[dict[str, Any]]:
    listing = read_listing(storage)
    for path in Commits(storage, probe.folder).data_files().values():
        table = TableReader(storage, path, ["source", "uri", "fingerprint", "fits", "left_out"]).read()
        if "fits" in table.column_names:
            remarkable = pc.or_(pc.not_equal(table["fits"], ""), pc.greater(pc.list_value_length(table["left_out"]), 0))
            for row in table.filter(remarkable).to_pylist():
                if listing.state((row["source"], row["uri"], row["fingerprint"])) in HELD:
                    yield row


def unused_labels(storage: Storage, probe: Node, nodes: Sequence[Node]) -> list[str]:
    """A sentence where labels came with the images and no node reads any: they are in no release."""
    if any(node.reads_labels for node in nodes):
        return []
    people: Counter[str] = Counter()
    texts, listing = 0, read_listing(storage)
    for path in Commits(storage, probe.folder).data_files().values():
        table = TableReader(storage, path, ["source", "uri", "fingerprint", "texts", "regions"]).read()
        keys = zip(*(table[name].to_pylist() for name in ("source", "uri", "fingerprint")), strict=True)
        table = table.filter([listing.state(key) in HELD for key in keys])
        for kind in ("texts", "regions"):
            by_people = pc.is_null(pc.list_flatten(table[kind]).combine_chunks().field("score"))
            found = pc.sum(by_people).as_py() or 0
            people[kind] += found
            texts += len(by_people) - found if kind == "texts" else 0
    answer = []
    if people.total():
        told = " and ".join(f"{number:,} {kind}" for kind, number in people.items() if number)
        answer.append(f"{told} by people came with the images and no node takes them up: add 'human: {{use: human}}'.")
    if texts:
        told = f"{texts:,} texts that nobody vouches for came with the images and no node takes them up"
        answer.append(f"{told}: add 'alt: {{use: source_texts}}'.")
    return answer


def _frame_notes(fits: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for source, found in sorted(fits.items()):
        if both := found.get("both", 0):
            photos, were, they = ("1 photo", "was", "fits") if both == 1 else (f"{both} photos", "were", "fit")
            yield (
                f"'{source}': {photos} with an EXIF turn {they} both frames and {were} taken as upright, as most tools "
                f"show photos{_others(found)}: say 'frame: upright' or 'frame: stored' in the source."
            )


def _others(found: Mapping[str, int]) -> str:
    told = [f"{found[frame]} fit only {frame}" for frame in ("upright", "stored") if found.get(frame)]
    return f" (of the others with a turn {' and '.join(told)})" if told else ""
