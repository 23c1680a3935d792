"""The page of keys, specialists and filters is what the code says."""

from __future__ import annotations

from pathlib import Path

from pipelines.explore.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "reference.md"


def test_the_page_is_the_one_the_code_makes() -> None:
    assert PAGE.read_text() == reference(), "make it again: python -m pipelines.explore.reference > docs/reference.md"


def test_every_key_tells_what_it_is() -> None:
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 15
    assert [row[0] for row in rows if row[-1].strip(" |") == ""] == []
