from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import StorageError
from engine.schema import INPUTS, table_of
from engine.storage import commits as commits_module
from engine.storage.commits import Commits, Record, TableReader, TableWriter
from engine.storage.files import Storage
from engine.storage.parquet_writing import ROW_GROUP


@pytest.fixture
def commits(tmp_path: Path) -> Commits:
    return Commits(Storage(str(tmp_path)), "node/00ff00ff")


def table(rows: int, start: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(start, start + rows), pa.int64())})


def test_the_first_commit_wins_and_the_file_of_the_later_one_is_removed(commits: Commits) -> None:
    first = Record(0, 0, {"data": commits.put_table(0, table(3))})
    second = Record(0, 0, {"data": commits.put_table(0, table(4))})
    assert commits.commit(first)
    assert not commits.commit(second)
    assert commits.record(0, 0).files["data"].rows == 3
    assert len([name for name in commits.storage.names(commits.folder) if name.endswith(".parquet")]) == 1


def test_committing_the_same_answer_twice_keeps_its_file(commits: Commits) -> None:
    for _ in range(2):
        commits.commit(Record(0, 0, {"data": commits.put_table(0, table(3))}))
    assert TableReader(commits.storage, commits.data_files()[0]).read().num_rows == 3


def test_only_the_names_of_files_decide_what_is_done(commits: Commits) -> None:
    for name in ("00000.json", "00002.json", "00002-r5.json", "00007-0123abcd.parquet"):
        commits.storage.put(f"{commits.folder}/{name}", b"not json")
    assert commits.revisions().tolist() == [0, -1, 5]
    assert commits.revisions(5).tolist() == [0, -1, 5, -1, -1]


def test_readers_get_the_latest_revision(commits: Commits) -> None:
    for revision, rows in ((0, 1), (3, 2)):
        commits.commit(Record(0, revision, {"data": commits.put_table(0, table(rows), revision)}))
    assert TableReader(commits.storage, commits.data_files()[0]).read().num_rows == 2


def test_a_sweep_keeps_a_file_whose_revision_is_not_committed_yet(commits: Commits) -> None:
    commits.commit(Record(0, 0, {"data": commits.put_table(0, table(1))}))
    coming = commits.put_table(0, table(2), revision=2)
    commits.sweep()
    assert commits.storage.exists(coming.path)


def test_a_late_commit_does_not_remove_the_file_of_a_later_revision(commits: Commits) -> None:
    commits.commit(Record(0, 0, {"data": commits.put_table(0, table(1))}))
    later = Record(0, 2, {"data": commits.put_table(0, table(2), revision=2)})
    commits.commit(later)
    assert not commits.commit(Record(0, 0, {"data": commits.put_table(0, table(2))}))
    assert TableReader(commits.storage, later.files["data"].path).read().num_rows == 2


def test_a_damaged_file_is_reported_in_one_sentence(commits: Commits) -> None:
    commits.storage.put(f"{commits.folder}/00000.json", b"")
    with pytest.raises(StorageError, match=r"00000\.json' is empty: .*--repair"):
        commits.record(0, 0)
    commits.storage.put(f"{commits.folder}/x.parquet", b"PAR1")
    with pytest.raises(StorageError, match="is damaged"):
        TableReader(commits.storage, f"{commits.folder}/x.parquet")


def test_a_sweep_removes_orphans_of_committed_shards_only(commits: Commits) -> None:
    commits.commit(Record(0, 0, {"data": commits.put_table(0, table(1))}))
    orphan, coming = commits.put_table(0, table(2)), commits.put_table(1, table(3))
    assert commits.sweep() == 1
    assert not commits.storage.exists(orphan.path)
    assert commits.storage.exists(coming.path)


@pytest.mark.parametrize("pieces", [[1203], [1, 499, 3, 700], [ROW_GROUP, ROW_GROUP, 203]])
def test_the_bytes_do_not_depend_on_how_rows_arrived(commits: Commits, pieces: list[int]) -> None:
    whole = commits.put_table(0, table(1203))
    with TableWriter(commits, 1, table(0).schema) as writer:
        start = 0
        for size in pieces:
            writer.write(table(size, start))
            start += size
    assert writer.file.sha256 == whole.sha256


def test_a_table_of_inputs_is_one_row_group_however_it_was_written(commits: Commits) -> None:
    row = {"source": "s", "uri": "u", "fingerprint": "", "licence": "", "frame": "upright", "reason": "", "error": ""}
    rows = [row | {"offset": 0, "length": n, "frame_width": 0, "frame_height": 0} for n in range(1203)]
    whole = commits.put_table(0, table_of(rows, INPUTS))
    with TableWriter(commits, 1, INPUTS) as writer:
        for start in (0, 900):
            writer.write(table_of(rows[start : start + 900], INPUTS))
    assert writer.file.sha256 == whole.sha256
    reader = TableReader(commits.storage, whole.path)
    assert reader.slice(600, 1203)["length"].to_pylist() == list(range(600, 1203))
    assert pq.ParquetFile(commits.storage.open(whole.path)).num_row_groups == 1


def test_a_writer_that_fails_leaves_no_file(commits: Commits) -> None:
    def fail() -> None:
        with TableWriter(commits, 0, table(0).schema) as writer:
            writer.write(table(900))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert not list(Path(commits.storage.url).rglob("*.parquet"))
    assert not list(Path(commits.storage.url).rglob(".tmp-*"))


@pytest.mark.parametrize("in_memory", [0, commits_module.IN_MEMORY])
def test_slices_cross_row_groups(commits: Commits, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(commits_module, "IN_MEMORY", in_memory)
    reader = TableReader(commits.storage, commits.put_table(0, table(1203)).path)
    assert reader.slice(490, 1010)["n"].to_pylist() == list(range(490, 1010))
    assert reader.slice(5, 5).num_rows == 0
