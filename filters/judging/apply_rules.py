"""Applies the rules of a recipe to one shard, in order, and gives a verdict on every image and annotation.

A rule sees only the rows that earlier rules kept. So the order of the rules decides which rule is named as the reason
for a drop.

When a row is dropped, everything that depends on it is dropped too: the annotations of an image, the phrases of a text,
the region texts of a region, and the texts, region texts and phrases that were made from it (`parents`).

No rule drops a human annotation, or a text or region that a human annotation refers to. Such a row is dropped only if
its whole image is dropped, or if it was merged into another annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigError, EngineError
from engine.records.columns import VIEWS, ParsedTexts, SemanticImages, View
from engine.records.shard import Bools, Floats, Ints, Numbers, Shard, as_lists, filled, one_array
from engine.schema import ANNOTATIONS, VERDICT, VERDICTS
from filters.judging.parents import Links, parent_links
from filters.verdict import Rule, Verdict, needs_embeddings, needs_parse, needs_whole_set, reads

MERGED, FAILED, IMAGE_DROPPED, TEXT_DROPPED, REGION_DROPPED, PARENT_DROPPED, PARENT_RENAMED = (
    "merged",
    "failed",
    "image_dropped",
    "text_dropped",
    "region_dropped",
    "parent_dropped",
    "parent_renamed",
)
# Reasons that are not rules: these rows are dropped because something they depend on was dropped.
FOLLOWING = (IMAGE_DROPPED, TEXT_DROPPED, REGION_DROPPED, PARENT_DROPPED, PARENT_RENAMED)


def judge(
    record: pa.Table,
    images: pa.Table,
    parse: pa.Table | None,
    rules: Sequence[tuple[str, Rule, Mapping[str, Any]]],
    decided: Sequence[Mapping[str, Any]] = (),
    earlier: pa.Table | None = None,
) -> pa.Table:
    """Verdicts (schema VERDICTS) for a shard, in the order of the record's rows and lists.

    `images`: the rows of the images, with the columns over the whole data set if a rule reads them. `parse`: the parsed
    texts; None if no rule reads them. `rules`: (name in the recipe, function, options). `earlier`: verdicts of an
    earlier run. `decided`: rows {image_id, region_id, rule, value, threshold}, where `region_id` is the id of a region,
    text, region text or phrase.

    Four kinds of rows are dropped before the first rule: images with a failure, regions that were merged into another
    region, rows that `earlier` drops, and rows in `decided`.
    """
    return judge_shard(Shard(record, images, parse), rules, decided, earlier).verdicts()


def judge_shard(
    shard: Shard,
    rules: Sequence[tuple[str, Rule, Mapping[str, Any]]],
    decided: Sequence[Mapping[str, Any]] = (),
    earlier: pa.Table | None = None,
) -> ShardJudgement:
    """The same for a Shard. Its verdicts are those of the method `verdicts`."""
    for name, rule, _ in rules:
        if shard.parse is None and needs_parse(rule):
            raise ConfigError(f"Filter '{name}' reads parsed texts, but no node parses them: add one (spacy_parse).")
        column = "semantic_distance" if needs_embeddings(rule) else "same_distance"
        if needs_whole_set(rule) and column not in shard.image.names:
            raise EngineError(
                f"Filter '{name}' reads columns that are computed over the whole data set: pass them with the images."
            )
    judgement = ShardJudgement(shard)
    if earlier is not None:
        judgement.apply_verdicts(earlier)
    judgement.apply_decisions(decided)
    for name, rule, options in rules:
        judgement.apply(name, rule, options)
    return judgement


class _Outcome:
    """What has been decided so far for each row of one column. `reason`: index into `ShardJudgement.rules`; 0 means
    kept.
    """

    def __init__(self, rows: int) -> None:
        self.reason: Numbers = np.zeros(rows, np.int16)
        self.value: Floats = np.full(rows, np.nan)
        self.threshold: Floats = np.full(rows, np.nan)

    @property
    def kept(self) -> Bools:
        kept: Bools = self.reason == 0
        return kept


class ShardJudgement:
    """The state of one shard while rules are applied to it."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.rules = [""]
        self.outcomes = {"images": _Outcome(len(shard))} | {
            name: _Outcome(len(shard.column(name))) for name in ANNOTATIONS
        }
        self.views: dict[str, View] = {}
        self.protected = {name: _protected(shard, name) for name in ANNOTATIONS}
        self._drop("images", np.flatnonzero(shard.failed), Verdict(np.zeros(0, np.bool_), FAILED))
        merged = np.flatnonzero(filled(shard.column("regions").arrow("merged_into")))
        self._drop("regions", merged, Verdict(np.zeros(0, np.bool_), MERGED))
        self.parents = parent_links(shard)
        for links in self.parents:
            if links.renamed.any():
                self._drop_children(links, links.renamed, PARENT_RENAMED)
        self._drop_dependents({"images", "texts", "regions"})

    def apply_verdicts(self, verdicts: pa.Table) -> None:
        """Drop the rows that these verdicts drop, with the same reasons. Verdicts on rows outside the shard are
        ignored.
        """
        image_row = pc.fill_null(pc.index_in(one_array(verdicts["image_id"]), value_set=self.shard.ids), -1).to_numpy()
        for name in ("images", *ANNOTATIONS):
            lists = one_array(verdicts["image" if name == "images" else name])
            values = lists if name == "images" else lists.flatten()
            rows = image_row
            if name != "images":
                image = np.repeat(image_row, pc.list_value_length(lists).to_numpy())
                rows = self.shard.find(name, image, values.field("id"))
            coded = values.field("rule").dictionary_encode()
            for code, rule in enumerate(coded.dictionary.to_pylist()):
                if rule and rule not in (FAILED, MERGED, *FOLLOWING):
                    at = np.flatnonzero((coded.indices.to_numpy() == code) & (rows >= 0))
                    numbers = (values.field(part).to_numpy(zero_copy_only=False) for part in ("value", "threshold"))
                    self._drop_open(name, rows, at, Verdict(np.zeros(0, np.bool_), rule, *numbers))
        self._drop_dependents({"images", "texts", "regions"})

    def _drop_open(self, name: str, rows: Ints, at: Ints, verdict: Verdict) -> bool:
        """Drop rows[at], except rows that are protected or dropped already. Returns whether any row was dropped."""
        open_ = self.outcomes[name].reason[rows[at]] == 0
        if name in self.protected:
            open_ &= ~self.protected[name][rows[at]]
        return self._drop(name, rows[at[open_]], verdict, at[open_])

    def apply_decisions(self, decided: Sequence[Mapping[str, Any]]) -> None:
        """Drop the rows listed in `decided` (see `judge`), except protected ones."""
        if not decided:
            return
        images = {image_id: row for row, image_id in enumerate(self.shard.ids.to_pylist())}
        for name in _DECIDED:
            if decided:
                decided = self._apply_decisions_on(name, decided, images)
        self._drop_dependents({"regions", "texts"})

    def _apply_decisions_on(
        self, name: str, decided: Sequence[Mapping[str, Any]], images: Mapping[str, int]
    ) -> list[Mapping[str, Any]]:
        """Apply the decisions that concern rows of this column. Returns the remaining decisions."""
        column, rest = self.shard.column(name), list[Mapping[str, Any]]()
        names = zip(column.image.tolist(), column.arrow("id").to_pylist(), strict=True)
        rows = {key: row for row, key in enumerate(names)}
        for one in decided:
            row = rows.get((images.get(one["image_id"], -1), one["region_id"]), -1)
            if row < 0:
                rest.append(one)
            elif self.outcomes[name].reason[row] == 0 and not self.protected[name][row]:
                numbers = [np.nan if one[part] is None else one[part] for part in ("value", "threshold")]
                self._drop(name, np.array([row]), Verdict(np.zeros(0, np.bool_), one["rule"], *numbers))
        return rest

    def view(self, name: str) -> View:
        """The rows of a column that are still kept. If all rows are kept, nothing is copied."""
        if name not in self.views:
            kept = self.outcomes[name].kept
            kind = _FULL.get(name, VIEWS[name])
            self.views[name] = kind(self.shard, None if kept.all() else np.flatnonzero(kept))
        return self.views[name]

    def evaluate(self, name: str, rule: Rule, options: Mapping[str, Any]) -> list[Verdict]:
        """A rule's verdicts on the rows that are still kept. Drops nothing."""
        columns = reads(rule)
        answer = rule(*(self.view(column) for column in columns), **options)
        verdicts = [answer] if isinstance(answer, Verdict) else list(answer)
        for verdict in verdicts:
            if np.shape(verdict.keep) != (len(self.view(columns[0])),):
                raise EngineError(
                    f"Filter '{name}' returned verdicts of shape {np.shape(verdict.keep)} for "
                    f"{len(self.view(columns[0]))} {columns[0]}: return one for each row."
                )
        return verdicts

    def apply(self, name: str, rule: Rule, options: Mapping[str, Any]) -> tuple[View, list[Verdict]]:
        """Drop the rows that a rule rejects, and everything that depends on them.

        Returns the rows that the rule judged, and its verdicts on them.
        """
        column = reads(rule)[0]
        judged = self.view(column)
        dropped = False
        verdicts = self.evaluate(name, rule, options)
        for verdict in verdicts:
            if not verdict.keep.all():
                dropped |= self._drop_open(column, judged.rows, np.flatnonzero(~verdict.keep), verdict)
        if dropped:
            self._drop_dependents({column})
        return judged, verdicts

    def _drop(self, column: str, rows: Ints, verdict: Verdict, at: Ints | None = None) -> bool:
        """Drop these rows of the shard. `at`: for each of them, the row of the verdict with its value and threshold.
        Returns whether there were rows to drop.
        """
        if not len(rows):
            return False
        if verdict.rule not in self.rules:
            self.rules.append(verdict.rule)
        outcome = self.outcomes[column]
        outcome.reason[rows] = self.rules.index(verdict.rule)
        outcome.value[rows] = verdict.value if np.ndim(verdict.value) == 0 else np.asarray(verdict.value)[at]
        outcome.threshold[rows] = (
            verdict.threshold if np.ndim(verdict.threshold) == 0 else np.asarray(verdict.threshold)[at]
        )
        self.views.pop(column, None)
        return True

    def _drop_dependents(self, dropped: set[str]) -> None:
        """Drop everything that depends on dropped rows. `dropped`: the columns in which rows were dropped."""
        shard, none = self.shard, np.zeros(0, np.bool_)
        if "images" in dropped and not (kept := self.outcomes["images"].kept).all():
            for name in filter(lambda name: len(shard.column(name)), ANNOTATIONS):
                gone = self.outcomes[name].kept & ~kept[shard.column(name).image]
                self._drop(name, np.flatnonzero(gone), Verdict(none, IMAGE_DROPPED))
        if "texts" in dropped and len(shard.column("phrases")):
            self._drop_orphans("phrases", "texts", shard.phrase_text, TEXT_DROPPED)
        if "regions" in dropped and len(shard.column("region_texts")):
            self._drop_orphans("region_texts", "regions", shard.region_text_region, REGION_DROPPED)
        gone_parents = [(links, ~self.outcomes[links.parent].kept[links.parents]) for links in self.parents]
        if lost := {links.child for links, gone in gone_parents if self._drop_children(links, gone, PARENT_DROPPED)}:
            self._drop_dependents(lost)

    def _drop_children(self, links: Links, gone: Bools, rule: str) -> bool:
        """Drop the rows that were made from a dropped parent. `gone`: for each link, whether its parent is gone."""
        rows = np.unique(links.children[gone])
        return self._drop_open(links.child, rows, np.arange(len(rows)), Verdict(np.zeros(0, np.bool_), rule))

    def _drop_orphans(self, column: str, parents: str, parent: Ints, rule: str) -> None:
        """Drop the rows of a column whose parent is not kept. `parent`: for each row, the row of its parent in the
        column `parents`; -1 if it has none.
        """
        there = np.append(self.outcomes[parents].kept, False)[parent]  # -1 selects the False at the end
        gone = self.outcomes[column].kept & ~there & ~self.protected[column]
        self._drop(column, np.flatnonzero(gone), Verdict(np.zeros(0, np.bool_), rule))

    def verdicts(self) -> pa.Table:
        rules = pa.array(self.rules, pa.string())
        image = self._structs(self.shard.ids, self.outcomes["images"], rules)
        lists = [
            as_lists(
                VERDICTS.field(name).type,
                self.shard.column(name).offsets,
                self._structs(self.shard.column(name).arrow("id"), self.outcomes[name], rules),
            )
            for name in ANNOTATIONS
        ]
        kind = VERDICTS.field("failures").type
        failed = as_lists(kind, np.zeros(len(self.shard) + 1, np.int64), pa.nulls(0, kind.value_type))
        return pa.Table.from_arrays([self.shard.ids, image, *lists, failed], schema=VERDICTS)

    def counts(self) -> dict[str, dict[str, int]]:
        """The result of `counts` (keep.py) for these verdicts."""
        found: dict[str, dict[str, int]] = {}
        for name, outcome in self.outcomes.items():
            numbers = np.bincount(outcome.reason, minlength=len(self.rules)).tolist()
            found[name] = {rule or "kept": number for rule, number in zip(self.rules, numbers, strict=True) if number}
        return found

    def _structs(self, ids: pa.Array, outcome: _Outcome, rules: pa.Array) -> pa.StructArray:
        if not len(ids):
            return _NOTHING
        value, threshold = (pa.array(x, pa.float64(), from_pandas=True) for x in (outcome.value, outcome.threshold))
        arrays = [ids, pa.array(outcome.kept), rules.take(pa.array(outcome.reason)), value, threshold]
        return pa.StructArray.from_arrays(arrays, fields=list(VERDICT))


_NOTHING = pa.array([], VERDICT)
_DECIDED = ("regions", "texts", "region_texts", "phrases")
_FULL: Mapping[str, type[View]] = {"texts": ParsedTexts, "images": SemanticImages}


def _protected(shard: Shard, name: str) -> Bools:
    """The rows that no rule may drop: human annotations, and texts and regions that human annotations refer to."""
    if not len(shard.column(name)):
        return np.zeros(0, np.bool_)
    protected: Bools = np.isnan(shard.column(name).numbers("score"))
    for child, parents, parent in _LINKS:
        if name == parents and len(shard.column(child)):
            human = np.isnan(shard.column(child).numbers("score"))
            if human.any():
                rows = parent(shard)[human]
                protected = protected.copy()
                protected[rows[rows >= 0]] = True
    return protected


_LINKS: tuple[tuple[str, str, Callable[[Shard], Ints]], ...] = (
    ("phrases", "texts", lambda shard: shard.phrase_text),
    ("region_texts", "regions", lambda shard: shard.region_text_region),
    ("regions", "regions", lambda shard: shard.roots),
)
