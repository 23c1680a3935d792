from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.storage import parquet_rows
from engine.storage.parquet_rows import forget, read_row


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def written(path: Path, rows: int, *, group: int = 10, mark: bytes = b"") -> str:
    values = [mark + f"{row}-".encode() * 50 for row in range(rows)]
    table = pa.table({"data": values, "image": [{"bytes": value, "path": "x"} for value in values]})
    pq.write_table(table, path, row_group_size=group)
    return str(path)


def value(row: int, mark: bytes = b"") -> bytes:
    return mark + f"{row}-".encode() * 50


@pytest.mark.parametrize("column", ["data", "image"])
def test_rows_come_in_any_order_from_threads(tmp_path: Path, column: str) -> None:
    file = written(tmp_path / "x.parquet", 95)
    order = [*range(95), *range(94, -1, -1), 3, 90, 4]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda row: read_row(file, column, row), order)) == [value(row) for row in order]


def test_a_group_is_read_once_for_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, begun = written(tmp_path / "x.parquet", 30), []
    real = parquet_rows._Column._begin
    monkeypatch.setattr(parquet_rows._Column, "_begin", lambda self, group: (begun.append(group), real(self, group)))
    order = sorted(range(30), key=lambda row: row + 3 * (row % 2))  # as four threads ask
    assert [read_row(file, "data", row) for row in order] == [value(row) for row in order]
    assert begun == [0, 1, 2]


def test_a_huge_group_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, begun = written(tmp_path / "x.parquet", 400, group=400), []
    monkeypatch.setattr(parquet_rows, "PIECE_BYTES", 2000)
    real = parquet_rows._Column._begin
    monkeypatch.setattr(parquet_rows._Column, "_begin", lambda self, group: (begun.append(group), real(self, group)))
    assert [read_row(file, "data", row) for row in range(400)] == [value(row) for row in range(400)]
    assert begun == [0]
    (column,) = parquet_rows._open.values()
    assert sum(len(values) for _, values in column.pieces) < 100
    assert read_row(file, "data", 5) == value(5)
    assert begun == [0, 0]


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    file = written(tmp_path / "x.parquet", 5)
    assert read_row(file, "data", 2) == value(2)
    os.replace(written(tmp_path / "y.parquet", 5, mark=b"new"), file)
    assert read_row(file, "data", 2) == value(2, b"new")


def test_null_is_none_and_a_missing_row_or_column_is_an_error(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"data": [b"x", None], "image": [None, {"bytes": None, "path": "a"}], "text": ["a", "b"]}
    file = str(tmp_path / "x.parquet")
    pq.write_table(pa.table(columns), file)
    assert [read_row(file, "data", 0), read_row(file, "data", 1)] == [b"x", None]
    assert [read_row(file, "image", row) for row in (0, 1)] == [None, None]
    assert read_row(file, "text", 0) is None
    for column, row in (("data", 2), ("data", -1), ("nothing", 0)):
        with pytest.raises(FileNotFoundError):
            read_row(file, column, row)


def test_no_more_than_a_few_files_stay_open(tmp_path: Path) -> None:
    for number in range(9):
        assert read_row(written(tmp_path / f"{number}.parquet", 3), "data", 1) == value(1)
    assert len(parquet_rows._open) == 4


def test_a_damaged_row_group_is_an_error_and_the_others_are_read(tmp_path: Path) -> None:
    file = written(tmp_path / "x.parquet", 30)
    start = pq.ParquetFile(file).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(Path(file).read_bytes())
    data[start : start + 40] = b"\xff" * 40
    Path(file).write_bytes(data)
    with pytest.raises((ValueError, OSError)):
        read_row(file, "data", 12)
    assert [read_row(file, "data", row) for row in (5, 25)] == [value(5), value(25)]


def test_a_group_with_fewer_rows_than_it_states_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "x.parquet", 30)
    real = parquet_rows._Column._begin

    def short(column: parquet_rows._Column, group: int) -> None:
        real(column, group)
        if group == 1:
            column.reading = iter(())

    monkeypatch.setattr(parquet_rows._Column, "_begin", short)
    with pytest.raises(ValueError, match="fewer rows"):
        read_row(file, "data", 12)
    assert read_row(file, "data", 25) == value(25)
