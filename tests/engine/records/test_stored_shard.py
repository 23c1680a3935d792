"""A shard that is read field by field has the values of the record that is assembled from whole tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import EngineError
from engine.records.shard import Shard
from engine.records.stored_shard import StoredShard
from engine.schema import ANNOTATIONS, PARSE, RECORD
from engine.storage.column_reader import ColumnReader
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.filter.judge import assembled_record
from tests.builders import (
    failure,
    image_score,
    images,
    parse,
    parsed,
    phrase,
    record,
    region,
    region_text,
    row,
    tag,
    text,
)

MASK = '{"counts": "abc", "size": [9, 9]}'


def stored(root: Path, name: str, table: pa.Table) -> ColumnReader:
    storage = Storage(str(root))
    return ColumnReader(storage, Commits(storage, f"{name}/k").put_table(0, table).path)


def detected() -> pa.Table:
    first = row(regions=[region(id="a/0"), region(id="a/1", merged_into="m/0"), region(id="a/2", score=None)])
    return record(first, row(), row(regions=[region(id="a/0", quad=[1.0] * 8, support=["a/1", "b/2"])]))


def merged() -> pa.Table:
    outline = region(id="m/1", rle=MASK, merged_into="m/0")
    first = row(regions=[region(id="m/0"), outline], tags=[tag(parents=["a/0"])], failures=[failure()])
    return record(first, row(regions=[region(id="m/0")]), row())


def written() -> pa.Table:
    said = [text("One cat.", id="t/0"), text("Two cats.", id="t/1", granularity="detailed")]
    about = row(texts=said, phrases=[phrase("t/0", region_ids=["a/0", "m/0"])], region_texts=[region_text("a/0")])
    return record(row(texts=[text("No cat.", id="t/0")]), row(image_scores=[image_score()]), about)


ANSWERS = {"a": (detected, ["regions"]), "m": (merged, ["regions", "tags"])}
ANSWERS |= {"t": (written, [name for name in ANNOTATIONS if name not in ("regions", "tags")])}


def both(root: Path, given: pa.Table, *parses: pa.Table) -> tuple[StoredShard, Shard]:
    """The shard read from files, and the one made of whole tables. `given`: the table of images."""
    made = {name: (table(), columns) for name, (table, columns) in ANSWERS.items()}
    whole, parse_table = assembled_record(given, list(made.values()), parses)
    answers = [(stored(root, name, table), columns) for name, (table, columns) in made.items()]
    files = [stored(root, f"parse{number}", table) for number, table in enumerate(parses)]
    listed = given.drop_columns(["same_distance", "semantic_distance", "audit_distance"])
    return StoredShard(stored(root, "images", listed), answers, files), Shard(whole, given, parse_table)


@pytest.mark.parametrize("column", [*ANNOTATIONS, "failures"])
def test_every_field_of_every_annotation_is_the_same(tmp_path: Path, column: str) -> None:
    ours, whole = both(tmp_path, images(detected()))
    assert ours.column(column).offsets.tolist() == whole.column(column).offsets.tolist()
    assert ours.column(column).image.tolist() == whole.column(column).image.tolist()
    assert ours.column(column).names == whole.column(column).names
    for field in RECORD.field(column).type.value_type:
        assert ours.column(column).arrow(field.name).type == field.type
        assert ours.column(column).arrow(field.name).to_pylist() == whole.column(column).arrow(field.name).to_pylist()
    assert ours.column(column).values.to_pylist() == whole.column(column).values.to_pylist()


def test_the_mask_of_a_region_that_was_merged_belongs_to_the_final_region(tmp_path: Path) -> None:
    ours, _ = both(tmp_path, images(detected()))
    regions = ours.column("regions")
    masks = dict(zip(regions.arrow("id").to_pylist()[:5], regions.arrow("rle").to_pylist()[:5], strict=True))
    assert masks == {"a/0": "", "a/1": "", "a/2": "", "m/0": MASK, "m/1": MASK}


def test_images_are_put_into_the_order_of_the_answers(tmp_path: Path) -> None:
    given = images(detected()).take(pa.array([2, 0, 1]))
    at = given.schema.get_field_index("width")
    given = given.set_column(at, given.schema.field(at), pa.array([3, 1, 2], pa.int32()))
    ours, whole = both(tmp_path, given)
    assert ours.image.numbers("width").tolist() == whole.image.numbers("width").tolist() == [1, 2, 3]
    assert ours.ids.equals(whole.ids)
    assert {"width", "uri", "split"} <= set(ours.image.names)


def test_an_image_without_a_row_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="has a record but no row"):
        both(tmp_path, images(detected()).slice(0, 2))


def test_files_of_other_images_cannot_be_joined(tmp_path: Path) -> None:
    one, other = record(row("1"), row("2")), record(row("1"), row("3"))
    answers: list[Any] = [(stored(tmp_path, name, table), ["tags"]) for name, table in (("a", one), ("b", other))]
    with pytest.raises(EngineError, match="different images"):
        StoredShard(stored(tmp_path, "images", images(one)), answers)


def test_without_answers_the_images_are_those_of_the_table(tmp_path: Path) -> None:
    shard = StoredShard(stored(tmp_path, "images", images(record(row("1"), row("2")))), [])
    assert shard.ids.to_pylist() == ["1", "2"]
    assert not len(shard.column("regions"))
    assert not shard.failed.any()


def test_an_image_fails_with_its_nodes_and_with_the_parse_of_its_texts(tmp_path: Path) -> None:
    broken = parse(parsed("One cat.", failures=[failure()]), parsed("Two cats."), parsed("No cat."))
    ours, whole = both(tmp_path, images(detected()), broken)
    assert ours.failed.tolist() == whole.failed.tolist() == [True, False, True]


def test_a_text_that_two_nodes_wrote_has_one_parse(tmp_path: Path) -> None:
    first, second = (
        parse(parsed("One cat.", tokens=2), parsed("Two cats.")),
        parse(parsed("No cat."), parsed("One cat.")),
    )
    ours, whole = both(tmp_path, images(detected()), first, second)
    assert ours.parse is not None
    assert whole.parse is not None
    assert len(ours.parse) == len(whole.parse) == 3
    for name in PARSE.names:
        assert ours.parse.arrow(name).to_pylist() == whole.parse.arrow(name).to_pylist()
    assert ours.parse_rows.tolist() == whole.parse_rows.tolist()


def test_columns_over_the_whole_data_set_are_computed_from_the_ids(tmp_path: Path) -> None:
    table = record(row("1"), row("2"))
    added = {"same_distance": lambda ids: pa.array([float(one) for one in ids.to_pylist()])}
    shard = StoredShard(stored(tmp_path, "images", images(table)), [(stored(tmp_path, "a", table), [])], (), added)
    assert "same_distance" in shard.image.names
    assert shard.image.numbers("same_distance").tolist() == [1.0, 2.0]


def test_references_lead_to_the_same_rows(tmp_path: Path) -> None:
    ours, whole = both(tmp_path, images(detected()))
    for name in ("roots", "phrase_text", "region_text_region", "phrase_regions"):
        assert np.array_equal(getattr(ours, name), getattr(whole, name))
