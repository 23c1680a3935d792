"""What a listing keeps of earlier listings."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.ingest.known_inputs import KnownInputs
from pipelines.ingest.list_inputs import list_inputs


def test_known_inputs_take_little_memory_each(tmp_path: Path) -> None:
    number = 4 * 2048
    (tmp_path / "list.txt").write_text("".join(f"https://example.org/{n:090}.jpg\n" for n in range(number)))
    storage = Storage(str(tmp_path / "set"))
    assert list_inputs(storage, [{"uris": str(tmp_path / "list.txt")}]) == number
    KnownInputs(Commits(storage, "inputs"))  # what is imported or cached once does not count
    tracemalloc.start()
    try:
        known = KnownInputs(Commits(storage, "inputs"))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(known) == number
    assert size < 60 * number


def test_a_container_whose_listing_broke_off_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"bytes": None, "path": str(n)} for n in range(5)]
    pq.write_table(pa.table({"image": rows}), tmp_path / "photos.parquet")
    monkeypatch.setattr("pipelines.ingest.list_inputs.CHUNK", 2)
    storage, sources = Storage(str(tmp_path / "set")), [{"parquet": str(tmp_path / "photos.parquet")}]

    def fail(looked: int) -> None:
        if looked == 4:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list_inputs(storage, sources, fail)
    opened = list[int]()
    assert list_inputs(storage, sources, opened.append) == 3
    assert len(opened) == 5
    assert list_inputs(storage, sources, opened.append) == 0
    assert len(opened) == 5
