from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import parse_recipe
from engine.errors import ConfigError
from engine.storage import read_source
from pipelines import run as stages
from pipelines.sources import Entry, open_source
from tests.runs import failures
from tests.written_sources import photographs, write_parquet


def written(path: Path, group: int = 2, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def listed(path: Path | str, **options: Any) -> list[Entry]:
    return list(open_source({"parquet": {"path": str(path), **options}}).entries())


def texts(entry: Entry) -> list[str]:
    return [text.text for text in entry.labels.texts] if entry.labels else []


def ingest(dataset: Path, source: Path | str) -> list[tuple[str, str]]:
    """(reason, error) of what was quarantined."""
    data = {"dataset": str(dataset), "ingest": {"sources": [{"parquet": str(source)}]}}
    stages.run(parse_recipe(data), stage="ingest", runner="local")
    return [(failure["reason"], failure["error"]) for failure in failures(dataset, "probe")]


def test_images_of_hugging_face_are_read_by_row(tmp_path: Path) -> None:
    photos = photographs(tmp_path, 6, size=16)
    path = write_parquet(tmp_path / "x.parquet", photos, {"00002": "A photo."})
    entries = listed(path)
    assert [entry.uri for entry in entries] == [f"parquet://image/{row}::{path}" for row in range(6)]
    assert [read_source(entry.uri) for entry in entries] == [photo.read_bytes() for photo in photos]
    assert [texts(entry) for entry in entries] == [[], [], ["A photo."], [], [], []]


def test_an_image_without_bytes_lies_where_its_path_says(tmp_path: Path) -> None:
    images = [{"bytes": b"0", "path": "0.jpg"}, {"bytes": None, "path": "sub/1.jpg"}]
    images += [
        {"bytes": None, "path": "/abs/2.jpg"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"5", "path": None},
    ]
    path = written(tmp_path / "x.parquet", image=images, n=list(range(6)))
    row = f"parquet://image/{{}}::{path}"
    uris = [row.format(0), f"{tmp_path}/sub/1.jpg", "/abs/2.jpg", row.format(3), row.format(4), row.format(5)]
    assert [entry.uri for entry in listed(path)] == uris


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ({"image": [b"0"], "url": ["a.jpg"]}, "parquet://image/0"),
        ({"JPG": [b"0"], "webp": [b"1"]}, "parquet://JPG/0"),
        ({"content": [b"0"], "id": [3]}, "parquet://content/0"),
        ({"URL": ["http://host/a.jpg"], "TEXT": ["a"]}, "http://host/a.jpg"),
        ({"url": [3], "file_name": ["a.jpg"], "hash": [b"0"], "thumb": [b"1"]}, "{folder}/a.jpg"),
        ({"image": ["/photos/a.jpg"], "embedding": [[0.5]]}, "/photos/a.jpg"),
    ],
)
def test_columns_are_found_by_type_and_name(tmp_path: Path, columns: dict[str, Any], place: str) -> None:
    path = written(tmp_path / "x.parquet", **columns)
    (entry,) = listed(path)
    assert entry.uri.partition("::")[0] == place.format(folder=tmp_path)


def test_captions_are_texts_and_lists_of_them(tmp_path: Path) -> None:
    columns = {"url": ["a", "b"], "TEXT": ["One.", None], "captions": [["One.", "Two."], []], "alt": ["Alt.", ""]}
    path = written(tmp_path / "x.parquet", **columns, text=[1, 2])
    assert [texts(entry) for entry in listed(path)] == [["One.", "Two."], []]
    assert [texts(entry) for entry in listed(path, captions="alt")] == [["Alt."], []]
    (text, *_) = (listed(path, captions=["alt"], captions_by="human")[0].labels or pytest.fail("no captions")).texts
    assert (text.producer, text.score) == ("human", None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, r"No column of '.*x.parquet' looks like images: .* it has number \(int64\), text \(string\), "),
        ({"image": "txt"}, "Unknown column of '.*' 'txt': did you mean 'text'"),
        ({"image": "text"}, "holds string, image: expects bytes"),
        ({"uri": "number"}, "holds int64, uri: expects texts"),
        ({"uri": "text", "captions": ["number"]}, "holds int64, captions: expects texts, or lists of texts"),
        ({"uri": "text", "image": "first"}, "has image: and uri:, expected one of them"),
    ],
)
def test_columns_that_do_not_fit_are_told_in_a_sentence(tmp_path: Path, options: Any, sentence: str) -> None:
    path = written(tmp_path / "x.parquet", number=[1], text=["a"], first=[b"1"], second=[b"2"])
    with pytest.raises(ConfigError, match=sentence):
        listed(path, **options)


def test_rows_without_an_image_and_files_that_are_none_are_counted(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 4, size=16)
    data = [None, *(photo.read_bytes() for photo in photos), b""]
    path = written(tmp_path / "all" / "0.parquet", image=data)
    whole = path.read_bytes()
    (tmp_path / "all" / "1.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "all" / "2.parquet").write_bytes(b"")
    written(tmp_path / "all" / "3.parquet", url=["gone.jpg", "", None, "0.parquet"])
    (tmp_path / "all" / "4.parquet").symlink_to(tmp_path / "nowhere")
    found = sorted(reason for reason, _ in ingest(tmp_path / "set", tmp_path / "all"))
    reasons = ["empty", "missing", "missing", "no_image", "no_image", "no_image", "not_an_image"]
    assert found == sorted([*reasons, "not_parquet", "not_parquet"])


def test_a_damaged_row_group_costs_its_rows(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 6, size=16)
    said = [f"Photo {number}." for number in range(6)]
    path = written(tmp_path / "x.parquet", image=[photo.read_bytes() for photo in photos], caption=said)
    data, metadata = bytearray(path.read_bytes()), pq.ParquetFile(path).metadata
    for column in range(2):
        chunk = metadata.row_group(1).column(column)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)
    found = ingest(tmp_path / "set", path)
    assert [reason for reason, _ in found] == ["corrupt", "corrupt"]
    assert [bool(texts(entry)) for entry in listed(path)] == [True, True, False, False, True, True]


def test_listing_reads_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "x.parquet", photographs(tmp_path, 6))
    read, real = [], pq.ParquetFile.iter_batches

    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        read.append(options["columns"])
        return real(self, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert len(listed(path)) == 6
    assert read
    assert all(columns == ["caption"] for columns in read)
