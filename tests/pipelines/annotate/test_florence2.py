"""A trained Florence-2 of the data set itself annotates it: `checkpoint: models/NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from pipelines.annotate.annotation_nodes import annotation_nodes
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run
from tests.model.tiny import saved

TASKS = ["<CAPTION>", "<OD>", "<CAPTION_TO_PHRASE_GROUNDING>"]


def recipe(dataset: Path, **options: Any) -> Any:
    student = {"use": "florence2", "checkpoint": "models/student", "tasks": TASKS, "max_new_tokens": 24}
    return parse_recipe(
        {
            "dataset": str(dataset),
            "ingest": {"sources": ["world://?images=3&size=96&seed=0"]},
            "annotate": {"student": student | options, "objects": {"use": "consensus"}},
        }
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    saved(folder / "models" / "student")
    (folder / "models" / "student" / "training.json").write_text("{}")
    return folder


def test_its_answers_are_annotations_with_producer_and_score(dataset: Path) -> None:
    for stage in ("ingest", "annotate"):
        run(recipe(dataset), stage=stage, runner="inline")
    (file,) = dataset.glob("student/*/*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert len(rows) == 3
    assert not any(row["failures"] for row in rows)
    made = [item for row in rows for name in ("texts", "regions", "phrases") for item in row[name]]
    assert {item["producer"] for item in made} == {"student"}
    assert {item["score_kind"] for item in made} == {"token_probability"}
    assert all(0 <= item["score"] <= 1 for item in made)


def test_the_error_for_an_untrained_model_names_the_command(dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"'models/other'.*does not hold.*engine train --set train.name=other"):
        annotation_nodes(recipe(dataset, checkpoint="models/other"))
