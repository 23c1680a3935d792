"""The catalog: every name leads to a rule with options that a recipe can set."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engine.config.catalog import check_options, defaults_of, resolve
from engine.records.shard import Shard
from filters import CATALOG
from filters.judging.apply_rules import ShardJudgement
from filters.verdict import reads
from tests.builders import images, parse, record


@pytest.mark.parametrize("name", CATALOG)
def test_every_rule_can_be_imported_has_a_docstring_and_accepts_its_defaults(name: str) -> None:
    _, rule = resolve("filter", name, CATALOG)
    assert rule.__name__ == name
    assert rule.__doc__
    assert reads(rule)
    assert check_options(name, rule, defaults_of(rule)) == defaults_of(rule)


def test_the_options_in_a_recipe_are_passed_to_the_rule() -> None:
    _, rule = resolve("filter", "text_length", CATALOG)
    assert check_options("text_length", rule, {"min_tokens": {"brief": 3}}) == {"min_tokens": {"brief": 3.0}}


@pytest.mark.parametrize("name", CATALOG)
def test_every_reason_a_rule_can_give_is_asserted_by_its_test(name: str) -> None:
    _, rule = resolve("filter", name, CATALOG)
    answer = ShardJudgement(Shard(record(), images(record()), parse())).evaluate(name, rule, {})
    source = Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8")
    constants = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    assert {verdict.rule for verdict in answer} - constants == set()
