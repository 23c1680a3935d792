"""Judges every annotation and every image, and deletes nothing.

Verdicts are written to files of their own, in the order of the record, so judging again with other thresholds is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.component import RESOURCES, Output
from engine.config.catalog import check_options, defaults_of, options_of, resolve
from engine.config.values import as_written
from engine.errors import ConfigError
from engine.records.assemble import assemble
from engine.records.shard import one_array
from engine.records.stored_shard import ImageColumn, StoredShard
from engine.running.engine_node import engine_node
from engine.running.graph import KEPT_REGIONS, Node, record_nodes, replaced_columns
from engine.running.shard_inputs import ShardInputs
from engine.schema import ANNOTATIONS, RECORD
from engine.scores.calibration import Calibration
from engine.storage.commits import Commits
from filters import CATALOG
from filters.judging.apply_rules import judge_shard
from filters.judging.parents import DERIVED
from filters.judging.quantiles import filled, placeholders, quantile_paths
from filters.judging.try_options import try_options
from filters.verdict import Rule, reads
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.filter.whole_set import WholeSet

JUDGE_VERSION = 2  # version 1 kept annotations that were made from dropped ones


# (name in the recipe, function, checked options). A limit that is a quantile is still a mapping, not yet a number.
NamedRule = tuple[str, Rule, Mapping[str, Any]]
_TRIED: set[tuple[Rule, str]] = set()  # rules with options that were found to be right in this process


def rules_of(recipe: Recipe) -> list[NamedRule]:
    """The rules in the recipe's order. Raises ConfigError for unknown names and options."""
    return rules_given(recipe.filter)


def rules_given(items: Sequence[Any]) -> list[NamedRule]:
    """The rules in these items of a section `filter`. Raises the errors of `rules_of`."""
    answer: list[NamedRule] = []
    for item in items:
        if isinstance(item, dict) and len(item) != 1:
            raise ConfigError(
                f"A filter is 'name' or '{{name: {{options}}}}', not {as_written(item)}: indent the options of a rule."
            )
        name, given = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        _, rule = resolve("filter", name, CATALOG)
        reads(rule)  # raises an error if it is not a rule
        if given is not None and not isinstance(given, Mapping):
            example = "".join(f", such as {{{option}: ..}}" for option in list(options_of(rule))[:1])
            raise ConfigError(f"Filter '{name}' is given {as_written(given)}: expected options by name{example}.")
        answer.append((name, rule, _checked(name, rule, given or {})))
    return answer


def _checked(name: str, rule: Rule, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options, checked and converted to their types.

    A quantile has no value yet, so a number is checked in its place.
    """
    shares = quantile_paths(given)
    checked = check_options(f"filter {name}", rule, filled(given, dict.fromkeys(shares, 1)))  # 1 is in every range
    for option in ("by_producer", "by_label"):  # these may set other bounds for one producer or label
        for word, bounds in checked.get(option, {}).items():
            if isinstance(bounds, Mapping) and set(bounds) <= set(options_of(rule)):
                check_options(f"filter {name}, {option} '{word}',", rule, bounds)
    if (rule, repr(checked)) not in _TRIED:  # a run asks for its rules four times
        try_options(name, rule, filled(checked, placeholders(list(shares))))
        _TRIED.add((rule, repr(checked)))
    return filled(checked, {place: {"quantile": share} for place, share in shares.items()})


def named_rules(given: Sequence[tuple[str, Mapping[str, Any]]]) -> list[NamedRule]:
    """The rules with these names and options, which were checked before they were passed to the worker."""
    return [(name, resolve("filter", name, CATALOG)[1], options) for name, options in given]


def judge_node(recipe: Recipe, nodes: Sequence[Node], surveyed: str = "", decided: str = "") -> Node:
    """The node that applies the recipe's rules to the whole record.

    `surveyed`: the folder of the table about the whole data set, '' if no rule needs it. `decided`: the merge node of a
    refinement round. Its decisions on regions are not changed.
    """
    rules = rules_of(recipe)
    options = shard_options(nodes) | {"rules": [[name, given] for name, _, given in rules], "surveyed": surveyed}
    options |= {"decided": decided} if decided else {}
    options |= first_pass(nodes)
    changed, versions = changed_rules(rules)
    versions += [surveyed] if surveyed else []
    # Version 1 if no annotation is made from another: the verdicts are then the same, and old data sets stay up to
    # date.
    version = JUDGE_VERSION if any(_names_regions(node) for node in nodes) else 1
    return engine_node(
        "judge",
        "pipelines.filter.judge:Judge",
        version,
        key_parts=["judge", version, changed, versions, {node.name: node.key for node in nodes}],
        options=options,
        inputs={node.name: node.gives for node in nodes},
    )


def changed_rules(rules: Sequence[NamedRule]) -> tuple[list[Any], list[Any]]:
    """The rules as they are hashed into keys: their options that differ from the defaults, and their versions."""
    changed = [
        [name, options_in_key({key: value for key, value in given.items() if value != defaults_of(rule).get(key)})]
        for name, rule, given in rules
    ]
    return changed, [getattr(rule, "version", 1) for _, rule, _ in rules]


def first_pass(nodes: Sequence[Node]) -> dict[str, str]:
    """The option `first`: the name of the last node that judged images and regions. Empty if there is none."""
    judges = [node.name for node in nodes if KEPT_REGIONS in node.gives]
    return {"first": judges[-1]} if judges else {}


def _names_regions(node: Node) -> bool:
    return any(column in DERIVED for kind in node.gives for column in RESOURCES[kind])


def options_in_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as they are hashed into keys. The path of a calibration is replaced by the digest of its content."""
    given = options.get("calibration")
    return {**options, "calibration": Calibration.read(given).digest} if given else dict(options)


def shard_options(nodes: Sequence[Node]) -> dict[str, Any]:
    """Options for nodes that read a record: the columns that each node adds to it, and the nodes that parse texts."""
    nodes = list(nodes)
    return {
        "record": [[node.name, record_columns(node, nodes)] for node in record_nodes(nodes) if node.over != "texts"],
        "parses": [node.name for node in nodes if node.over == "texts"],
    }


def record_columns(node: Node, nodes: Sequence[Node]) -> list[str]:
    """The annotation columns that a node contributes to the record, in schema order.

    Columns that a later node replaces are left out.
    """
    given = {column for kind in node.gives for column in RESOURCES[kind]} - replaced_columns(node, nodes)
    return [column for column in ANNOTATIONS if column in given]


class Judge:
    """Assembles the record of a shard, applies the rules and writes the verdicts."""

    def __init__(
        self,
        *,
        rules: list[Any],
        record: list[Any],
        parses: list[str],
        surveyed: str,
        decided: str = "",
        first: str = "",
    ) -> None:
        self.first = first
        self.given_rules, self.record, self.parses, self.folder, self.decided = rules, record, parses, surveyed, decided
        self.surveyed: WholeSet | None = None

    def load(self) -> None:
        self.rules = named_rules(self.given_rules)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        from pipelines.filter.whole_set import read_surveyed

        if self.surveyed is None:
            self.surveyed = read_surveyed(inputs.storage, self.folder)
        rows = stored_shard(inputs, self.record, self.parses, self.surveyed.image_columns(shard))
        decided = inputs.part(self.decided, "decided").to_pylist() if self.decided else ()
        first = inputs.part(self.first, "verdicts") if self.first else None
        judgement = judge_shard(rows, self.surveyed.rules(self.rules), decided, first)
        verdicts = judgement.verdicts()
        file = commits.put_table(shard, verdicts, inputs.unit.revision)
        found = judgement.counts() | {"released": {"images": number_released(verdicts, rows.image.arrow("split"))}}
        return Output({"data": file}, len(rows), 0, found | {"surveyed": self.folder})


def number_released(verdicts: pa.Table, split: pa.Array) -> int:
    """How many of the kept images go into a release: those of the split `train`. `split`: of each image."""
    kept = one_array(verdicts["image"]).field("kept")
    return int(pc.sum(pc.and_(kept, pc.equal(split, "train"))).as_py() or 0)


def stored_shard(
    inputs: ShardInputs,
    record: Sequence[tuple[str, Sequence[str]]],
    parses: Sequence[str],
    added: Mapping[str, ImageColumn] | None = None,
) -> StoredShard:
    """The record of a shard, of which fields are read when they are used.

    `added`: further columns of the images, as functions of their ids.
    """
    answers = [(inputs.file(name), columns) for name, columns in record]
    return StoredShard(inputs.image_file, answers, [inputs.file(name) for name in parses], added)


def shard_record(
    inputs: ShardInputs, record: Sequence[tuple[str, Sequence[str]]], parses: Sequence[str]
) -> tuple[pa.Table, pa.Table | None]:
    """The record of a shard, assembled from the answers of nodes, and the parse of its texts."""
    answers = [(inputs.table(name), columns) for name, columns in record]
    return assembled_record(inputs.images, answers, [inputs.table(name) for name in parses])


def assembled_record(
    images: pa.Table, answers: Sequence[tuple[pa.Table, Sequence[str]]], parses: Sequence[pa.Table]
) -> tuple[pa.Table, pa.Table | None]:
    """The same, from tables. `answers`: the answers of each node, and the columns that it adds to the record."""
    tables = [_only(table, columns) for table, columns in answers]
    assembled = assemble(tables or [_blank(images["image_id"])])
    if not parses:
        return assembled, None
    parse = _distinct(pa.concat_tables(parses))
    return _with_broken_parses(assembled, parse), parse


def _distinct(parse: pa.Table) -> pa.Table:
    """The parse with one row for each text. Two nodes may have written the same text."""
    _, first = np.unique(parse["text_key"].to_numpy(zero_copy_only=False), return_index=True)
    return parse.take(np.sort(first)) if len(first) < parse.num_rows else parse


def _with_broken_parses(record: pa.Table, parse: pa.Table) -> pa.Table:
    """The record with a failure added to each image that has a text which could not be parsed."""
    broken = {row["text_key"]: row["failures"] for row in parse.to_pylist() if row["failures"]} if _any(parse) else {}
    if not broken:
        return record
    failures = record["failures"].to_pylist()
    for found, texts in zip(failures, record["texts"].to_pylist(), strict=True):
        if not found:
            found += [failure for text in texts for failure in broken.get(text["text_key"], ())][:1]
    position = RECORD.get_field_index("failures")
    return record.set_column(position, RECORD.field(position), pa.array(failures, RECORD.field(position).type))


def _any(parse: pa.Table) -> bool:
    return any(len(chunk.flatten()) for chunk in parse["failures"].chunks)


def _only(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The table with only these annotation columns filled. The others are empty."""
    blank = _blank(table["image_id"])
    for position, name in enumerate(RECORD.names):
        if name not in columns and name in ANNOTATIONS:
            table = table.set_column(position, RECORD.field(name), blank[name])
    return table


def _blank(image_ids: Any) -> pa.Table:
    offsets = pa.array([0] * (len(image_ids) + 1), pa.int32())
    arrays = [
        pa.ListArray.from_arrays(
            offsets, pa.array([], RECORD.field(name).type.value_type), type=RECORD.field(name).type
        )
        for name in (*ANNOTATIONS, "failures")
    ]
    return pa.table([image_ids, *arrays], schema=RECORD)
