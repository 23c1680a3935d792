"""Labels in the section `emit` that no kept region or tag has: mostly a label that was misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_query
from engine.storage.files import Storage
from pipelines.release_options import Emit

_LISTED = 5  # labels in a sentence
_LABELS = """
    SELECT DISTINCT label, object FROM (
        SELECT label, kind = 'object' AS object FROM kept.regions UNION ALL SELECT label, false FROM kept.tags
    ) WHERE label <> '' ORDER BY ALL
"""


def unused_labels(storage: Storage, options: Emit) -> list[str]:
    """A sentence for each option with unused labels. The kept annotations are read only if there is such an option.

    A list of labels may well have some that a small data set lacks, so this is no error.
    """
    changes = options.labels
    if not (options.label_list or changes.rename or changes.drop):
        return []
    with connect(Dataset.open(storage.url)) as con:
        rows = run_query(con, _LABELS).to_pylist()
    every = {row["label"] for row in rows}
    objects = {row["label"] for row in rows if row["object"]}
    released = {changes.rename.get(label, label) for label in objects - set(changes.drop)}
    found = [
        _sentence("emit.labels.rename", "region or tag", changes.rename, every),
        _sentence("emit.labels.drop", "region or tag", changes.drop, every),
        _sentence("emit.label_list", "object", options.label_list, released),
    ]
    return [sentence for sentence in found if sentence]


def _sentence(option: str, what: str, given: Collection[str], known: Collection[str]) -> str:
    unused = [label for label in given if label not in known]
    if not unused:
        return ""
    named = ", ".join(_with_nearest(unused[:_LISTED], known))
    more = f" and {len(unused) - _LISTED} more" if len(unused) > _LISTED else ""
    return f"{option} names labels that no kept {what} has: {named}{more}."


def _with_nearest(labels: Collection[str], known: Collection[str]) -> Iterator[str]:
    for label in labels:
        near = difflib.get_close_matches(label, sorted(known), n=1, cutoff=0.75)
        yield f"'{label}' (is it '{near[0]}'?)" if near else f"'{label}'"
