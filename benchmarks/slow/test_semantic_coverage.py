"""The query semantic_coverage beside a count with plain spaCy, over thousands of the shared captions."""

from __future__ import annotations

from pathlib import Path

from tests.engine.reading.test_semantic_coverage import compare


def test_coverage_of_thousands_of_captions_equals_a_count_with_spacy(tmp_path: Path) -> None:
    compare(tmp_path, most=3000)
