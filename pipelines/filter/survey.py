"""The node `survey`: collects from each shard what rules over the whole data set need.

It collects hashes, compared values, and the images whose embeddings are compared. whole_set.py combines the shards. A
rule is evaluated on the images that earlier rules keep. Rules that need the whole data set drop nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from engine.component import Output
from engine.records.embeddings import EMBEDDINGS
from engine.records.shard import Shard
from engine.running.engine_node import engine_node
from engine.running.graph import Node
from engine.running.shard_inputs import ShardInputs
from engine.schema import required
from engine.storage.commits import Commits, File
from filters.judging.apply_rules import ShardJudgement
from filters.judging.quantiles import Path, compared_values, filled, placeholders, quantile_paths
from filters.verdict import Verdict, needs_embeddings, needs_hashes, needs_whole_set, options_of_pass
from pipelines.filter.judge import (
    NamedRule,
    first_pass,
    named_rules,
    options_in_key,
    rules_of,
    shard_options,
    stored_shard,
)
from pipelines.filter.near_duplicates import HASHES, hashes_of
from pipelines.filter.semantic_set import CANDIDATES, candidates_of
from pipelines.recipe import Recipe

SURVEY_VERSION = 1

# How often a limit was compared with a value. `rule`: the position of the rule in the recipe. `place`: the path of the
# option that is the limit.
VALUES = pa.schema(
    [
        required("rule", pa.int32()),
        required("place", pa.string()),
        required("value", pa.float64()),
        required("number", pa.int64()),
    ]
)
VALUES_PART, CANDIDATES_PART = "values", "candidates"


def survey_node(recipe: Recipe, nodes: Sequence[Node]) -> Node | None:
    """The node that collects from each shard. None if no rule of the recipe needs the whole data set."""
    rules = rules_of(recipe)
    needing = [
        number for number, (_, rule, given) in enumerate(rules) if needs_whole_set(rule) or quantile_paths(given)
    ]
    if not needing:
        return None
    applied = rules[: needing[-1] + 1]
    options = [[name, given] for name, _, given in applied]
    hashed = [[name, options_in_key(options_of_pass(rule, given))] for name, rule, given in applied]
    versions = [getattr(rule, "version", 1) for _, rule, _ in applied]
    return engine_node(
        "survey",
        "pipelines.filter.survey:Survey",
        SURVEY_VERSION,
        key_parts=["survey", SURVEY_VERSION, hashed, versions, {node.name: node.key for node in nodes}],
        options=shard_options(nodes) | {"rules": options} | first_pass(nodes) | _embedder(applied, nodes),
        inputs={node.name: node.gives for node in nodes},
    )


def _embedder(rules: Sequence[NamedRule], nodes: Sequence[Node]) -> dict[str, str]:
    """The option `embedder`: the node whose embeddings are compared. Empty if no rule compares embeddings."""
    comparing = [given for _, rule, given in rules if needs_embeddings(rule)]
    if not comparing:
        return {}
    named = comparing[0].get("producer") or next(node.name for node in nodes if EMBEDDINGS in node.gives)
    return {"embedder": str(named)}


class Survey:
    """Collects image hashes, compared values, and the images whose embeddings are compared, from one shard.

    Values are collected for each limit that the recipe gives as a quantile: the values that the rule compares with this
    limit, and how often each occurs.
    """

    def __init__(
        self, *, rules: list[Any], record: list[Any], parses: list[str], first: str = "", embedder: str = ""
    ) -> None:
        self.given_rules, self.record, self.parses, self.first = rules, record, parses, first
        self.embedder = embedder

    def load(self) -> None:
        self.rules = named_rules(self.given_rules)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        rows = stored_shard(inputs, self.record, self.parses)
        first = inputs.part(self.first, "verdicts") if self.first else None
        found = survey_shard(rows, self.rules, first)
        revision = inputs.unit.revision
        files = {
            "data": commits.put_table(shard, found.hashes, revision),
            VALUES_PART: commits.put_table(shard, found.values, revision),
        }
        counts = {}
        if self.embedder:
            files[CANDIDATES_PART] = commits.put_table(shard, found.candidates, revision, CANDIDATES_PART)
            counts["embeddings"] = asdict(embeddings_file(inputs, self.embedder))
        return Output(files, len(rows), counts=counts)


def embeddings_file(inputs: ShardInputs, embedder: str) -> File:
    """The file of answers of the node `embedder`, which holds the embeddings of the shard."""
    return inputs.record(embedder).files["data"]


class ShardSurvey(NamedTuple):
    """Tables of the schemas HASHES, VALUES and CANDIDATES."""

    hashes: pa.Table
    values: pa.Table
    candidates: pa.Table


def survey_shard(shard: Shard, rules: Sequence[NamedRule], first: pa.Table | None = None) -> ShardSurvey:
    """What one shard contributes. `first`: the verdicts of the first pass, on images and regions."""
    judgement = ShardJudgement(shard)
    if first is not None:
        judgement.apply_verdicts(first)
    hashes, values, candidates = HASHES.empty_table(), [VALUES.empty_table()], CANDIDATES.empty_table()
    for number, (name, rule, given) in enumerate(rules):
        found = list(quantile_paths(given))
        if needs_hashes(rule):
            hashes = hashes_of(judgement)
        elif needs_embeddings(rule):
            candidates = candidates_of(judgement)
        elif found:
            numbers = placeholders(found)
            answer = judgement.evaluate(name, rule, filled(given, numbers))
            values += [_values(number, place, answer, numbers[place]) for place in found]
        else:
            judgement.apply(name, rule, given)
    return ShardSurvey(hashes, pa.concat_tables(values), candidates)


def _values(rule: int, place: Path, answer: Sequence[Verdict], stand_in: float) -> pa.Table:
    values, numbers = np.unique(compared_values(answer, stand_in), return_counts=True)
    arrays = [
        pa.array(np.full(len(values), rule, np.int32)),
        pa.array(["/".join(place)] * len(values), pa.string()),
        pa.array(values),
        pa.array(numbers),
    ]
    return pa.Table.from_arrays(arrays, schema=VALUES)
