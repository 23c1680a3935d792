from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import DamageError
from engine.storage import commits as commits_module
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from engine.storage.sealed import check_digests, read_sealed, seal, unseal

FIELDS = {"name": "x", "numbers": [1, 2.5, None], "inner": {"b": 1, "a": "ü"}}


def test_sealed_json_is_read_back() -> None:
    assert unseal(seal(FIELDS)) == FIELDS


def test_any_flipped_bit_is_noticed() -> None:
    data = seal(FIELDS)
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            if bit == 5 and data[at : at + 1] in b"fc" and b"u00" in data[at - 4 : at]:
                continue  # \\u00FC is \\u00fc
            with pytest.raises(ValueError, match=r"is no longer JSON|was changed since|holds a"):
                unseal(flipped)


def test_json_from_before_there_were_digests_is_read_as_it_is() -> None:
    assert unseal(json.dumps(FIELDS).encode()) == FIELDS


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"{", "is no longer JSON"), (b"[]", "holds a list"), (b"\xff\xfe", "is no longer JSON")],
)
def test_damaged_json_is_one_sentence_with_its_name_and_what_to_do(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node/x.json").write_bytes(data)
    with pytest.raises(DamageError, match=rf"'node/x\.json' {message}.*engine check -d .* --repair"):
        read_sealed(Storage(str(tmp_path)), "node/x.json")


def test_a_damaged_shard_of_images_is_not_to_be_removed(tmp_path: Path) -> None:
    commits = Commits(Storage(str(tmp_path)), "images")
    commits.storage.put("images/00000.json", b"")
    with pytest.raises(DamageError, match=r"restore it from a backup.*do not remove it"):
        commits.record(0, 0)


def test_a_record_under_the_name_of_another_is_an_error(tmp_path: Path) -> None:
    commits = Commits(Storage(str(tmp_path)), "node/00ff00ff")
    commits.storage.put("node/00ff00ff/00001.json", Record(0, 0, {}).to_json())
    with pytest.raises(DamageError, match="the record of shard 0, revision 0"):
        commits.record(1, 0)


@pytest.mark.parametrize("in_memory", [0, commits_module.IN_MEMORY])
def test_a_data_file_is_checked_against_the_digest_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(commits_module, "IN_MEMORY", in_memory)
    commits = Commits(Storage(str(tmp_path)), "node/00ff00ff")
    file = commits.put_table(0, pa.table({"n": [1, 2, 3]}))
    path = tmp_path / file.path
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamageError, match=rf"'{file.path}' is damaged"):
        TableReader(commits.storage, file.path)
    with pytest.raises(DamageError, match=rf"'{file.path}' is damaged"):
        check_digests(commits.storage, [(file.path, "")], 1 << 20)


def test_bytes_beyond_the_limit_are_not_read_and_counted(tmp_path: Path) -> None:
    commits = Commits(Storage(str(tmp_path)), "node/00ff00ff")
    files = [commits.put_table(shard, pa.table({"n": [shard]})) for shard in range(3)]
    paths = [(file.path, "") for file in files]
    assert check_digests(commits.storage, paths, files[0].size) == files[1].size + files[2].size


def test_a_missing_data_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    commits = Commits(Storage(str(tmp_path)), "node/00ff00ff")
    file = commits.put_table(0, pa.table({"n": [1]}))
    commits.commit(Record(0, 0, {"data": file}))
    commits.storage.remove(file.path)
    with pytest.raises(DamageError, match=rf"'{file.path}' is gone, but a record names it"):
        commits.data_files()


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("")
    with pytest.raises(DamageError, match="'images' is a file, expected a folder"):
        Commits(Storage(str(tmp_path)), "images").revisions()
