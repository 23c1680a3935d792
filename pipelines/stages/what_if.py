"""Computes what other filter rules would change. Runs no specialist and writes nothing.

One shard is in memory at a time. Verdicts are compared by annotation id. An annotation counts as new if the committed
verdicts do not cover it because the record has changed since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigError
from engine.layout import IMAGES, JUDGE_REGIONS
from engine.reading.dataset import read_current
from engine.records.shard import Bools, Ints, Shard, one_array
from engine.records.stored_shard import ImageColumn
from engine.running.graph import Node
from engine.running.messages import Unit
from engine.running.plan import Plan, make_plan
from engine.running.shard_inputs import ShardInputs
from engine.schema import ANNOTATIONS
from engine.storage.commits import Commits, TableReader
from engine.storage.disks import scratch_folder
from engine.storage.files import Storage
from engine.storage.uris import short_name
from filters.judging.apply_rules import judge_shard
from pipelines.filter.judge import NamedRule, judge_node, rules_of, stored_shard
from pipelines.filter.judge_regions import first_rules
from pipelines.filter.semantic_set import Candidates
from pipelines.filter.survey import embeddings_file, survey_shard
from pipelines.filter.whole_set import (
    SCRATCH,
    Contribution,
    WholeSet,
    combined,
    is_combined,
    read_surveyed,
    surveyed_folder,
)
from pipelines.recipe import Recipe
from pipelines.stages.current import current_nodes
from pipelines.stages.state import State, read_state, require

COLUMNS = (IMAGES, *ANNOTATIONS)
COVERED = ("regions", "texts", "phrases")
EXAMPLES = 10


@dataclass(slots=True)
class Change:
    """The counts of one column."""

    given: int = 0
    new: int = 0  # not judged yet
    now: int = 0
    then: int = 0
    rules: dict[str, list[int]] = field(default_factory=dict)  # {rule: [dropped now, dropped then]}


@dataclass(frozen=True, slots=True)
class Flip:
    """An image or annotation whose verdict would change. `rule`: the rule that drops it, now or with the new rules."""

    column: str
    image_id: str
    file: str
    annotation_id: str
    what: str  # its label or text
    kept: bool  # then
    rule: str
    value: float | None
    threshold: float | None


@dataclass(slots=True)
class WhatIf:
    """The committed verdicts, beside those that the recipe's rules would give.

    `rewritten`: nodes that would run again because other regions would be kept. Their committed output is judged.
    """

    committed: str  # folder of the committed verdicts; '' if there are none
    proposed: str
    same: bool = False
    rewritten: list[str] = field(default_factory=list)
    columns: dict[str, Change] = field(default_factory=lambda: {name: Change() for name in COLUMNS})
    covered: dict[str, list[int]] = field(default_factory=lambda: {name: [0, 0] for name in COVERED})
    labels: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    flips: list[Flip] = field(default_factory=list)
    curve: Mapping[str, Any] = field(default_factory=dict)  # see `curve_of`; empty without semantic_duplicate

    def __str__(self) -> str:
        """The text that `engine run --stage filter --dry-run` prints."""
        from pipelines.stages.what_if_text import render_what_if

        return render_what_if(self)


def what_if(recipe: Recipe) -> WhatIf:
    """Judges every shard with the recipe's rules, in memory. Raises ConfigError if shards are not annotated yet."""
    storage = Storage(recipe.dataset)
    state = read_state(storage, recipe)
    seen, written, judge = state.before_regions_are_judged, state.after_regions_are_judged, state.judge
    plan = make_plan(storage, [*written, judge], seen)
    if not plan.shards:
        raise ConfigError(f"'{storage.url}' holds no images yet: run --stage ingest first, or leave --dry-run out.")
    require(storage, seen, "filter")
    committed = _committed(storage)
    answer = WhatIf(committed, judge.folder)
    if committed == judge.folder and not plan.todo()[judge.name].any():
        answer.same, answer.curve = True, read_surveyed(storage, judge.options["surveyed"]).curve
        return answer
    answer.rewritten = [name for name in _undone(plan, written) if name != JUDGE_REGIONS]
    known = [*seen, *_as_written(storage, plan, written)]
    reader = judge_node(recipe, known)
    plan = make_plan(storage, [reader], known)
    readers = [
        _shard_reader(storage, plan, reader, shard, rules_of(recipe) if written else ()) for shard in range(plan.shards)
    ]
    before = Commits(storage, committed).data_files() if committed else {}
    with scratch_folder(SCRATCH) as scratch:
        whole_set = _whole_set(state, readers, scratch)
        answer.curve = whole_set.curve
        rules = whole_set.rules(rules_of(recipe))
        for shard, read in enumerate(readers):
            given = read(whole_set.image_columns(shard))
            then = judge_shard(given.shard, rules, earlier=given.first).verdicts()
            now = TableReader(storage, before[shard]).read() if shard in before else None
            _compare(answer, given.shard, now, then)
    return answer


def _whole_set(state: State, readers: Sequence[_Reader], scratch: str) -> WholeSet:
    """The facts about the whole data set that rules need.

    They are read if they are committed and up to date, else computed.
    """
    if state.whole_set is None:
        return WholeSet()
    folder = surveyed_folder(state.storage, state.whole_set)
    todo = make_plan(state.storage, [state.whole_set], state.annotators).todo()
    if not todo[state.whole_set.name].any() and is_combined(state.storage, state.whole_set, folder):
        return read_surveyed(state.storage, folder)
    rules = rules_of(state.recipe)[: len(state.whole_set.options["rules"])]
    embedder = state.whole_set.options.get("embedder", "")
    return combined((_contribution(read({}), rules, embedder) for read in readers), rules, state.storage, scratch)


def _undone(plan: Plan, nodes: Sequence[Node]) -> list[str]:
    todo = plan.todo()
    return [node.name for node in nodes if todo[node.name].any()]


def _as_written(storage: Storage, plan: Plan, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that read kept regions and have answers for all shards, made with these rules or the previous ones."""
    before, undone = current_nodes(storage), _undone(plan, nodes)
    answer = []
    for node in nodes:
        if node.name in undone and node.name in before:
            node = replace(node, key=before[node.name].key)
        revisions = Commits(storage, node.folder).revisions()
        if node.name != JUDGE_REGIONS and len(revisions) >= plan.shards and (revisions >= 0).all():
            answer.append(node)
    return answer


class _ShardTables(NamedTuple):
    """What is read of a shard. `first`: the verdicts of the first pass, on images and regions."""

    inputs: ShardInputs
    shard: Shard
    first: pa.Table | None


_Reader = Callable[[Mapping[str, ImageColumn]], _ShardTables]  # of one shard, from further columns of its images


def _contribution(given: _ShardTables, rules: Sequence[NamedRule], embedder: str) -> Contribution:
    """What one shard contributes. `embedder`: the node whose embeddings are compared; '' for none."""
    found = survey_shard(given.shard, rules, given.first)
    candidates = None
    if embedder:
        candidates = Candidates(
            found.candidates.num_rows, lambda: found.candidates, embeddings_file(given.inputs, embedder)
        )
    return Contribution(found.hashes, found.values, candidates)


def _shard_reader(storage: Storage, plan: Plan, judge: Node, shard: int, rules: Sequence[NamedRule]) -> _Reader:
    """A function that reads a shard.

    `rules`: the rules of the first pass, which runs in memory; empty if there is no such pass.
    """

    def read(added: Mapping[str, ImageColumn]) -> _ShardTables:
        revisions = {name: int(plan.revisions[name][shard]) for name in (IMAGES, *judge.inputs)}
        inputs = ShardInputs(storage, plan.known, judge, Unit(judge.name, shard, 0, revisions))
        rows = stored_shard(inputs, judge.options["record"], judge.options["parses"], added)
        first = judge_shard(rows, first_rules(rules)).verdicts() if rules else None
        return _ShardTables(inputs, rows, first)

    return read


def _committed(storage: Storage) -> str:
    try:
        named = read_current(storage).get("judge") or {}
    except FileNotFoundError:
        return ""
    folder = str(named.get("folder", ""))
    return folder if folder and len(Commits(storage, folder).revisions()) else ""


# --- one shard -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Verdicts:
    """Verdicts on the rows of a column. `place`: the position of each row's verdict in `values`; -1 if it has none."""

    values: pa.StructArray
    place: Ints

    @property
    def judged(self) -> Bools:
        return self.place >= 0

    @property
    def kept(self) -> Bools:
        kept: Bools = self.values.field("kept").to_numpy(zero_copy_only=False)
        return np.append(kept, False)[self.place]  # index -1 gives the appended False

    def rules(self) -> dict[str, int]:
        """{rule: number of rows that it dropped}."""
        chosen = self.values.field("rule").take(pa.array(self.place[self.judged]))
        return {pair["values"]: pair["counts"] for pair in chosen.value_counts().to_pylist() if pair["values"]}


def _compare(answer: WhatIf, shard: Shard, now: pa.Table | None, then: pa.Table) -> None:
    for name in COLUMNS:
        new, old = _aligned(shard, name, then), _aligned(shard, name, now)
        change = answer.columns[name]
        change.given += len(new.place)
        change.new += int((~old.judged).sum())
        change.now += int(old.kept.sum())
        change.then += int(new.kept.sum())
        for side, verdicts in enumerate((old, new)):
            for rule, count in verdicts.rules().items():
                change.rules.setdefault(rule, [0, 0])[side] += count
            if name in COVERED:
                answer.covered[name][side] += len(np.unique(shard.column(name).image[verdicts.kept]))
            if name == "regions":
                kept = shard.column(name).arrow("label").filter(pa.array(verdicts.kept))
                answer.labels[side].update(label for label in kept.unique().to_pylist() if label)
        answer.flips += _flips(answer, shard, name, old, new)


def _aligned(shard: Shard, name: str, verdicts: pa.Table | None) -> _Verdicts:
    """The verdicts on a column in the order of its rows, matched by image id and annotation id."""
    rows = len(shard) if name == IMAGES else len(shard.column(name))
    if verdicts is None:
        empty = pa.StructArray.from_arrays([pa.array([], pa.bool_()), pa.array([], pa.string())], ["kept", "rule"])
        return _Verdicts(empty, np.full(rows, -1, np.int64))
    ids = one_array(verdicts["image_id"])
    lists = one_array(verdicts["image" if name == IMAGES else name])
    values = lists if name == IMAGES else lists.flatten()
    wanted = shard.ids if name == IMAGES else shard.column(name).arrow("id")
    if ids.equals(shard.ids) and values.field("id").equals(wanted):
        return _Verdicts(values, np.arange(rows))
    image = {image_id: row for row, image_id in enumerate(shard.ids.to_pylist())}
    home = np.array([image.get(image_id, -1) for image_id in ids.to_pylist()], np.int64)
    place = np.full(rows, -1, np.int64)
    if name == IMAGES:
        found = home
    else:
        sizes = pc.list_value_length(lists).to_numpy()
        found = shard.find(name, np.repeat(home, sizes), values.field("id"))
    place[found[found >= 0]] = np.flatnonzero(found >= 0)
    return _Verdicts(values, place)


def _flips(answer: WhatIf, shard: Shard, name: str, old: _Verdicts, new: _Verdicts) -> Iterator[Flip]:
    """Yields up to EXAMPLES changed verdicts for each rule and direction. They are counted over all shards."""
    have = Counter((flip.kept, flip.rule) for flip in answer.flips if flip.column == name)
    then, now = new.kept, old.kept
    for kept, source in ((False, new), (True, old)):
        flipped = np.flatnonzero(old.judged & (now != then) & (then == kept))
        coded = source.values.field("rule").take(pa.array(source.place[flipped])).dictionary_encode()
        for code, rule in enumerate(coded.dictionary.to_pylist()):
            rows = flipped[coded.indices.to_numpy() == code]
            for row in rows[: EXAMPLES - have[kept, rule]]:
                yield _flip(shard, name, int(row), kept, source.values[int(source.place[row])].as_py())


def _flip(shard: Shard, name: str, row: int, kept: bool, verdict: Mapping[str, Any]) -> Flip:
    image = row if name == IMAGES else int(shard.column(name).image[row])
    uri = shard.image.arrow("uri")[image].as_py()
    sources = shard.image.arrow("sources")[image].as_py()
    file = short_name(sources[0]["uri"] if sources else uri)
    annotation_id = "" if name == IMAGES else verdict["id"]
    place = (shard.ids[image].as_py()[:8], file, annotation_id, _what(shard, name, row), kept)
    return Flip(name, *place, verdict["rule"], verdict["value"], verdict["threshold"])


def _what(shard: Shard, name: str, row: int) -> str:
    if name == IMAGES:
        width, height = (shard.image.arrow(side)[row].as_py() for side in ("width", "height"))
        return f"{width} x {height}"
    item = shard.column(name).values[row].as_py()
    if name == "phrases":
        text = int(shard.phrase_text[row])
        words = shard.column("texts").arrow("text")[text].as_py() if text >= 0 else ""
        return str(words[item["char_start"] : item["char_end"]])
    if name == "image_scores":
        return f"{item['name']} {item['code'] or format(item['value'], 'g')}"
    return str(item.get("text") or item.get("label") or item.get("kind", ""))
