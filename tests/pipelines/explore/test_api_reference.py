"""docs/api.md is the page made from the public functions."""

from __future__ import annotations

from pathlib import Path

import pipelines
from pipelines.explore.api_reference import api_reference

PAGE = Path(__file__).parents[3] / "docs" / "api.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == api_reference(), "python -m pipelines.explore.api_reference > docs/api.md"


def test_every_function_and_record_is_on_the_page() -> None:
    page = api_reference()
    assert [name for name in pipelines.__all__ if f"\n## {name}\n" not in page] == []
    assert [name for name in ("Summary", "Status", "Why", "ComponentInfo") if f"\n### {name}\n" not in page] == []
