"""Views of a shard: fields, references, parses."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.records.columns import Images, ParsedTexts, Phrases, Regions, RegionTexts, Shard, Texts
from engine.records.shard import slice_strings
from engine.schema import ANNOTATIONS
from tests.builders import (
    images,
    parse,
    parsed,
    phrase,
    record,
    region,
    region_text,
    row,
    text,
)


def shard(table: pa.Table, parse: pa.Table | None = None, width: int = 100, height: int = 100) -> Shard:
    return Shard(table, images(table, width, height), parse)


def test_a_view_has_the_image_size_and_which_rows_are_human() -> None:
    table = record(row(), row(regions=[region((1, 2, 3, 4), score=None), region()]))
    regions = Regions(shard(table, width=640, height=480))
    assert regions.image.tolist() == [1, 1]
    assert (regions.width.tolist(), regions.height.tolist()) == ([640, 640], [480, 480])
    assert regions.human.tolist() == [True, False]
    assert regions.boxes[0].tolist() == [1, 2, 3, 4]


def test_images_may_be_in_any_order() -> None:
    table = record(row("a", regions=[region()]), row("b", regions=[region()]))
    sizes = images(table).set_column(2, images(table).schema.field("width"), pa.array([10, 20], pa.int32()))
    assert Regions(Shard(table, sizes.take([1, 0]))).width.tolist() == [10, 20]
    with pytest.raises(EngineError, match="'b' has a record"):
        Shard(table, sizes.slice(0, 1))


def test_lookup_maps_the_value_of_each_row() -> None:
    regions = Regions(shard(record(regions=[region(producer=name) for name in "aba"])))
    assert regions.lookup("producer", {"a": 1.0, "z": 3.0}, 2.0).tolist() == [1, 2, 1]
    assert regions.take(np.array([False, True, True])).lookup("producer", {"a": 1.0}, 2.0).tolist() == [2, 1]
    assert regions.take(np.zeros(3, np.bool_)).lookup("producer", {"a": 1.0}, 2.0).tolist() == []


def test_taking_twice_keeps_the_rows_of_the_shard() -> None:
    regions = Regions(shard(record(regions=[region(label=name) for name in "abcd"])))
    left = regions.take(np.array([False, True, True, True])).take(np.array([True, False, True]))
    assert (left.rows.tolist(), left.label.to_pylist()) == ([1, 3], ["b", "d"])
    assert left.holds(np.array([3, 0, -1])).tolist() == [True, False, False]


def test_references_follow_merges_and_stay_in_their_image() -> None:
    one = row(
        regions=[region(id="r", merged_into="s"), region(id="s", merged_into="t"), region(id="t")],
        region_texts=[region_text("r"), region_text("gone")],
    )
    two = row(regions=[region(id="r")], texts=[text(id="t")], phrases=[phrase("t", region_ids=["s", "r"])])
    here = shard(record(one, two))
    assert RegionTexts(here).region.tolist() == [2, -1]
    assert Phrases(here).text.tolist() == [0]
    assert [part.tolist() for part in Phrases(here).links] == [[0, 0], [-1, 3]]


def test_links_of_some_phrases_are_numbered_by_their_view() -> None:
    phrases = [phrase("t", region_ids=["a"]), phrase("t", region_ids=["b", "a"])]
    here = Phrases(shard(record(regions=[region(id="a"), region(id="b")], phrases=phrases)))
    assert [part.tolist() for part in here.take(np.array([False, True])).links] == [[0, 0], [1, 0]]


def test_regions_merged_in_a_circle_do_not_hang() -> None:
    assert len(shard(record(regions=[region(id="a", merged_into="b"), region(id="b", merged_into="a")])).roots) == 2


def test_texts_are_joined_to_their_parse() -> None:
    table = record(texts=[text("A cat."), text("Unknown."), text("A cat.")])
    texts = ParsedTexts(shard(table, parse(parsed("A cat.", tokens=2, objects=["cat"], object_complexity=1.5))))
    assert texts.parsed.tolist() == [True, False, True]
    np.testing.assert_array_equal(texts.tokens, [2, np.nan, 2])
    np.testing.assert_array_equal(texts.n_objects, [1, np.nan, 1])
    np.testing.assert_array_equal(texts.object_complexity, [1.5, np.nan, 1.5])


def test_a_column_of_a_missing_parse_is_an_error() -> None:
    with pytest.raises(EngineError, match="pass its parse"):
        _ = ParsedTexts(shard(record(texts=[text()]))).tokens


@pytest.mark.parametrize("table", [record(), record(row(), row()), record(row()).slice(1)])
def test_views_of_an_empty_shard_are_empty(table: pa.Table) -> None:
    here = shard(table, parse())
    for view in (Regions, Texts, ParsedTexts, RegionTexts, Phrases):
        assert len(view(here)) == 0
    assert len(Regions(here).boxes) == len(Phrases(here).words) == len(ParsedTexts(here).tokens) == 0
    assert len(Images(here)) == table.num_rows
    assert ANNOTATIONS.keys() <= set(table.column_names)


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet="aé猫🙂 ", max_size=6), max_size=5),
    st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 7), st.integers(0, 7)), max_size=9),
    st.integers(0, 2),
)
def test_slicing_many_strings_equals_slicing_each(
    words: list[str], cuts: list[tuple[int, int, int]], skip: int
) -> None:
    words_left = words[skip:]
    cuts = [cut for cut in cuts if cut[0] < len(words_left)]
    rows, start, end = (np.array([cut[k] for cut in cuts], np.int64) for k in range(3))
    sliced = slice_strings(pa.array(words, pa.string()).slice(skip), rows, start, end)
    assert sliced.to_pylist() == [words_left[r][s:e] if r >= 0 else "" for r, s, e in cuts]
