"""Rules one after the other over one shard: verdicts on every image and annotation, and what is kept by them.

A rule sees only what is still kept when it runs, so the order of the rules gives the reasons. What hangs on
something dropped is dropped at once: annotations of an image, phrases of a text, region texts of a region, and
texts, region texts and phrases that were made from it (their `parents`).
What a human said is kept whatever a rule says, and with it the text or region it speaks of, unless the whole
image is dropped or it was merged into another annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import ConfigError, EngineError
from engine.records.columns import VIEWS, ParsedTexts, SurveyedImages, View
from engine.records.shard import Bools, Floats, Ints, Numbers, Shard, as_lists, filled, one_array, with_field
from engine.schema import ANNOTATIONS, RECORD, VERDICT, VERDICTS
from filters.judging.parents import Links, parent_links
from filters.verdict import Rule, Verdict, needs_parse, needs_survey, reads

MERGED, FAILED, IMAGE_DROPPED, TEXT_DROPPED, REGION_DROPPED, PARENT_DROPPED, PARENT_RENAMED = (
    "merged",
    "failed",
    "image_dropped",
    "text_dropped",
    "region_dropped",
    "parent_dropped",
    "parent_renamed",
)
# Verdicts that follow from others, or from the record, by themselves.
FOLLOWING = (IMAGE_DROPPED, TEXT_DROPPED, REGION_DROPPED, PARENT_DROPPED, PARENT_RENAMED)


def judge(
    record: pa.Table,
    images: pa.Table,
    parse: pa.Table | None,
    rules: Sequence[tuple[str, Rule, Mapping[str, Any]]],
    decided: Sequence[Mapping[str, Any]] = (),
    first: pa.Table | None = None,
) -> pa.Table:
    """Verdicts (schema VERDICTS) on a shard, rows and lists aligned with the record's.

    `rules`: (name in the recipe, function, options). Before all rules an image with a failure is dropped, regions
    that were merged into another, and what is decided: {image_id, region_id, rule, value, threshold}, where region_id
    may as well be that of a text, a region text or a phrase. `first`: verdicts on images and regions that stand.
    """
    for name, rule, _ in rules:
        if parse is None and needs_parse(rule):
            raise ConfigError(f"Filter '{name}' reads the parse of texts, but there is none: add a node that parses.")
        if needs_survey(rule) and "same_distance" not in images.column_names:
            raise EngineError(
                f"Filter '{name}' reads a survey of the whole data set: pass its columns with the images."
            )
    court = Court(Shard(record, images, parse))
    if first is not None:
        court.adopt(first)
    court.take(decided)
    for name, rule, options in rules:
        court.hear(name, rule, options)
    return court.verdicts()


class _Docket:
    """What was decided on one column so far. `reason` is a number of the court's list of rules, 0 for kept."""

    def __init__(self, rows: int) -> None:
        self.reason: Numbers = np.zeros(rows, np.int16)
        self.value: Floats = np.full(rows, np.nan)
        self.threshold: Floats = np.full(rows, np.nan)

    @property
    def kept(self) -> Bools:
        kept: Bools = self.reason == 0
        return kept


class Court:
    """One shard while its rules are heard, one after the other."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.rules = [""]
        self.dockets = {"images": _Docket(len(shard))} | {
            name: _Docket(len(shard.column(name))) for name in ANNOTATIONS
        }
        self.views: dict[str, View] = {}
        self.shielded = {name: _shielded(shard, name) for name in ANNOTATIONS}
        failures = np.flatnonzero(np.diff(shard.column("failures").offsets))
        self._drop("images", failures, Verdict(np.zeros(0, np.bool_), FAILED))
        merged = np.flatnonzero(filled(shard.column("regions").arrow("merged_into")))
        self._drop("regions", merged, Verdict(np.zeros(0, np.bool_), MERGED))
        self.parents = parent_links(shard)
        for links in self.parents:
            if links.renamed.any():
                self._lost(links, links.renamed, PARENT_RENAMED)
        self._follow({"images", "texts", "regions"})

    def adopt(self, verdicts: pa.Table) -> None:
        """Drop what these verdicts drop of the same annotations, for the same reasons."""
        home = pc.fill_null(pc.index_in(one_array(verdicts["image_id"]), value_set=self.shard.ids), -1).to_numpy()
        for name in ("images", *ANNOTATIONS):
            lists = one_array(verdicts["image" if name == "images" else name])
            values = lists if name == "images" else lists.flatten()
            rows = home
            if name != "images":
                image = np.repeat(home, pc.list_value_length(lists).to_numpy())
                rows = self.shard.find(name, image, values.field("id"))
            coded = values.field("rule").dictionary_encode()
            for code, rule in enumerate(coded.dictionary.to_pylist()):
                if rule and rule not in (FAILED, MERGED, *FOLLOWING):
                    at = np.flatnonzero((coded.indices.to_numpy() == code) & (rows >= 0))
                    numbers = (values.field(part).to_numpy(zero_copy_only=False) for part in ("value", "threshold"))
                    self._close(name, rows, at, Verdict(np.zeros(0, np.bool_), rule, *numbers))
        self._follow({"images", "texts", "regions"})

    def _close(self, name: str, rows: Ints, at: Ints, verdict: Verdict) -> bool:
        """Drop the rows at `at`, as far as nothing was decided of them and nobody speaks for them."""
        open_ = self.dockets[name].reason[rows[at]] == 0
        if name in self.shielded:
            open_ &= ~self.shielded[name][rows[at]]
        return self._drop(name, rows[at[open_]], verdict, at[open_])

    def take(self, decided: Sequence[Mapping[str, Any]]) -> None:
        """What somebody decided of before; what people said is not among it, or stays."""
        if not decided:
            return
        images = {image_id: row for row, image_id in enumerate(self.shard.ids.to_pylist())}
        for name in _DECIDED:
            if decided:
                decided = self._take(name, decided, images)
        self._follow({"regions", "texts"})

    def _take(
        self, name: str, decided: Sequence[Mapping[str, Any]], images: Mapping[str, int]
    ) -> list[Mapping[str, Any]]:
        """Decide what is of this column; the rest is handed back."""
        column, rest = self.shard.column(name), list[Mapping[str, Any]]()
        names = zip(column.image.tolist(), column.arrow("id").to_pylist(), strict=True)
        rows = {key: row for row, key in enumerate(names)}
        for one in decided:
            row = rows.get((images.get(one["image_id"], -1), one["region_id"]), -1)
            if row < 0:
                rest.append(one)
            elif self.dockets[name].reason[row] == 0 and not self.shielded[name][row]:
                numbers = [np.nan if one[part] is None else one[part] for part in ("value", "threshold")]
                self._drop(name, np.array([row]), Verdict(np.zeros(0, np.bool_), one["rule"], *numbers))
        return rest

    def view(self, name: str) -> View:
        """What is left of a column. All of it is handed over without a copy."""
        if name not in self.views:
            kept = self.dockets[name].kept
            kind = _FULL.get(name, VIEWS[name])
            self.views[name] = kind(self.shard, None if kept.all() else np.flatnonzero(kept))
        return self.views[name]

    def ask(self, name: str, rule: Rule, options: Mapping[str, Any]) -> list[Verdict]:
        """What a rule says of what is left. Nothing is dropped."""
        columns = reads(rule)
        answer = rule(*(self.view(column) for column in columns), **options)
        verdicts = [answer] if isinstance(answer, Verdict) else list(answer)
        for verdict in verdicts:
            if np.shape(verdict.keep) != (len(self.view(columns[0])),):
                raise EngineError(
                    f"Filter '{name}' answered {np.shape(verdict.keep)} verdicts on {len(self.view(columns[0]))} "
                    f"{columns[0]}: return one for each row."
                )
        return verdicts

    def hear(self, name: str, rule: Rule, options: Mapping[str, Any]) -> None:
        """Drop what a rule rejects, and what hangs on it."""
        column = reads(rule)[0]
        judged = self.view(column)
        dropped = False
        for verdict in self.ask(name, rule, options):
            dropped |= self._reject(column, judged, verdict)
        if dropped:
            self._follow({column})

    def _reject(self, column: str, judged: View, verdict: Verdict) -> bool:
        if verdict.keep.all():
            return False
        return self._close(column, judged.rows, np.flatnonzero(~verdict.keep), verdict)

    def _drop(self, column: str, rows: Ints, verdict: Verdict, at: Ints | None = None) -> bool:
        """Drop rows of the shard, for reasons found at the rows `at` of the verdict."""
        if not len(rows):
            return False
        if verdict.rule not in self.rules:
            self.rules.append(verdict.rule)
        docket = self.dockets[column]
        docket.reason[rows] = self.rules.index(verdict.rule)
        docket.value[rows] = verdict.value if np.ndim(verdict.value) == 0 else np.asarray(verdict.value)[at]
        docket.threshold[rows] = (
            verdict.threshold if np.ndim(verdict.threshold) == 0 else np.asarray(verdict.threshold)[at]
        )
        self.views.pop(column, None)
        return True

    def _follow(self, dropped: set[str]) -> None:
        """Drop what hangs on what was dropped."""
        shard, none = self.shard, np.zeros(0, np.bool_)
        if "images" in dropped and not (kept := self.dockets["images"].kept).all():
            for name in ANNOTATIONS:
                gone = self.dockets[name].kept & ~kept[shard.column(name).image]
                self._drop(name, np.flatnonzero(gone), Verdict(none, IMAGE_DROPPED))
        if "texts" in dropped and len(shard.column("phrases")):
            self._orphaned("phrases", "texts", shard.phrase_text, TEXT_DROPPED)
        if "regions" in dropped and len(shard.column("region_texts")):
            self._orphaned("region_texts", "regions", shard.region_text_region, REGION_DROPPED)
        ended = [(links, ~self.dockets[links.parent].kept[links.parents]) for links in self.parents]
        if lost := {links.child for links, which in ended if self._lost(links, which, PARENT_DROPPED)}:
            self._follow(lost)

    def _lost(self, links: Links, gone: Bools, rule: str) -> bool:
        """Drop what was made from something that is gone."""
        rows = np.unique(links.children[gone])
        return self._close(links.child, rows, np.arange(len(rows)), Verdict(np.zeros(0, np.bool_), rule))

    def _orphaned(self, column: str, parents: str, parent: Ints, rule: str) -> None:
        there = np.append(self.dockets[parents].kept, False)[parent]  # -1, nothing there, points at the False
        gone = self.dockets[column].kept & ~there & ~self.shielded[column]
        self._drop(column, np.flatnonzero(gone), Verdict(np.zeros(0, np.bool_), rule))

    def verdicts(self) -> pa.Table:
        rules = pa.array(self.rules, pa.string())
        image = self._structs(self.shard.ids, self.dockets["images"], rules)
        lists = [
            as_lists(
                VERDICTS.field(name).type,
                self.shard.column(name).offsets,
                self._structs(self.shard.column(name).arrow("id"), self.dockets[name], rules),
            )
            for name in ANNOTATIONS
        ]
        failures = self.shard.column("failures")
        failed = as_lists(VERDICTS.field("failures").type, failures.offsets * 0, failures.values.slice(0, 0))
        return pa.Table.from_arrays([self.shard.ids, image, *lists, failed], schema=VERDICTS)

    def _structs(self, ids: pa.Array, docket: _Docket, rules: pa.Array) -> pa.StructArray:
        value, threshold = (pa.array(x, pa.float64(), from_pandas=True) for x in (docket.value, docket.threshold))
        arrays = [ids, pa.array(docket.kept), rules.take(pa.array(docket.reason)), value, threshold]
        return pa.StructArray.from_arrays(arrays, fields=list(VERDICT))


_DECIDED = ("regions", "texts", "region_texts", "phrases")
_FULL: Mapping[str, type[View]] = {"texts": ParsedTexts, "images": SurveyedImages}


def _shielded(shard: Shard, name: str) -> Bools:
    """What no rule touches: what a human said, and the text or region that a human speaks of."""
    shield: Bools = np.isnan(shard.column(name).numbers("score"))
    for child, parents, parent in _LINKS:
        if name == parents and len(shard.column(child)):
            human = np.isnan(shard.column(child).numbers("score"))
            if human.any():
                rows = parent(shard)[human]
                shield = shield.copy()
                shield[rows[rows >= 0]] = True
    return shield


_LINKS: tuple[tuple[str, str, Callable[[Shard], Ints]], ...] = (
    ("phrases", "texts", lambda shard: shard.phrase_text),
    ("region_texts", "regions", lambda shard: shard.region_text_region),
    ("regions", "regions", lambda shard: shard.roots),
)


# --- what the verdicts leave --------------------------------------------------------------------


def keep(record: pa.Table, verdicts: pa.Table) -> pa.Table:
    """The record without what was dropped: images, annotations, and references to dropped or merged regions.

    A region text and a phrase name the region theirs was merged into. `support` still names what it came from,
    dropped or not. `failures` are empty: an image with failures is not kept.
    """
    ids = one_array(record.column("image_id"))
    if not one_array(verdicts.column("image_id")).equals(ids):
        raise EngineError("These verdicts are on other images: pass the record they were made from.")
    shard = Shard(record, record)
    images: Bools = one_array(verdicts.column("image")).field("kept").to_numpy(zero_copy_only=False)
    kept = {name: _kept(shard, name, verdicts, images) for name in ANNOTATIONS}
    columns = [ids.filter(pa.array(images))]
    for field in list(RECORD)[1:]:
        column = shard.column(field.name)
        mask = kept.get(field.name, np.zeros(len(column), np.bool_))
        values = _redirected(shard, field.name, kept["regions"]).filter(pa.array(mask))
        sizes = np.bincount(column.image[mask], minlength=len(shard))[images]
        columns.append(as_lists(field.type, np.append(0, np.cumsum(sizes)), values))
    return pa.Table.from_arrays(columns, schema=RECORD)


def _kept(shard: Shard, name: str, verdicts: pa.Table, images: Bools) -> Bools:
    lists = one_array(verdicts.column(name))
    column = shard.column(name)
    mask: Bools = lists.flatten().field("kept").to_numpy(zero_copy_only=False)
    if len(mask) != len(column):
        raise EngineError(
            f"There are {len(mask)} verdicts on {len(column)} {name}: pass the record they were made from."
        )
    return mask & images[column.image]


def _redirected(shard: Shard, name: str, kept: Bools) -> pa.StructArray:
    """The values of a column, its references to regions led to what they were merged into."""
    column = shard.column(name)
    if name not in ("phrases", "region_texts") or not len(column):
        return column.values
    region_ids = shard.column("regions").arrow("id")
    if name == "region_texts":
        region = shard.region_text_region
        ids = pa.array(region, mask=region < 0)
        return with_field(column.values, "region_id", region_ids.take(ids).fill_null(""))
    region, phrase = shard.phrase_regions, shard.phrase_of_link
    good = np.flatnonzero(np.append(kept, False)[region])
    _, first = np.unique(phrase[good] * max(len(kept), 1) + region[good], return_index=True)
    good = good[np.sort(first)]  # two regions merged into one are named once
    offsets = np.append(0, np.cumsum(np.bincount(phrase[good], minlength=len(column))))
    lists = as_lists(column.arrow("region_ids").type, offsets, region_ids.take(pa.array(region[good])))
    return with_field(column.values, "region_ids", lists)


def counts(verdicts: pa.Table) -> dict[str, dict[str, int]]:
    """How many of each column were kept, and how many each rule dropped: {column: {'kept' or rule: number}}."""
    found: dict[str, dict[str, int]] = {}
    for name in ("images", *ANNOTATIONS):
        column = verdicts.column("image" if name == "images" else name)
        array = one_array(column)
        rules = (array if name == "images" else array.flatten()).field("rule")
        found[name] = {pair["values"] or "kept": pair["counts"] for pair in rules.value_counts().to_pylist()}
    return found
