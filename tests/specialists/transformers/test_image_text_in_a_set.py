"""image_text_scorer in a data set: its scores reach the rules, its embeddings the view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run

pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_a_quantile_drops_the_worst_texts_and_every_image_has_an_embedding(
    tmp_path: Path, checkpoint_of: Callable[[str], str]
) -> None:
    recipe = parse_recipe(
        {
            "dataset": str(tmp_path / "set"),
            "ingest": {"sources": ["world://?images=8&size=64"]},
            "annotate": {
                "human": {"use": "human"},
                "objects": {"use": "consensus"},
                "captions": {"use": "composer"},
                "match": {"use": "image_text_scorer", "checkpoint": checkpoint_of("siglip")},
            },
            "filter": [{"min_image_text_score": {"floor": {"quantile": 0.25}}}],
        }
    )
    run(recipe, runner="inline")
    dataset = Dataset.open(str(tmp_path / "set"))
    texts = query(dataset, "SELECT rule, value, threshold FROM texts WHERE producer = 'captions'").to_pylist()
    dropped = [text for text in texts if text["rule"]]
    assert {text["rule"] for text in dropped} == {"min_image_text_score.floor"}
    assert 0 < len(dropped) <= len(texts) / 4
    assert all(text["value"] < text["threshold"] for text in dropped)
    scores = query(
        dataset,
        "SELECT count(*) AS n FROM image_scores s JOIN texts t ON t.image_id = s.image_id "
        "AND t.annotation_id = s.parents[1] WHERE s.name = 'image_text' AND s.producer = 'match'",
    ).to_pylist()
    assert scores[0]["n"] >= len(texts) > 0
    embeddings = query(dataset, "SELECT node, len(embedding) AS size FROM embeddings").to_pylist()
    assert embeddings == [{"node": "match", "size": 16}] * 8
