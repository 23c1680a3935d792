"""docs/reference.md is the page made from the code."""

from __future__ import annotations

from pathlib import Path

from pipelines.explore.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "make it again: python -m pipelines.explore.reference > docs/reference.md"


def test_every_key_is_described() -> None:
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 15
    assert [row[0] for row in rows if row[-1].strip(" |") == ""] == []
