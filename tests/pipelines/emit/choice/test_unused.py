"""Labels of the section emit that no kept annotation has are named, with the nearest label that one has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.storage.files import Storage
from pipelines.emit.choice.unused import unused_labels
from pipelines.release_options import Emit
from pipelines.stages import run as stages
from tests.runs import recipe

SCENES = "world://?images=6&seed=3"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A judged data set of drawn scenes, and the labels of its objects."""
    folder = tmp_path_factory.mktemp("unused")
    annotate = {"human": {"use": "human"}}
    made = recipe(folder / "set", folder, {}, ingest={"sources": [SCENES]}, annotate=annotate, emit={"name": "v1"})
    for stage in ("ingest", "annotate", "filter"):
        stages.run(made, stage=stage, runner="inline")
    from engine.reading.dataset import Dataset
    from engine.reading.sql import query

    found = query(Dataset.open(str(folder / "set")), "SELECT DISTINCT label FROM kept.regions WHERE kind = 'object'")
    return folder / "set", sorted(filter(None, found["label"].to_pylist()))


def sentences(world: tuple[Path, list[str]], **options: Any) -> list[str]:
    return unused_labels(Storage(str(world[0])), Emit(**options))


def test_labels_that_occur_give_no_sentence(world: tuple[Path, list[str]]) -> None:
    first, second = world[1][:2]
    assert sentences(world, label_list=world[1], labels={"drop": [], "rename": {}}) == []
    assert sentences(world, label_list=["new"], labels={"rename": {first: "new"}, "drop": [second]}) == []
    assert sentences(world) == []


def test_a_misspelt_label_is_named_with_the_nearest(world: tuple[Path, list[str]]) -> None:
    label = max(world[1], key=len)
    wrong = f"{label}z"
    assert sentences(world, label_list=[label, wrong]) == [
        f"emit.label_list names labels that no kept object has: '{wrong}' (is it '{label}'?)."
    ]
    assert sentences(world, labels={"rename": {wrong: "new"}, "drop": ["0123"]}) == [
        f"emit.labels.rename names labels that no kept region or tag has: '{wrong}' (is it '{label}'?).",
        "emit.labels.drop names labels that no kept region or tag has: '0123'.",
    ]


def test_the_list_is_compared_with_the_labels_after_renaming(world: tuple[Path, list[str]]) -> None:
    label = world[1][0]
    (sentence,) = sentences(world, label_list=[label], labels={"rename": {label: "qqqq"}})
    assert f"'{label}'" in sentence


def test_a_long_list_is_shortened(world: tuple[Path, list[str]]) -> None:
    (sentence,) = sentences(world, label_list=[f"{number:04d}" for number in range(80)])
    assert sentence.endswith("'0004' and 75 more.")
