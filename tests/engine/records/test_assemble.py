"""Records of several nodes are joined image by image, and nothing is taken out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.records.assemble import assemble
from engine.schema import RECORD
from tests.builders import (
    failure,
    image_score,
    phrase,
    record,
    region,
    region_text,
    row,
    tag,
    text,
)


def full_row() -> dict[str, Any]:
    return row(
        texts=[text()],
        regions=[region(quad=[1.0] * 8, support=["a/1"], parents=["a/1"]), region(score=None)],
        region_texts=[region_text("x")],
        phrases=[phrase("t", region_ids=["x", "y"])],
        tags=[tag()],
        image_scores=[image_score()],
        failures=[failure()],
    )


SHAPES = st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=4)


@settings(deadline=None)
@given(SHAPES)
def test_lists_are_joined_image_by_image_in_table_order(shapes: list[list[int]]) -> None:
    tables = [
        record(*(row(regions=[region(id=f"{t}/{n}") for n in range(size)], tags=[tag(str(t))]) for size in sizes))
        for t, sizes in enumerate(shapes)
    ]
    expected = [[f"{t}/{n}" for t, sizes in enumerate(shapes) for n in range(sizes[k])] for k in range(3)]
    joined = assemble(tables)
    assert [[r["id"] for r in regions] for regions in joined.column("regions").to_pylist()] == expected
    assert [len(tags) for tags in joined.column("tags").to_pylist()] == [len(shapes)] * 3


def test_one_table_alone_is_returned_unchanged() -> None:
    table = record(full_row(), row(), full_row())
    assert assemble([table]).equals(table)
    assert assemble([table, record(row(), row(), row())]).equals(table)


def test_sliced_and_chunked_tables_are_assembled_like_whole_ones() -> None:
    table = record(*(full_row() for _ in range(6)))
    chunked = pa.concat_tables([table.slice(2, 1), table.slice(3, 3)])
    sliced = table.slice(2, 4)
    expected = assemble([record_like(sliced), record_like(sliced)])
    assert assemble([chunked, sliced]).equals(expected)


def record_like(table: pa.Table) -> pa.Table:
    return pa.Table.from_pylist(table.to_pylist(), schema=RECORD)


def test_a_mask_outlines_the_region_it_was_merged_into() -> None:
    boxes = record(regions=[region(id="box"), region(id="drawn", rle="own")])
    masks = [region(id=f"mask{k}", rle=f"rle{k}", merged_into=name) for k, name in enumerate(["box", "box", "drawn"])]
    regions = assemble([boxes, record(regions=masks)]).column("regions").to_pylist()[0]
    assert [r["rle"] for r in regions] == ["rle0", "own", "rle0", "rle1", "rle2"]


def test_tables_of_different_images_are_refused() -> None:
    with pytest.raises(EngineError, match="different images"):
        assemble([record(row("a")), record(row("b"))])


def test_an_empty_shard_is_assembled() -> None:
    assert assemble([record(), record()]).num_rows == 0
