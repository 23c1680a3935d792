"""Runs the merge of a round on one image with proposals written by hand, and judges the result by no rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa

from engine.records.assemble import assemble
from engine.running.shard_inputs import ShardInputs
from engine.schema import Chunk, Complexity, Parse, record_table, text_key
from engine.storage.commits import Commits
from filters.judging.apply_rules import judge
from filters.judging.keep import keep
from pipelines.refine.apply_merge import Merge
from pipelines.refine.evidence import Evidence, TextEvidence, evidence_table, text_evidence_table
from tests.builders import Row, images, record, region, row

IMAGE = "0" * 32
STUDENT = "student/"  # ids of what the student proposed start so
BOX, MOVED = (10, 10, 60, 60), (20, 20, 70, 70)
TEXT_OPTIONS = {"tasks": ["<CAPTION>", "<REGION_TO_DESCRIPTION>"], "phrases": True, "synonyms": True}

Proposed = Mapping[str, Sequence[Row]]  # by column


class Merged:
    """The record after the merge, its verdicts, and what is kept."""

    def __init__(self, tables: Mapping[str, pa.Table], before: pa.Table, counts: Mapping[str, Any]) -> None:
        texts = record_table([{**one, "regions": [], "region_texts": []} for one in before.to_pylist()])
        self.record = assemble([texts, tables["data"]])
        self.verdicts = judge(self.record, images(self.record), None, [], tables["decided"].to_pylist())
        self.kept: Row = keep(self.record, self.verdicts).to_pylist()[0]
        self.changes: list[Row] = tables["changes"].to_pylist()
        self.counts = counts

    def rules(self) -> list[tuple[str, str, str]]:
        """(rule, old id, new id) of each change."""
        return [(one["rule"], one["old"], one["new"]) for one in self.changes]

    def verdict(self, name: str) -> str:
        """The rule that dropped an annotation; '' if it is kept."""
        found = self.verdicts.to_pylist()[0]
        lists = (found[column] for column in ("regions", "texts", "region_texts", "phrases"))
        return next(str(one["rule"]) for verdicts in lists for one in verdicts if one["id"] == name)

    def ids(self, column: str) -> list[str]:
        return [item["id"] for item in self.kept[column]]


def merge(
    given: Row,
    proposed: Proposed,
    *,
    likelihoods: Mapping[str, float] | None = None,
    parses: Sequence[Parse] = (),
    written: Mapping[str, Any] | None = TEXT_OPTIONS,
    **options: Any,
) -> Merged:
    """likelihoods: the student's probability of each text, given or proposed; default 0.5. options: of MergeOptions.

    The student's probabilities of regions are 0.5 for given ones and 0.9 for its own.
    """
    before = record(given | {"image_id": IMAGE})
    inputs = _inputs(given, before, proposed, likelihoods or {}, parses)
    tables: dict[str, pa.Table] = {}
    commits = SimpleNamespace(put_table=lambda shard, table, revision, part="data": tables.update({part: table}))
    component = Merge(
        name="merge",
        round_number=1,
        record=[["model", ["texts", "regions", "region_texts", "phrases"]]],
        judge="judge",
        propose="propose",
        folds=2,
        options={"text_margin": 0.1, **options},
        held=[],
        written=written,
    )
    component.load()
    output = component.run(0, inputs, cast(Commits, commits))
    return Merged(tables, before, output.counts or {})


def _inputs(
    given: Row, before: pa.Table, proposed: Proposed, likelihoods: Mapping[str, float], parses: Sequence[Parse]
) -> ShardInputs:
    evidence = [Evidence(IMAGE, one["id"], False, 0.5, 0.5) for one in given.get("regions", ())]
    evidence += [Evidence(IMAGE, one["id"], True, 0.9, 0.9) for one in proposed.get("regions", ())]
    text_evidence = [
        TextEvidence(IMAGE, one["id"], source is proposed, math.log(likelihoods.get(one["id"], 0.5)))
        for source in (given, proposed)
        for column in ("texts", "region_texts")
        for one in source.get(column, ())
    ]
    tables = {
        "model": before,
        "judge": judge(before, images(before), None, []),
        "propose": record(row(IMAGE, **{name: list(items) for name, items in proposed.items()})),
    }
    parts = {"evidence": evidence_table(evidence), "text_evidence": text_evidence_table(text_evidence)}
    inputs = SimpleNamespace(
        images=images(before),
        table=tables.__getitem__,
        part=lambda name, part: parts[part],
        parses={parse.text_key: parse for parse in parses},
        unit=SimpleNamespace(revision=0),
    )
    return cast(ShardInputs, inputs)


def parse(words: str, *nouns: str) -> Parse:
    """The parse of a text whose noun phrases are `nouns`, each the first occurrence in `words`."""
    chunks = [Chunk(words.index(noun), words.index(noun) + len(noun), noun, False, noun) for noun in nouns]
    none: list[str] = []
    counts = (8, 9, 1, none, none, none, none, none, none, Complexity(), Complexity(), chunks)
    return Parse(*counts, text_key=text_key(words))


def proposal(box: Sequence[float] = BOX, **fields: Any) -> Row:
    return region(box, id=f"{STUDENT}0", producer="student", **fields)
