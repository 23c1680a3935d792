from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from engine.errors import ConfigError, StorageError
from engine.storage.files import Storage
from engine.storage.open_uri import read_uri


def test_only_the_first_create_writes(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    assert storage.create("a/b.json", b"first")
    assert not storage.create("a/b.json", b"second")
    assert storage.read("a/b.json") == b"first"


def test_one_of_many_creates_at_once_wins(tmp_path: Path) -> None:
    storage, won = Storage(str(tmp_path)), []
    start = threading.Barrier(16)

    def create(number: int) -> None:
        start.wait()
        if storage.create("record.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read("record.json") == str(won[0]).encode()


def test_temporary_files_are_neither_left_nor_listed(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put("a/x", b"1")
    storage.create("a/y", b"2")
    storage.create("a/y", b"3")
    assert sorted(os.listdir(tmp_path / "a")) == ["x", "y"] == storage.names("a")


def test_a_sweep_removes_temporary_files_of_dead_processes_only(tmp_path: Path) -> None:
    import socket

    storage = Storage(str(tmp_path))
    (tmp_path / "a").mkdir()
    dead, living = (tmp_path / "a" / f".tmp-{socket.gethostname()}-{pid}-00ff00ff" for pid in (2**22 + 1, os.getpid()))
    dead.touch()
    living.touch()
    assert storage.sweep_temporaries("a") == 1
    assert living.exists()
    assert not dead.exists()


def test_memory_urls_are_refused_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match="workers are other processes"):
        Storage("memory://set")


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        Storage(str(tmp_path / "file" / "set")).check_writable()


def test_a_file_that_is_gone_is_not_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_uri(str(tmp_path / "nothing.png"))


def test_a_member_of_a_packed_file_is_read_by_offset(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"0123456789")
    assert read_uri(str(tmp_path / "x.tar"), 3, 4) == b"3456"
    assert read_uri(f"file://{tmp_path}/x.tar", 3, 4) == b"3456"


def test_a_create_whose_reply_was_lost_counts_as_done(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    assert storage.create("record.json", b"mine")
    assert storage.create("record.json", b"mine")  # the client tries again, and finds what it wrote
    assert not storage.create("record.json", b"another's")


def test_an_uploaded_file_and_its_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, synced = Storage(str(tmp_path)), []

    def fsync(handle: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))

    monkeypatch.setattr(os, "fsync", fsync)
    scratch = storage.scratch("node/key/00000.parquet")
    Path(scratch).write_bytes(b"data")
    synced.clear()
    storage.upload(scratch, "node/key/00000.parquet")
    assert synced == [os.path.basename(scratch), "key"]


def test_new_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, synced = Storage(str(tmp_path)), []
    monkeypatch.setattr("engine.storage.disks.sync_folder", synced.append)
    storage.put("a/b/c.json", b"")
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "node").write_text("")
    with pytest.raises(StorageError, match="node' is a file, expected a folder"):
        Storage(str(tmp_path)).put("node/key/00000.json", b"")


@pytest.mark.parametrize("operation", ["read", "sha256"])
def test_a_disk_that_cannot_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    import builtins
    import errno
    import io

    class Bad(io.BytesIO):
        def read(self, *size: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    storage = Storage(str(tmp_path))
    storage.put("x.json", b"{}")
    monkeypatch.setattr(builtins, "open", lambda *given, **named: Bad())
    monkeypatch.setattr(storage.fs, "open", lambda *given, **named: Bad())
    with pytest.raises(StorageError, match=r"Storage failed at 'x\.json'.*Input/output error"):
        getattr(storage, operation)("x.json")
