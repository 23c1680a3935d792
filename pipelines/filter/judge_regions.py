"""The first pass of the filters: images and regions are judged before anything is written of them.

A committed node that reads what sees, and stands before whoever needs kept_regions: the rules of the recipe, in its
order, that read images, regions, printed texts, tags and scores alone. Rules over the whole data set are not among
them: what these drop takes with it what names it (filters/judging/apply_rules.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.component import RESOURCES, Output
from engine.keys import stable_hash
from engine.layout import JUDGE_REGIONS
from engine.running.graph import KEPT_REGIONS, Node, Resources
from engine.running.shard_inputs import ShardInputs
from engine.schema import record_table
from engine.storage.commits import Commits
from filters.judging.apply_rules import judge
from filters.judging.keep import counts
from filters.judging.quantiles import quantile_paths
from filters.verdict import needs_whole_set, reads
from pipelines.filter.judge import NamedRule, changed_rules, named_rules, rules_of, shard_options, shard_record
from pipelines.recipe import Recipe

FIRST_VERSION = 1
VERDICTS_PART = "verdicts"
_READ = frozenset(("images", "regions", "region_texts", "tags", "image_scores"))
_SEEN = frozenset(("boxes", "regions", "ocr", "phrase_regions"))  # masks are of regions, and are judged with them


def first_rules(rules: Sequence[NamedRule]) -> list[NamedRule]:
    """Those that need nothing that is written, and no other shard."""
    return [
        (name, rule, given)
        for name, rule, given in rules
        if set(reads(rule)) <= _READ and not needs_whole_set(rule) and not quantile_paths(given)
    ]


def region_judge(recipe: Recipe, nodes: Sequence[Node], *, name: str = JUDGE_REGIONS, decided: str = "") -> Node:
    """`nodes`: those before it. It reads what it judges and what its rules read, so that no other answer matters.

    `decided`: the node of a refinement round that has decided of regions already.
    """
    rules = first_rules(rules_of(recipe))
    columns = {column for _, rule, _ in rules for column in reads(rule)} - {"regions", "region_texts"}
    read = [node for node in nodes if _SEEN & set(node.gives) or columns & _columns(node)]
    told = {"rules": [[rule, given] for rule, _, given in rules]} | ({"decided": decided} if decided else {})
    return Node(
        name=name,
        target="pipelines.filter.judge_regions:JudgeRegions",
        options={"record": shard_options(read)["record"], **told},
        needs=(),
        gives=(KEPT_REGIONS,),
        key=stable_hash([JUDGE_REGIONS, FIRST_VERSION, changed_rules(rules), {node.name: node.key for node in read}]),
        inputs={node.name: node.gives for node in read},
        over="shard",
        resources=Resources(cpus=1.0),
        component=JUDGE_REGIONS,
        version=FIRST_VERSION,
    )


def _columns(node: Node) -> set[str]:
    return {column for kind in node.gives for column in RESOURCES[kind]}


class JudgeRegions:
    """Over one shard: verdicts as a part of their own; it gives the record nothing."""

    def __init__(self, *, rules: list[Any], record: list[Any], decided: str = "") -> None:
        self.told, self.record, self.decided = rules, record, decided

    def load(self) -> None:
        self.rules = named_rules(self.told)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        record, _ = shard_record(inputs, self.record, ())
        decided = inputs.part(self.decided, "decided").to_pylist() if self.decided else ()
        verdicts = judge(record, inputs.images, None, self.rules, decided)
        nothing = record_table([{"image_id": image_id} for image_id in record["image_id"].to_pylist()])
        revision = inputs.unit.revision
        files = {
            "data": commits.put_table(shard, nothing, revision),
            VERDICTS_PART: commits.put_table(shard, verdicts, revision, VERDICTS_PART),
        }
        return Output(files, verdicts.num_rows, 0, counts(verdicts))
