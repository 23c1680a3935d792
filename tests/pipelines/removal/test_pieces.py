"""The search for ids, pieces of bytes and URIs in any file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.storage.files import Storage
from pipelines.removal import pieces
from pipelines.removal.pieces import PIECE, Needles, pieces_of, search

ID = "0123456789abcdef0123456789abcdef"
PHOTO = np.random.default_rng(1).bytes(3000)


def found(folder: Path, needles: Needles) -> dict[str, list[str]]:
    storage = Storage(str(folder))
    return search(storage, storage.tree(""), needles)


def test_pieces_are_from_all_over_the_image_but_not_from_its_start() -> None:
    starts = sorted(PHOTO.index(piece) for piece in pieces_of(PHOTO))
    assert len(starts) == 5
    assert starts[0] > 300
    assert starts[-1] + PIECE <= 3000


def test_pieces_that_any_file_may_hold_are_left_out() -> None:
    found = pieces_of(PHOTO[:1000] + bytes(2000))
    assert [len(set(piece)) > 16 for piece in found] == [True]


def test_a_short_image_is_searched_for_as_a_whole() -> None:
    assert pieces_of(b"short") == [b"short"]


@pytest.mark.parametrize("place", [0, 1, 95, 96, 97, 99, 100, 101, 199, 640])
def test_a_piece_is_found_at_any_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    monkeypatch.setattr(pieces, "_BLOCK", 100)
    (tmp_path / "file.tar").write_bytes(bytes(place) + PHOTO[500:564] + bytes(300))
    assert found(tmp_path, Needles([], [PHOTO[500:564]])) == {"file.tar": ["a piece of the bytes of an image"]}
    assert found(tmp_path, Needles([], [PHOTO[501:565]])) == {}


def test_the_search_agrees_with_a_plain_one() -> None:
    random = np.random.default_rng(3)
    for _ in range(150):
        length = int(random.integers(1, 80))
        needle = random.bytes(length) if random.random() < 0.5 else bytes(random.integers(0, 2, length, np.uint8))
        data = bytearray(random.bytes(int(random.integers(0, 300))))
        if len(data) >= length and random.random() < 0.6:
            start = int(random.integers(0, len(data) - length + 1))
            data[start : start + length] = needle
        assert bool(Needles([], [needle]).in_bytes(bytes(data))) is (needle in data)


def test_an_id_is_found_in_names_texts_and_as_bytes(tmp_path: Path) -> None:
    (tmp_path / f"{ID}.jpg").write_bytes(b"")
    (tmp_path / "text.json").write_text(f'{{"image": "x{ID}ffff"}}')
    (tmp_path / "raw.bin").write_bytes(b"." + bytes.fromhex(ID))
    (tmp_path / "other.json").write_text(ID[:-1])
    assert set(found(tmp_path, Needles([ID]))) == {f"{ID}.jpg", "text.json", "raw.bin"}


NESTED = pa.list_(pa.struct([pa.field("parents", pa.list_(pa.string())), pa.field("n", pa.int32())]))
COLUMNS = {
    "plain": pa.array(["a" * 99, ID * 9]),
    "list": pa.array([[], ["a", ID]]),
    "nested": pa.array([[{"parents": ["a", ID], "n": 1}], []], NESTED),
    "dictionary": pa.array(["a", ID]).dictionary_encode(),
    "large": pa.array(["a", ID], pa.large_string()),
    "binary": pa.array([b"a", b"before " + ID.encode()]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_an_id_is_found_in_compressed_tables(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({kind: COLUMNS[kind], "other": [1, 2]}), path, compression="zstd", store_schema=True)
    assert found(tmp_path, Needles([ID])) == {"table.parquet": [f"the id {ID}"]}
    assert found(tmp_path, Needles(["f" * 32])) == {}


def test_a_uri_is_found_as_a_whole_only(tmp_path: Path) -> None:
    needles = Needles([], uris=["/photos/1.jpg"])
    pq.write_table(pa.table({"uri": ["/photos/1.jpg.bak", "/photos/11.jpg"]}), tmp_path / "other.parquet")
    (tmp_path / "other.json").write_text('["/photos/1.jpgs", "/old/photos/1.jpg/a"]')
    assert found(tmp_path, needles) == {}
    pq.write_table(pa.table({"uri": ["a", "/photos/1.jpg"]}), tmp_path / "table.parquet")
    (tmp_path / "run.log").write_text("'/photos/1.jpg': gone.")
    assert found(tmp_path, needles) == {"run.log": ["a URI"], "table.parquet": ["a URI"]}


def test_a_damaged_table_is_searched_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 cut off " + ID.encode())
    assert set(found(tmp_path, Needles([ID]))) == {"broken.parquet"}
