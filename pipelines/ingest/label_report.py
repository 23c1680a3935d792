"""Adds up, for each source, what the probe found about labels.

It finds boxes and masks that do not belong to their photo. It also finds photos with an EXIF rotation whose labels fit
both the stored and the upright frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from engine.running.graph import Node
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.listings import IN_SOURCE, read_listing
from pipelines.ingest.rows import ProbedRow


@dataclass(slots=True)
class LabelReport:
    """What the probe found about labels. `left_out`: {source: {reason: number}}. `notes`: sentences for the user."""

    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def label_report(storage: Storage, probe: Node) -> LabelReport:
    """Counts all inputs that a source lists now.

    Inputs probed by old versions, which did not check labels, are left out.
    """
    answer = LabelReport()
    fits: dict[str, Counter[str]] = {}
    for row in _with_findings(storage, probe):
        if row["left_out"]:
            answer.left_out.setdefault(row["source"], Counter()).update(row["left_out"])
        if row["fits"]:
            fits.setdefault(row["source"], Counter())[row["fits"]] += 1
    answer.notes = list(_frame_notes(fits))
    return answer


def _with_findings(storage: Storage, probe: Node) -> Iterator[ProbedRow]:
    listing = read_listing(storage)
    for path in Commits(storage, probe.folder).data_files().values():
        table = TableReader(storage, path, ["source", "uri", "fingerprint", "fits", "left_out"]).read()
        if "fits" in table.column_names:
            found = pc.or_(pc.not_equal(table["fits"], ""), pc.greater(pc.list_value_length(table["left_out"]), 0))
            for row in table.filter(found).to_pylist():
                if listing.state((row["source"], row["uri"], row["fingerprint"])) in IN_SOURCE:
                    yield row


def unused_labels(storage: Storage, probe: Node, nodes: Sequence[Node]) -> list[str]:
    """Sentences about labels that the sources have, but that no node reads, so that no release will contain them."""
    if any(node.reads_labels for node in nodes):
        return []
    people: Counter[str] = Counter()
    texts, listing = 0, read_listing(storage)
    for path in Commits(storage, probe.folder).data_files().values():
        table = TableReader(storage, path, ["source", "uri", "fingerprint", "texts", "regions"]).read()
        labels = pc.add(pc.list_value_length(table["texts"]), pc.list_value_length(table["regions"]))
        table = table.filter(pc.greater(labels, 0))
        keys = zip(*(table[name].to_pylist() for name in ("source", "uri", "fingerprint")), strict=True)
        table = table.filter(pa.array([listing.state(key) in IN_SOURCE for key in keys], pa.bool_()))
        for kind in ("texts", "regions"):
            by_people = pc.is_null(pc.list_flatten(table[kind]).combine_chunks().field("score"))
            number = pc.sum(by_people).as_py() or 0
            people[kind] += number
            texts += len(by_people) - number if kind == "texts" else 0
    answer = []
    if people.total():
        kinds = " and ".join(f"{number:,} {kind}" for kind, number in people.items() if number)
        answer.append(f"{kinds} by people came with the images, but no node uses them: add 'human: {{use: human}}'.")
    if texts:
        found = f"{texts:,} unchecked texts came with the images, but no node uses them"
        answer.append(f"{found}: add 'alt: {{use: source_texts}}'.")
    return answer


def _frame_notes(fits: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for source, found in sorted(fits.items()):
        if both := found.get("both", 0):
            photos, were, fit = ("1 photo", "was", "fits") if both == 1 else (f"{both} photos", "were", "fit")
            yield (
                f"'{source}': {photos} with an EXIF turn {fit} both frames and {were} taken as upright, as most tools "
                f"show photos{_others(found)}: add 'frame: upright' or 'frame: stored' to the source."
            )


def _others(found: Mapping[str, int]) -> str:
    others = [f"{found[frame]} fit only {frame}" for frame in ("upright", "stored") if found.get(frame)]
    return f" (of the others with a turn, {' and '.join(others)})" if others else ""
