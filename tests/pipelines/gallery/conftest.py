"""The data set written by hand, with an open connection to its views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from tests.handmade import handmade


@pytest.fixture(scope="session")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return handmade(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def con(hand: Dataset) -> Iterator[Any]:
    with connect(hand) as opened:
        yield opened


@pytest.fixture(scope="module")
def names(con: Any) -> dict[str, str]:
    """{name of the photo: image id}."""
    rows = con.execute("SELECT parse_filename(uri, true), image_id FROM images").fetchall()
    return dict(rows)
