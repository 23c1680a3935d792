"""The graph of nodes: its order, its keys, and the messages for wrong recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.config.catalog import resolve
from engine.errors import ConfigError
from engine.running.graph import Node, build, dependants, record_nodes, replaced_columns, split_at_judge
from specialists import CATALOG

BOXES = {"use": "fake_detector"}


def nodes(**annotate: dict[str, Any]) -> Any:
    return build(annotate, CATALOG)


def test_nodes_are_ordered_by_what_they_need_not_by_the_order_in_the_recipe() -> None:
    built = nodes(
        phrases={"use": "label_grounder"},
        parse={"use": "spacy_parse"},
        captions={"use": "composer"},
        objects={"use": "consensus"},
        a=BOXES,
    )
    assert [node.name for node in built] == ["a", "objects", "captions", "parse-captions", "phrases"]
    assert set(built[-1].inputs) == {"objects", "captions", "parse-captions"}


def test_each_writer_of_texts_gets_its_own_parse_node() -> None:
    built = nodes(
        a=BOXES, one={"use": "fake_captioner"}, two={"use": "fake_captioner", "seed": 1}, parse={"use": "spacy_parse"}
    )
    assert {node.name: list(node.inputs) for node in built if node.over == "texts"} == {
        "parse-one": ["one"],
        "parse-two": ["two"],
    }


def test_nodes_that_need_kept_regions_come_after_judge_regions() -> None:
    seen: list[str] = []

    def judge(nodes: Sequence[Node]) -> Node:
        seen.extend(node.name for node in nodes)
        return Node("judge-regions", "", {}, (), ("kept_regions",), "key of the judge", {"objects": ("regions",)})

    annotate = {
        "captions": {"use": "composer"},
        "parse": {"use": "spacy_parse"},
        "objects": {"use": "consensus"},
        "noisy": {"use": "noisy_annotator"},
        "masks": {"use": "grabcut"},
    }
    nodes = build(annotate, CATALOG, judge_regions=judge)

    assert set(seen) == {"noisy", "objects", "masks"}
    first, later = split_at_judge(nodes)
    assert {node.name for node in first} == set(seen)
    assert [node.name for node in later] == ["judge-regions", "captions", "parse-captions"]
    assert later[1].inputs == {"objects": ("regions",), "judge-regions": ("kept_regions",)}


def test_a_missing_resource_names_the_node_and_what_to_add() -> None:
    with pytest.raises(
        ConfigError, match=r"annotate.captions \(composer\) needs regions, which no node gives: add .*consensus"
    ):
        nodes(captions={"use": "composer"})


def test_nodes_that_need_each_other_are_named() -> None:
    with pytest.raises(ConfigError, match="one and two need each other"):
        nodes(
            one={"use": "tests.engine.running.test_graph:NeedsTags"},
            two={"use": "tests.engine.running.test_graph:NeedsTexts"},
        )


class NeedsTags:
    needs, gives, version, deterministic = ("tags",), ("texts",), 1, True


class NeedsTexts:
    needs, gives, version, deterministic = ("texts",), ("tags",), 1, True


def test_consensus_replaces_the_boxes_that_it_read() -> None:
    built = nodes(a=BOXES, human={"use": "human"}, objects={"use": "consensus"})
    assert [node.name for node in record_nodes(built)] == ["human", "objects"]
    by_name = {node.name: node for node in built}
    assert replaced_columns(by_name["human"], built) == {"regions"}
    assert replaced_columns(by_name["objects"], built) == set()


def test_a_changed_option_changes_the_keys_of_all_dependent_nodes_and_no_others() -> None:
    def keys(seed: int) -> dict[str, str]:
        built = nodes(
            a=BOXES | {"seed": seed},
            b=BOXES,
            objects={"use": "consensus"},
            captions={"use": "composer"},
            ocr={"use": "rapidocr"},
        )
        return {node.name: node.key for node in built}

    before, after = keys(0), keys(1)
    changed = {name for name in before if before[name] != after[name]}
    built = nodes(a=BOXES, b=BOXES, objects={"use": "consensus"}, captions={"use": "composer"}, ocr={"use": "rapidocr"})
    assert changed == {"a", *dependants(built, "a")} == {"a", "objects", "captions"}


@pytest.mark.parametrize(
    ("annotate", "sentence"),
    [
        ({"a": {"use": "fake_detecter"}}, "did you mean 'fake_detector'"),
        ({"a": {"use": "fake_detector", "objecs": 3}}, "did you mean 'objects'"),
        ({"a": {"use": "fake_detector", "objects": "many"}}, "Option 'objects' of annotate.a"),
        ({"a": {}}, "lacks 'use'"),
        ({"judge": BOXES}, "cannot name a node"),
        ({"a": {"use": "engine.schema:Text"}}, "is not a specialist"),
        ({"a": {"use": "onnx_detector"}}, "needs the option"),
    ],
)
def test_a_wrong_node_is_refused_with_one_sentence(annotate: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        nodes(**annotate)


class Hub:
    """Its option `revision` is a branch; the driver finds the commit."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True
    code_licence = "mit"

    def __init__(self, *, revision: str = "main", compile: bool = False) -> None:  # noqa: A002
        self.weights_licence = "cc-by-nc-4.0"
        self.resolved = {"revision": f"commit of {revision}"}


class Misresolved:
    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True
    resolved = {"revison": "a"}  # noqa: RUF012

    def __init__(self, *, revision: str = "") -> None: ...


class Unresolvable:
    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    @property
    def resolved(self) -> dict[str, str]:
        raise RuntimeError("no such branch")


HUB = {"use": f"{__name__}:Hub"}


def test_what_a_component_resolves_reaches_the_worker_and_the_key() -> None:
    (main,), (other,) = nodes(a=HUB), nodes(a=HUB | {"revision": "v2"})
    assert main.options == {"revision": "commit of main"} == main.resolved
    assert main.key != other.key


def test_compiling_a_network_does_not_change_its_key() -> None:
    assert nodes(a=HUB)[0].key == nodes(a=HUB | {"compile": True})[0].key


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ("Misresolved", r"Unknown option that annotate.a \(.*\) resolved 'revison': did you mean 'revision'"),
        ("Unresolvable", r"annotate.a \(.*\) cannot be created: RuntimeError: no such branch"),
    ],
)
def test_a_component_that_resolves_wrongly_is_refused(use: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        nodes(a={"use": f"{__name__}:{use}"})


def test_a_node_has_the_licences_of_its_component_unless_the_recipe_states_others() -> None:
    (node,) = nodes(a=HUB)
    (corrected,) = nodes(a=HUB | {"weights_licence": "mit"})
    assert (node.code_licence, node.weights_licence) == ("mit", "cc-by-nc-4.0")
    assert (corrected.code_licence, corrected.weights_licence) == ("mit", "mit")
    assert corrected.key == node.key
    assert corrected.options == node.options


def test_a_component_that_states_no_licence_is_unknown() -> None:
    (node,) = nodes(a={"use": f"{__name__}:Plain"})
    assert (node.code_licence, node.weights_licence) == ("unknown", "unknown")


class Plain:
    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True


def test_a_licence_is_text() -> None:
    with pytest.raises(ConfigError, match=r"annotate.a.code_licence is the number 2, expected the name of a licence"):
        nodes(a=HUB | {"code_licence": 2})


def test_an_empty_licence_does_not_pass_for_a_component_without_weights() -> None:
    with pytest.raises(ConfigError, match=r"annotate.a.weights_licence is empty, which means that .* has no weights"):
        nodes(a=HUB | {"weights_licence": " "})


@pytest.mark.parametrize("name", CATALOG)
def test_every_component_of_the_catalog_states_its_licences(name: str) -> None:
    component = resolve("component", name, CATALOG)[1]
    assert component.code_licence not in ("", "unknown")
    assert hasattr(component, "weights_licence")
