"""The data dictionary describes the views as they are."""

from __future__ import annotations

from pathlib import Path

from engine.reading.data_dictionary import data_dictionary

PAGE = Path(__file__).parents[3] / "docs" / "data-dictionary.md"


def test_the_page_matches_the_views() -> None:
    command = "python -m engine.reading.data_dictionary > docs/data-dictionary.md"
    assert PAGE.read_text() == data_dictionary(), f"out of date: run {command}"


def test_every_column_of_the_page_has_a_type_and_a_meaning() -> None:
    rows = [line.strip("| ").split(" | ") for line in data_dictionary().splitlines() if line.startswith("| `")]
    assert len(rows) > 200
    assert [row for row in rows if len(row) != 4 or not row[1] or not row[3]] == []


def test_coordinates_are_in_pixels_of_the_upright_image() -> None:
    assert data_dictionary().count("| `x1` | FLOAT | pixels of the upright image | left edge |") == 3
