"""Nodes get the parses that they need: of the texts of a batch, or, for a node over whole shards, all of them."""

from __future__ import annotations

from pathlib import Path

from engine.running.engine_node import engine_node
from engine.running.messages import Unit
from engine.running.shard_inputs import ShardInputs
from engine.storage.files import Storage
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run
from tests.runs import draw_photos

ANNOTATE = {
    "captions": {"use": "fake_captioner"},
    "boxes": {"use": "fake_detector"},
    "objects": {"use": "consensus"},
    "parse": {"use": "spacy_parse"},
    "phrases": {"use": "label_grounder"},
}


def test_a_batch_has_the_parses_of_its_texts_and_a_node_over_shards_has_all(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 5)
    sources = [{"folder": str(tmp_path / "photos")}]
    recipe = parse_recipe({"dataset": str(tmp_path / "set"), "ingest": {"sources": sources}, "annotate": ANNOTATE})
    run(recipe, stage="ingest", runner="inline")
    run(recipe, stage="annotate", runner="inline")
    nodes, storage = {node.name: node for node in annotation_nodes(recipe)}, Storage(recipe.dataset)
    grounder = nodes["phrases"]
    parsed = next(name for name, kinds in grounder.inputs.items() if "parse" in kinds)
    inputs = dict.fromkeys(("images", *grounder.inputs), 0)

    first, second = ShardInputs(storage, nodes, grounder, Unit("phrases", 0, 0, inputs)).samples(1, 3)
    assert first.texts
    assert set(first.parse) == {text.text_key for text in (*first.texts, *second.texts)}
    assert all(key == parse.text_key and parse.tokens for key, parse in first.parse.items())

    whole = engine_node("whole", "", 1, key_parts=[], options={}, inputs={parsed: ("parse",)})
    parses = ShardInputs(storage, {**nodes, "whole": whole}, whole, Unit("whole", 0, 0, inputs)).parses
    assert {key: parses[key] for key in first.parse} == first.parse
    assert len(parses) > len(first.parse)
