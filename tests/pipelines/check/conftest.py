"""A small finished data set that tests may damage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.stages import run as stages
from tests.pipelines.check.damage import (
    small_recipe,
)
from tests.runs import draw_photos


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of three shards, and its photos."""
    folder = tmp_path_factory.mktemp("made")
    draw_photos(folder / "photos", 24)
    stages.run(small_recipe(folder), runner="inline")
    return folder


@pytest.fixture
def dataset(made: Path) -> Any:
    """The data set, to be damaged; it is restored afterwards."""
    whole = made / "whole"
    if not whole.exists():
        shutil.copytree(made / "set", whole)
    yield made / "set"
    shutil.rmtree(made / "set")
    shutil.copytree(whole, made / "set")
