"""How the page writes values."""

from __future__ import annotations

import math

import pytest

from pipelines.analyse.numbers import NONE, written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE),
        (math.nan, NONE),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.0, "0"),
        (12345.678, "12,345.68"),
        (5.0, "5"),
        (0.012346, "0.01235"),
        (-2.5, "-2.5"),
        ("a\x00b", "a\\x00b"),
        (["a", "b"], "a, b"),
    ],
)
def test_a_value_is_written_for_people(value: object, text: str) -> None:
    assert written(value) == text


def test_a_share_is_written_as_per_cent() -> None:
    assert written(0.1234, share=True) == "12.3 %"


def test_a_long_text_is_cut() -> None:
    assert len(written("x" * 10_000)) < 200
