"""Counts inputs and annotations by outcome, and checks that the outcomes add up to the total.

Totals and outcomes are counted in different files; none is the difference of two others. Inputs: the total comes from
the listed inputs, the outcomes from images, verdicts and probe. Annotations: the total comes from the files of the
nodes, the outcomes from the verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.layout import IMAGES, INPUTS
from engine.reading.dataset import CurrentNode, Dataset
from engine.reading.sql import connect, damage_reported
from engine.records.selection import selection_of
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits
from engine.storage.listings import IN_SOURCE, SourceCounts, source_counts
from engine.storage.removals import REASON as REMOVED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEPT, PENDING = "kept", "pending"
OUTCOMES = (KEPT, "filtered", "quarantined", PENDING, "duplicates")  # and, if there are any, REMOVED


@dataclass(frozen=True, slots=True)
class Column:
    """Counts of one annotation type. `given`: the total. `outcomes`: kept, dropped by each rule, pending."""

    given: int
    outcomes: Mapping[str, int]

    @property
    def balanced(self) -> bool:
        return self.given == sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Account:
    """Counts of a data set.

    outcomes: number of inputs by outcome (one of OUTCOMES; "removed" only if images were removed).
    shards: {node: (done, total)}.
    selected: {node with `where`: (images that were selected, images with an answer or failure)}.
    failures: (component, reason, number), the highest number first. Later nodes skip an image that failed; these skips
    are not counted.
    splits: kept images by split. Only images of the split `train` are released.
    rates: for each node, items per second per worker, from the latest run in which it ran.
    sources: {name: inputs, missing, gone, left_out {reason: number}, notes} of the latest listing.
    ungiven: number of input images that no source lists any more.
    """

    inputs: int
    outcomes: Mapping[str, int]
    filtered_by: Mapping[str, int]
    annotations: Mapping[str, Column]
    shards: Mapping[str, tuple[int, int]]
    failures: list[tuple[str, str, int]]
    splits: Mapping[str, int] = field(default_factory=dict)
    selected: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    last_run: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, SourceCounts] = field(default_factory=dict)
    ungiven: int = 0

    @property
    def images_balanced(self) -> bool:
        return self.inputs == sum(self.outcomes.values())

    @property
    def balanced(self) -> bool:
        return self.images_balanced and all(column.balanced for column in self.annotations.values())


def account(dataset: Dataset) -> Account:
    with connect(dataset, only=(IMAGES, INPUTS, "failures")) as con, damage_reported(dataset):
        outcomes, filtered_by, splits = _images(con)
        ungiven = _one(con, _UNGIVEN) if _one(con, _ANY_NOT_IN_SOURCE) else 0  # without any, no shard is read for it
        return Account(
            inputs=_one(con, _LISTED) + ungiven,
            ungiven=ungiven,
            sources=_sources(con, dataset),
            outcomes=outcomes,
            filtered_by=filtered_by,
            annotations=_annotations(con, dataset),
            shards=_shards(dataset),
            selected={node.name: _selected(dataset, node) for node in dataset.nodes if node.where},
            failures=_failures(con),
            splits=splits,
            rates=_rates(dataset),
            last_run=_last_run(dataset),
        )


# _LISTED: inputs that a source lists now. _UNGIVEN: images that no source lists any more.
_STATED = "s.source = {0}.source AND s.uri = {0}.uri AND s.fingerprint = {0}.fingerprint"
_NOT_IN_SOURCE = f"s.state NOT IN ({', '.join(repr(state) for state in sorted(IN_SOURCE))})"
_ANY_NOT_IN_SOURCE = f"SELECT count(*) FROM raw.states s WHERE {_NOT_IN_SOURCE}"
_LISTED = f"SELECT count(*) FROM raw.inputs n ANTI JOIN raw.states s ON {_STATED.format('n')} AND {_NOT_IN_SOURCE}"
_UNGIVEN = f"""SELECT count(*) FROM raw.images i
    WHERE i.image_id IN (SELECT image_id FROM raw.probe WHERE len(failures) = 0)
    AND i.image_id NOT IN (SELECT p.image_id FROM raw.probe p ANTI JOIN raw.states s
                           ON {_STATED.format("p")} AND {_NOT_IN_SOURCE} WHERE len(p.failures) = 0)"""


def _one(con: DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0


def _selected(dataset: Dataset, node: CurrentNode) -> tuple[int, int]:
    """(images that the node's `where` selected, all images). Counts only shards that the node has done."""
    chosen, total = 0, 0
    for record in Commits(dataset.storage, node.folder).latest_records():
        rows = record.files["data"].rows
        chosen, total = chosen + int(selection_of(record.counts, rows).sum()), total + rows
    return chosen, total


def _images(con: DuckDBPyConnection) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """(inputs by outcome, filtered images by rule, kept images by split).

    Images are counted in the view `images`, in one query because it opens every shard. All other inputs are counted in
    the view `inputs`.
    """
    outcomes = dict.fromkeys(OUTCOMES, 0)
    filtered_by, splits = Counter[str](), Counter[str]()
    rows = con.execute(
        """SELECT CASE WHEN f.image_id IS NOT NULL THEN 'quarantined' WHEN i.kept IS NULL THEN 'pending'
                       WHEN i.kept THEN 'kept' WHEN i.rule = 'failed' THEN 'quarantined' ELSE 'filtered' END AS outcome,
                  i.rule, i.split, i.kept, count(*)
           FROM images i LEFT JOIN (SELECT DISTINCT image_id FROM failures WHERE image_id IS NOT NULL) f
             ON f.image_id = i.image_id GROUP BY ALL"""
    ).fetchall()
    for outcome, rule, split, kept, number in rows:
        outcomes[outcome] += number
        if outcome == "filtered":
            filtered_by[rule] += number
        if kept:
            splits[split] += number
    names = {"quarantined": "quarantined", "pending": PENDING, "duplicate": "duplicates"}
    for outcome, number in con.execute("SELECT outcome, count(*) FROM inputs GROUP BY ALL").fetchall():
        if outcome in names:
            outcomes[names[outcome]] += number
        elif outcome == REMOVED:
            outcomes[REMOVED] = number
    return outcomes, dict(sorted(filtered_by.items())), dict(sorted(splits.items()))


def _sources(con: DuckDBPyConnection, dataset: Dataset) -> dict[str, SourceCounts]:
    """The counts of each source, with the labels that the probe left out added to its `left_out`."""
    columns = {row[0] for row in con.execute("DESCRIBE raw.probe").fetchall()}
    if "left_out" not in columns:  # written by an earlier version
        return source_counts(dataset.storage, {})
    rows = con.execute(
        f"""SELECT source, reason, count(*) FROM (
                SELECT p.source, unnest(p.left_out) AS reason FROM raw.probe p
                ANTI JOIN raw.states s ON {_STATED.format("p")} AND {_NOT_IN_SOURCE})
            GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    left_out: dict[str, dict[str, int]] = {}
    for source, reason, number in rows:
        left_out.setdefault(source, {})[reason] = number
    return source_counts(dataset.storage, left_out)


def _annotations(con: DuckDBPyConnection, dataset: Dataset) -> dict[str, Column]:
    """Counts by annotation type. Totals and pending come from the nodes' files, kept and dropped from the verdicts."""
    given, pending = dict.fromkeys(ANNOTATIONS, 0), dict.fromkeys(ANNOTATIONS, 0)
    for node in dataset.record_nodes():
        table = f'raw."node {node.name}"'
        sums = ", ".join(
            f"sum(len({column})), sum(len({column})) FILTER (j.image_id IS NULL)" for column in node.columns
        )
        row = con.execute(
            f"SELECT {sums} FROM {table} n LEFT JOIN (SELECT image_id FROM raw.verdicts) j ON j.image_id = n.image_id"
        ).fetchone()
        for number, column in enumerate(node.columns):
            given[column] += int((row or ())[2 * number] or 0)
            pending[column] += int((row or ())[2 * number + 1] or 0)
    answer = {}
    for column in ANNOTATIONS:
        counted = con.execute(
            f"SELECT v.rule, v.kept, count(*) FROM (SELECT unnest({column}) AS v FROM raw.verdicts) GROUP BY ALL"
        ).fetchall()
        rules = {rule: number for rule, kept, number in counted if not kept}
        kept = sum(number for _, kept, number in counted if kept)
        answer[column] = Column(given[column], {KEPT: kept, **dict(sorted(rules.items())), PENDING: pending[column]})
    return answer


def _shards(dataset: Dataset) -> dict[str, tuple[int, int]]:
    """{node: (shards done, all shards)}.

    A shard is done if its output was made from the latest version of its inputs.
    """
    total = dataset.shards
    answer = {"probe": (len(dataset.files(dataset.probe)), len(dataset.revisions(INPUTS)))}
    answer[IMAGES] = (len(dataset.files(IMAGES)), total)
    answer |= {node.name: (int(dataset.done(node).sum()), total) for node in dataset.nodes}
    if dataset.judge:
        answer["judge"] = (len(dataset.judged_files()), total)
    return answer


def _failures(con: DuckDBPyConnection) -> list[tuple[str, str, int]]:
    rows = con.execute(
        f"""SELECT component, reason, count(DISTINCT coalesce(image_id, uri)) AS number FROM failures
           WHERE reason NOT IN ('skipped', '{REMOVED}') GROUP BY component, reason
           ORDER BY number DESC, component, reason"""
    ).fetchall()
    return [(str(component), str(reason), int(number)) for component, reason, number in rows]


def _last_run(dataset: Dataset) -> dict[str, Any]:
    runs = dataset.runs()
    return dataset.run(runs[-1]) if runs else {}


def _rates(dataset: Dataset) -> dict[str, float]:
    """Items per second and worker, by node, from the latest run in which the node ran. Looks at the last 20 runs."""
    rates: dict[str, float] = {}
    for folder in reversed(dataset.runs()[-20:]):
        for node in dataset.run(folder).get("nodes", []):
            if node.get("worker_seconds") and node.get("items"):
                rates.setdefault(node["node"], node["items"] / node["worker_seconds"])
    return rates
