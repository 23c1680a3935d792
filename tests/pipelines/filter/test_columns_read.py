"""The judges and the survey read the columns that their rules use, and no others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.layout import IMAGES
from engine.records.columns import Regions
from engine.running.messages import Done, Unit
from engine.running.worker import Worker, WorkerContext
from engine.schema import RECORD, VERDICTS
from engine.storage.column_reader import ColumnReader
from engine.storage.commits import Commits, TableReader
from engine.storage.files import Storage
from engine.storage.parquet_writing import VERDICT_GROUP, parquet_bytes
from filters.judging.apply_rules import judge
from filters.verdict import Verdict
from pipelines.filter.judge import assembled_record, rules_of
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.run import run
from pipelines.stages.state import read_state
from tests.runs import draw_photos

ALWAYS = {"id", "score", "merged_into"}  # for the ids of verdicts, for people's regions, and for merges
RULES: list[Any] = [{"min_score": {"floor": 0.5, "by_producer": {"boxes": 0.4}}}, "box_size"]


def four_sided(regions: Regions, *, corners: int = 1) -> Verdict:
    """Drops regions with a quad, which no rule of the engine reads."""
    return Verdict(regions.shard.column("regions").lengths("quad")[regions.rows] < corners, "four_sided")


def annotated(root: Path, rules: list[Any]) -> Recipe:
    draw_photos(root / "photos", 6)
    sources = {"sources": [{"folder": str(root / "photos")}]}
    annotate = {"boxes": {"use": "fake_detector"}}
    made = parse_recipe({"dataset": str(root / "set"), "ingest": sources, "annotate": annotate, "filter": rules})
    run(made, stage="ingest", runner="inline")
    run(made, stage="annotate", runner="inline")
    return made


@contextlib.contextmanager
def columns_read() -> Iterator[set[str]]:
    """A context that collects the paths of the columns that are read. Nothing may be read as a whole."""
    paths: set[str] = set()
    original: Callable[[ColumnReader, str, str], pa.Array] = ColumnReader._array

    def recorded(self: ColumnReader, column: str, path: str) -> pa.Array:
        paths.add(path)
        return original(self, column, path)

    def whole(self: TableReader) -> pa.Table:
        raise AssertionError(f"'{self._path}' was read as a whole")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ColumnReader, "_array", recorded)
        patch.setattr(TableReader, "read", whole)
        yield paths


def fields(paths: set[str]) -> set[str]:
    return {path.removeprefix("regions.list.element.") for path in paths if path.startswith("regions.")}


def test_the_judge_reads_the_fields_that_its_rules_use(tmp_path: Path) -> None:
    made = annotated(tmp_path, RULES)
    with columns_read() as read:
        run(made, stage="filter", runner="inline")
    assert fields(read) == {*ALWAYS, "producer", "x1", "y1", "x2", "y2"}
    others = {path for path in read if not path.startswith("regions.")}
    assert others == {"image_id", "failures.list.element.component", "width", "height", "split"}


def test_a_rule_of_the_user_gets_a_field_that_it_names_nowhere(tmp_path: Path) -> None:
    made = annotated(tmp_path, [f"{__name__}:four_sided"])
    with columns_read() as read:
        run(made, stage="filter", runner="inline")
    assert fields(read) == {*ALWAYS, "quad"}


def test_the_pass_over_the_whole_set_reads_the_fields_that_its_rules_use(tmp_path: Path) -> None:
    made = annotated(tmp_path, [{"min_score": {"floor": {"quantile": 0.5}}}])
    state = read_state(Storage(made.dataset), made)
    assert state.whole_set is not None
    nodes = {node.name: node for node in (*state.annotators, state.whole_set)}
    worker = Worker(state.whole_set, WorkerContext(nodes, made.dataset), guarded=False)
    worker.load()
    with columns_read() as read:
        *_, done = worker.run(Unit("survey", 0, 0, {IMAGES: 0, "boxes": 0}))
    assert isinstance(done, Done)
    assert done.committed
    assert fields(read) == ALWAYS


def test_the_verdicts_are_those_on_whole_tables(tmp_path: Path) -> None:
    made = annotated(tmp_path, RULES)
    run(made, stage="filter", runner="inline")
    storage, state = Storage(made.dataset), read_state(Storage(made.dataset), made)

    def table(folder: str) -> pa.Table:
        return TableReader(storage, Commits(storage, folder).data_files()[0]).read()

    images, *answers = (table(folder) for folder in (IMAGES, *(node.folder for node in state.annotators)))
    record, _ = assembled_record(images, [(answer, ["regions"]) for answer in answers], [])
    assert table(state.judge.folder).equals(judge(record, images, None, rules_of(made)))


# --- the files of verdicts ----------------------------------------------------------------------


def verdicts(images: int) -> pa.Table:
    regions = [{"id": "a/0", "kept": False, "rule": "min_score", "value": 0.25, "threshold": 0.5}]
    image = {"id": "1", "kept": True, "rule": "", "value": None, "threshold": None}
    none: dict[str, Any] = {name: [] for name in VERDICTS.names[2:]}
    row = {"image_id": "1", "image": image, **none, "regions": regions}
    return pa.Table.from_pylist([row] * images, schema=VERDICTS)


@pytest.mark.parametrize(("images", "groups"), [(0, 0), (1000, 1), (VERDICT_GROUP + 1, 2)])
def test_verdicts_are_written_in_large_row_groups_and_read_back_equal(images: int, groups: int) -> None:
    file = pq.ParquetFile(pa.BufferReader(parquet_bytes(verdicts(images))))
    assert file.metadata.num_row_groups == groups
    assert file.schema_arrow.equals(VERDICTS)
    assert file.read().equals(verdicts(images))


def test_columns_without_a_verdict_have_no_dictionary() -> None:
    group = pq.ParquetFile(pa.BufferReader(parquet_bytes(verdicts(10)))).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    assert {column.path_in_schema for column in columns if column.has_dictionary_page} == {
        "image.rule",
        "image.threshold",
        "regions.list.element.id",
        "regions.list.element.rule",
        "regions.list.element.threshold",
    }


def test_answers_are_written_as_before() -> None:
    rows = pa.Table.from_pylist(
        [{"image_id": str(n), **{name: [] for name in RECORD.names[1:]}} for n in range(501)], schema=RECORD
    )
    metadata = pq.ParquetFile(pa.BufferReader(parquet_bytes(rows))).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [500, 1]
    assert metadata.row_group(0).column(0).compression == "ZSTD"
