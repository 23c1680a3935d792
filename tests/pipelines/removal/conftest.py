"""The small data set, made once for all tests of removals; each test gets it whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.pipelines.removal.small_set import Small, make


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("removal")
    ids = make(folder)
    for name in ("set", "photos", "more"):
        shutil.copytree(folder / name, folder / "whole" / name)
    return Small(folder, ids)


@pytest.fixture
def small(made: Small) -> Iterator[Small]:
    """The data set, to be changed; it is restored afterwards."""
    yield made
    made.restore()
