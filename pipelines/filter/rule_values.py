"""The numbers that the rules compared, of what they kept as well as of what they dropped, on a sample of shards.

A committed verdict has a value only if a rule dropped the row. So the rules of the data set are applied again to a few
whole shards, in memory. The result is used only if it equals the committed verdicts on these shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import EngineError
from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.reading.rule_values_view import RULE_VALUES_SCHEMA, verdicts_hash
from engine.records.columns import View
from engine.records.shard import Bools, Floats, Shard, one_array
from engine.records.stored_shard import StoredShard
from engine.running.graph import KEPT_REGIONS
from engine.schema import ANNOTATIONS
from engine.storage.column_reader import ColumnReader
from engine.storage.commits import Commits, TableReader
from filters.judging.apply_rules import ShardJudgement
from filters.verdict import Verdict, reads
from pipelines.filter.judge import NamedRule, rules_given
from pipelines.filter.whole_set import WholeSet, read_surveyed

SAMPLED_IMAGES = 2_000
_MOST_SHARDS = 100
_RECIPES_TRIED = 5


def rule_values(dataset: Dataset, images: int = SAMPLED_IMAGES) -> pa.Table:
    """The values on evenly spaced whole shards that have about this many images together (RULE_VALUES_SCHEMA).

    The table is empty if nothing is judged, of a release, and if none of the latest recipes gives the committed
    verdicts.
    """
    judged = {} if dataset.release else dataset.judged_files()
    shards = _sample(dataset, sorted(judged), images)
    whole_set = _surveyed(dataset)
    if not shards or whole_set is None:
        return RULE_VALUES_SCHEMA.empty_table()
    for rules in islice(_recorded_rules(dataset), _RECIPES_TRIED):
        tables = [_values_of(dataset, shard, judged[shard], whole_set, rules) for shard in shards]
        found = [table for table in tables if table is not None]
        if len(found) == len(shards):
            rows = pa.concat_tables(found)
            column = pa.array([verdicts_hash(dataset)] * rows.num_rows, pa.string())
            return rows.set_column(0, RULE_VALUES_SCHEMA.field("verdicts"), column)
    return RULE_VALUES_SCHEMA.empty_table()


def _sample(dataset: Dataset, judged: Sequence[int], images: int) -> list[int]:
    if not judged:
        return []
    files = dataset.files(IMAGES)
    rows = max(TableReader(dataset.storage, files[judged[0]], ["image_id"]).read().num_rows, 1)
    wanted = min(-(-images // rows), _MOST_SHARDS, len(judged))
    return [judged[place] for place in sorted(set(np.linspace(0, len(judged) - 1, wanted).astype(int).tolist()))]


def _surveyed(dataset: Dataset) -> WholeSet | None:
    try:
        return read_surveyed(dataset.storage, "" if dataset.release else dataset.surveyed)
    except (FileNotFoundError, EngineError):
        return None


def _recorded_rules(dataset: Dataset) -> Iterator[list[NamedRule]]:
    """The rules in the recipes of the runs, the latest first. Recipes that this engine cannot read are left out."""
    seen = set()
    for folder in reversed(dataset.runs()):
        try:
            items = json.loads(dataset.run(folder)["recipe"])["filter"]
            if (text := json.dumps(items, sort_keys=True)) not in seen:
                seen.add(text)
                yield rules_given(items)
        except (EngineError, KeyError, TypeError, ValueError):
            continue


class _Tables(NamedTuple):
    shard: Shard
    first: pa.Table | None  # verdicts of the first pass, on images and regions
    decided: Sequence[Mapping[str, Any]]  # decisions of the rounds


def _read(dataset: Dataset, shard: int, whole_set: WholeSet) -> _Tables:
    def file(folder: str) -> ColumnReader:
        return ColumnReader(dataset.storage, dataset.files(folder)[shard])

    def part(names: Sequence[str], suffix: str) -> pa.Table | None:
        """A further part of the last of these nodes' answers."""
        node = dataset.node(names[-1]) if names else None
        files = Commits(dataset.storage, node.folder).data_files(suffix) if node else {}
        return TableReader(dataset.storage, files[shard]).read() if shard in files else None

    answers = [(file(node.folder), node.columns) for node in dataset.record_nodes()]
    parses = [file(node.folder) for node in dataset.nodes if node.over == "texts"]
    decided = part([node.name for node in dataset.nodes if node.component == "merge"], "decided")
    first = part([node.name for node in dataset.nodes if KEPT_REGIONS in node.gives], "verdicts")
    rows = StoredShard(file(IMAGES), answers, parses, whole_set.image_columns(shard))
    return _Tables(rows, first, decided.to_pylist() if decided is not None else ())


def _values_of(
    dataset: Dataset, number: int, judged: str, whole_set: WholeSet, rules: Sequence[NamedRule]
) -> pa.Table | None:
    """The values of one shard. None if these rules do not give the committed verdicts, which are in `judged`."""
    try:
        given = _read(dataset, number, whole_set)
    except (FileNotFoundError, KeyError):
        return None
    judgement = ShardJudgement(given.shard)
    if given.first is not None:
        judgement.apply_verdicts(given.first)
    judgement.apply_decisions(given.decided)
    passed = []
    try:
        for place, (name, rule, options) in enumerate(whole_set.rules(rules)):
            passed += list(_passed(place, reads(rule)[0], *judgement.apply(name, rule, options)))
    except EngineError:
        return None
    verdicts = judgement.verdicts()
    if not _same(verdicts, TableReader(dataset.storage, judged).read()):
        return None
    places = {name: place for place, (name, _, _) in reversed(list(enumerate(rules)))}
    none = RULE_VALUES_SCHEMA.empty_table()
    return pa.concat_tables([none, *_taken(verdicts, places), *_finally_kept(passed, judgement)])


def _same(found: pa.Table, committed: pa.Table) -> bool:
    """Whether two tables of verdicts name the same rule for every row."""
    for name in ("image", *ANNOTATIONS):
        ours, theirs = (one_array(table[name]) for table in (found, committed))
        ours, theirs = (ours, theirs) if name == "image" else (ours.flatten(), theirs.flatten())
        if not all(ours.field(part).equals(theirs.field(part)) for part in ("id", "rule")):
            return False
    return True


# --- rows of the table ---------------------------------------------------------------------------


class _Passed(NamedTuple):
    """Rows of a column that one check of a rule passed."""

    place: int
    rule: str
    column: str
    view: View
    passed: Bools
    value: Floats
    threshold: Floats


def _passed(place: int, column: str, view: View, verdicts: Sequence[Verdict]) -> Iterator[_Passed]:
    for verdict in verdicts:
        numbers = np.broadcast_arrays(verdict.value, verdict.threshold, verdict.keep)
        value, threshold = (array.astype(np.float64) for array in numbers[:2])
        keep: Bools = numbers[2].astype(np.bool_)
        yield _Passed(
            place, verdict.rule, column, view, keep & np.isfinite(value) & np.isfinite(threshold), value, threshold
        )


def _finally_kept(passed: Sequence[_Passed], judgement: ShardJudgement) -> Iterator[pa.Table]:
    shard = judgement.shard
    for one in passed:
        column = one.column
        at = np.flatnonzero(one.passed & judgement.outcomes[column].kept[one.view.rows])
        rows = one.view.rows[at]
        image = rows if column == IMAGES else shard.column(column).image[rows]
        ids = pa.array([""] * len(rows)) if column == IMAGES else shard.column(column).arrow("id").take(pa.array(rows))
        yield _table(
            shard.ids.take(pa.array(image)),
            column,
            ids,
            (one.place, one.rule, True),
            (pa.array(one.value[at]), pa.array(one.threshold[at])),
        )


def _taken(verdicts: pa.Table, places: Mapping[str, int]) -> Iterator[pa.Table]:
    """The rows that rules dropped, with the values in their verdicts."""
    for name in (IMAGES, *ANNOTATIONS):
        lists = one_array(verdicts["image" if name == IMAGES else name])
        values = lists if name == IMAGES else lists.flatten()
        image_ids = one_array(verdicts["image_id"])
        if name != IMAGES:
            image_ids = image_ids.take(pa.array(np.repeat(np.arange(len(lists)), pc.list_value_length(lists))))
        measured = pc.and_(pc.is_finite(values.field("value")), pc.is_finite(values.field("threshold")))
        for rule in pc.unique(values.field("rule")).to_pylist():
            place = places.get(rule.partition(".")[0])
            if place is None:  # not a rule, but an annotation that went with another, or a decision of a round
                continue
            which = pc.and_(pc.equal(values.field("rule"), rule), pc.fill_null(measured, False))
            chosen, ids = values.filter(which), image_ids.filter(which)
            own = pa.array([""] * len(ids)) if name == IMAGES else chosen.field("id")
            numbers = (chosen.field("value"), chosen.field("threshold"))
            yield _table(ids, name, own, (place, rule, False), numbers)


def _table(
    image_ids: pa.Array, column: str, ids: pa.Array, of: tuple[int, str, bool], numbers: tuple[pa.Array, pa.Array]
) -> pa.Table:
    """Rows of one annotation type. `of`: place and name of the rule, and whether the rows are kept."""
    rows = len(ids)
    place, rule, kept = of
    arrays = [pa.nulls(rows), image_ids, pa.array([kept] * rows), pa.array([column] * rows), ids]
    arrays += [pa.array([place] * rows), pa.array([rule] * rows), *numbers]
    typed = [array.cast(field.type) for array, field in zip(arrays, RULE_VALUES_SCHEMA, strict=True)]
    return pa.Table.from_arrays(typed, schema=RULE_VALUES_SCHEMA)
