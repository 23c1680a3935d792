"""The first pass of the filters: judges images and regions before captions are written about them.

This node runs before the nodes that need `kept_regions`. It applies, in the recipe's order, the rules that read only
images, regions, printed texts, tags and scores. Rules that need the whole data set come later, in the judge. If such a
later rule drops a region, texts that name the region are dropped too (filters/judging/apply_rules.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.component import RESOURCES, Output
from engine.layout import JUDGE_REGIONS
from engine.running.engine_node import engine_node
from engine.running.graph import KEPT_REGIONS, Node
from engine.running.shard_inputs import ShardInputs
from engine.schema import record_table
from engine.storage.commits import Commits
from filters.judging.apply_rules import judge_shard
from filters.judging.quantiles import quantile_paths
from filters.verdict import needs_whole_set, reads
from pipelines.filter.judge import NamedRule, changed_rules, named_rules, rules_of, shard_options, stored_shard
from pipelines.recipe import Recipe

FIRST_VERSION = 1
VERDICTS_PART = "verdicts"
_READ = frozenset(("images", "regions", "region_texts", "tags", "image_scores"))
_SEEN = frozenset(("boxes", "regions", "ocr", "phrase_regions"))  # masks belong to regions and are judged with them


def first_rules(rules: Sequence[NamedRule]) -> list[NamedRule]:
    """The rules that need neither texts about regions nor other shards."""
    return [
        (name, rule, given)
        for name, rule, given in rules
        if set(reads(rule)) <= _READ and not needs_whole_set(rule) and not quantile_paths(given)
    ]


def region_judge(recipe: Recipe, nodes: Sequence[Node], *, name: str = JUDGE_REGIONS, decided: str = "") -> Node:
    """The node of the first pass.

    `nodes`: the nodes before it. It reads only the annotations that it judges or that its rules need. `decided`: the
    merge node of a refinement round. Its decisions on regions are not changed.
    """
    rules = first_rules(rules_of(recipe))
    columns = {column for _, rule, _ in rules for column in reads(rule)} - {"regions", "region_texts"}
    read = [node for node in nodes if _SEEN & set(node.gives) or columns & _columns(node)]
    options = {"rules": [[rule, given] for rule, _, given in rules]} | ({"decided": decided} if decided else {})
    return engine_node(
        name,
        "pipelines.filter.judge_regions:JudgeRegions",
        FIRST_VERSION,
        key_parts=[JUDGE_REGIONS, FIRST_VERSION, changed_rules(rules), {node.name: node.key for node in read}],
        options={"record": shard_options(read)["record"], **options},
        inputs={node.name: node.gives for node in read},
        component=JUDGE_REGIONS,
        gives=(KEPT_REGIONS,),
    )


def _columns(node: Node) -> set[str]:
    return {column for kind in node.gives for column in RESOURCES[kind]}


class JudgeRegions:
    """Writes the verdicts on a shard's images and regions. Adds nothing to the record."""

    def __init__(self, *, rules: list[Any], record: list[Any], decided: str = "") -> None:
        self.given_rules, self.record, self.decided = rules, record, decided

    def load(self) -> None:
        self.rules = named_rules(self.given_rules)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        rows = stored_shard(inputs, self.record, ())
        decided = inputs.part(self.decided, "decided").to_pylist() if self.decided else ()
        judgement = judge_shard(rows, self.rules, decided)
        nothing = record_table([{"image_id": image_id} for image_id in rows.ids.to_pylist()])
        revision = inputs.unit.revision
        files = {
            "data": commits.put_table(shard, nothing, revision),
            VERDICTS_PART: commits.put_table(shard, judgement.verdicts(), revision, VERDICTS_PART),
        }
        return Output(files, len(rows), 0, judgement.counts())
