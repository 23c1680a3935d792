"""The column of embeddings, and what is refused as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engine.records.answers import check_answer
from engine.records.embeddings import embedding_column, embedding_error, vectors_of
from engine.schema import Answer, Sample

UNIT = np.array([0.6, -0.8], np.float32)


def test_vectors_and_nulls_come_back_as_they_were_written() -> None:
    column = pa.chunked_array([embedding_column([UNIT, None, -UNIT], 2), embedding_column([None, UNIT], 2)])
    found = vectors_of(column.slice(1, 4))
    assert [vector is None for vector in found] == [True, False, True, False]
    np.testing.assert_allclose([found[1], found[3]], [-UNIT, UNIT], atol=1e-3)
    assert column.type == pa.list_(pa.field("element", pa.float16(), nullable=False), 2)


@pytest.mark.parametrize(
    ("vector", "sentence"),
    [
        (None, "no embedding, although it declares"),
        ([0.6, 0.8], "is a list, expected a NumPy array"),
        (UNIT[None], r"ndarray of shape \(1, 2\)"),
        (np.array([1, 0]), "and type int64, expected a NumPy array of floats"),
        (np.array([1.0]), "of 1 numbers, expected 2"),
        (np.array([np.nan, 1.0]), "not finite"),
        (UNIT * 2, "of length 2, expected 1: divide it"),
        (UNIT * 1.002, "of length 1.002, expected 1"),
    ],
)
def test_what_is_no_vector_of_unit_length_is_refused(vector: Any, sentence: str) -> None:
    import re

    assert re.search(sentence, embedding_error(vector, 2))


def test_a_length_within_a_thousandth_of_one_is_accepted() -> None:
    assert embedding_error(UNIT * 1.0009, 2) == embedding_error(UNIT, 0) == ""


def test_an_embedding_must_be_declared() -> None:
    sample = Sample("a", 10, 10)
    assert check_answer(Answer(embedding=UNIT), sample, ["embeddings"]) == ""
    assert "does not declare `embeddings`" in check_answer(Answer(embedding=UNIT), sample, ["tags"])
    assert "no embedding" in check_answer(Answer(), sample, ["embeddings"])
