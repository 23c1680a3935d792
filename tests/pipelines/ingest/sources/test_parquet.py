from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError, ImageError
from engine.storage.open_uri import read_uri
from pipelines.ingest.sources.open import open_source
from pipelines.ingest.sources.parquet import ParquetRows
from pipelines.ingest.sources.source import Entry
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
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
    """(reason, error) of each quarantined input."""
    data = {"dataset": str(dataset), "ingest": {"sources": [{"parquet": str(source)}]}}
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    return [(failure["reason"], failure["error"]) for failure in failures(dataset, "probe")]


def test_hugging_face_images_are_read_by_row(tmp_path: Path) -> None:
    photos = photographs(tmp_path, 6, size=16)
    path = write_parquet(tmp_path / "x.parquet", photos, {"00002": "A photo."})
    entries = listed(path)
    assert [entry.uri for entry in entries] == [f"parquet://image/{row}::{path}" for row in range(6)]
    assert [read_uri(entry.uri) for entry in entries] == [photo.read_bytes() for photo in photos]
    assert [texts(entry) for entry in entries] == [[], [], ["A photo."], [], [], []]


def test_an_image_without_bytes_is_read_from_its_path(tmp_path: Path) -> None:
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
    ("columns", "expected"),
    [
        ({"image": [b"0"], "url": ["a.jpg"]}, "parquet://image/0"),
        ({"JPG": [b"0"], "webp": [b"1"]}, "parquet://JPG/0"),
        ({"content": [b"0"], "id": [3]}, "parquet://content/0"),
        ({"URL": ["http://host/a.jpg"], "TEXT": ["a"]}, "http://host/a.jpg"),
        ({"url": [3], "file_name": ["a.jpg"], "hash": [b"0"], "thumb": [b"1"]}, "{folder}/a.jpg"),
        ({"image": ["/photos/a.jpg"], "embedding": [[0.5]]}, "/photos/a.jpg"),
    ],
)
def test_columns_are_found_by_type_and_name(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    path = written(tmp_path / "x.parquet", **columns)
    (entry,) = listed(path)
    assert entry.uri.partition("::")[0] == expected.format(folder=tmp_path)


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
        ({"uri": "text", "image": "first"}, "has image: and uri:, expected only one of them"),
    ],
)
def test_a_column_of_the_wrong_type_is_an_error_in_one_sentence(tmp_path: Path, options: Any, sentence: str) -> None:
    path = written(tmp_path / "x.parquet", number=[1], text=["a"], first=[b"1"], second=[b"2"])
    with pytest.raises(ConfigError, match=sentence):
        listed(path, **options)


def test_rows_without_an_image_and_files_that_are_not_parquet_are_counted(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 4, size=16)
    data = [None, *(photo.read_bytes() for photo in photos), b""]
    path = written(tmp_path / "all" / "0.parquet", image=data)
    whole = path.read_bytes()
    (tmp_path / "all" / "1.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "all" / "2.parquet").write_bytes(b"")
    written(tmp_path / "all" / "3.parquet", url=["gone.jpg", "", None, "0.parquet"])
    (tmp_path / "all" / "4.parquet").symlink_to(tmp_path / "nowhere")
    found = sorted(reason for reason, _ in ingest(tmp_path / "set", tmp_path / "all"))
    reasons = ["empty", "missing", "missing", "no_image", "no_image", "no_image", "unsupported"]
    assert found == sorted([*reasons, "not_parquet", "not_parquet"])


def test_a_damaged_row_group_quarantines_only_its_rows(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 6, size=16)
    captions = [f"Photo {number}." for number in range(6)]
    path = written(tmp_path / "x.parquet", image=[photo.read_bytes() for photo in photos], caption=captions)
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


# --- odd files --------------------------------------------------------------------------------------


def stored(path: Path, arrays: list[Any], names: list[str]) -> Path:
    pq.write_table(pa.table(arrays, names=names), path)
    return path


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.large_binary(), b"x"),
        (pa.binary_view(), b"x"),
        (pa.binary(1), b"x"),
        (pa.dictionary(pa.int32(), pa.binary()), b"x"),
        (pa.struct([("bytes", pa.large_binary()), ("path", pa.string())]), {"bytes": b"x", "path": None}),
    ],
)
def test_bytes_of_any_type_are_read(tmp_path: Path, kind: pa.DataType, value: Any) -> None:
    path = stored(tmp_path / "x.parquet", [pa.array([value, None], kind)], ["image"])
    there, none = listed(path)
    assert read_uri(there.uri) == b"x"
    with pytest.raises(ImageError, match=r"row 1 of .* has no image"):
        read_uri(none.uri)


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())),
        *(pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string(), 1)),
    ],
)
def test_captions_of_any_type_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    value = ["A cat."] if "list" in str(kind) else "A cat."
    path = stored(tmp_path / "x.parquet", [pa.array([b"x"]), pa.array([value], kind)], ["image", "caption"])
    assert [texts(entry) for entry in listed(path)] == [["A cat."]]


def test_images_may_have_a_path_and_no_bytes(tmp_path: Path) -> None:
    images = pa.array([{"bytes": None, "path": "a.jpg"}], pa.struct([("bytes", pa.null()), ("path", pa.string())]))
    path = stored(tmp_path / "x.parquet", [images], ["image"])
    assert [entry.uri for entry in listed(path)] == [f"{tmp_path}/a.jpg"]


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (["image", "image"], {}, r"looks like images: .* it has none"),
        (["image", "image"], {"image": "image"}, "has two columns called 'image': give each its own name"),
        (["image", "a", "a"], {"captions": ["a"]}, "has two columns called 'a'"),
        (["", "x"], {}, r"it has one without a name \(binary\), x \(binary\)"),
    ],
)
def test_columns_with_the_same_name_are_an_error_in_one_sentence(
    tmp_path: Path, names: list[str], options: Any, sentence: str
) -> None:
    path = stored(tmp_path / "x.parquet", [pa.array([b"x"]) for _ in names], names)
    with pytest.raises(ConfigError, match=sentence):
        listed(path, **options)


def test_columns_that_are_not_read_are_noted(tmp_path: Path) -> None:
    columns = [pa.array([b"x"]), pa.array([1]), pa.array(["a"]), pa.array(["b"]), pa.nulls(1)]
    path = stored(tmp_path / "x.parquet", columns, ["image", "caption", "a", "a", "text"])
    source = ParquetRows(str(path))
    (entry,) = source.entries()
    assert read_uri(entry.uri) == b"x"
    assert [note.replace(str(path), "x") for note in source.notes] == [
        "'x' has several columns called 'a': none of them was read.",
        "The column 'caption' of 'x' holds int64: not read as captions.",
        "The column 'text' of 'x' holds null: not read as captions.",
    ]


def test_a_column_of_nulls_is_no_column_of_uris(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it has url \(null\)"):
        listed(stored(tmp_path / "x.parquet", [pa.nulls(2)], ["url"]))


def test_texts_that_are_not_unicode_are_left_out(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(2, pa.array([0, 2, 5], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb.c"))
    good = pa.array(["One.", "Two."])
    path = stored(tmp_path / "x.parquet", [bad, good], ["url", "caption"])
    first, second = listed(path)
    assert (first.uri, first.reason) == (f"{tmp_path}/a\\xff", "name_not_utf8")
    assert (second.uri, second.reason) == (f"{tmp_path}/b.c", "")
    assert [texts(first), texts(second)] == [["One."], ["Two."]]
    source = ParquetRows(str(stored(tmp_path / "y.parquet", [good, bad], ["url", "caption"])))
    assert [texts(entry) for entry in source.entries()] == [[], ["b.c"]]
    assert source.left_out == {"a caption that is no Unicode": 1}


def test_a_file_without_images_is_quarantined_unless_no_file_has_any(tmp_path: Path) -> None:
    written(tmp_path / "0.parquet", image=[b"x"])
    written(tmp_path / "1.parquet", number=[1, 2])
    written(tmp_path / "2.parquet", image=pa.array([], pa.binary()))
    source = ParquetRows(str(tmp_path))
    assert [entry.reason for entry in source.entries()] == ["", "no_image_column"]
    assert source.left_out == {"a Parquet file without rows": 1}
    for name in ("0.parquet", "2.parquet"):
        (tmp_path / name).unlink()
    written(tmp_path / "3.parquet", number=[1])
    with pytest.raises(ConfigError, match=r"No column of '.*1.parquet' looks like images"):
        listed(tmp_path)


def test_cells_that_cannot_be_file_names_are_quarantined_with_a_short_message(tmp_path: Path) -> None:
    cells = [
        "iVBORw0KGgo" * 2000,
        "data:image/png;base64,iVBORw0KGgo",
        "a\0b",
        "hdfs://n/x",
        "S3://Not_a_bucket/x",
        "x" * 300,
    ]
    found = ingest(tmp_path / "set", written(tmp_path / "x.parquet", url=cells))
    assert [reason for reason, _ in found] == [*["unreadable"] * 3, "unreachable", "unreadable", "unreadable"]
    assert max(len(error) for _, error in found) < 450


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>" + b" " * 100, "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        (b"PARE" + bytes(100) + b"PARE", "it is encrypted"),
        (b"PAR1" + bytes(100) + b"PARE", "cut off, or another format"),
    ],
)
def test_a_file_with_a_wrong_extension_is_reported_with_its_real_format(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "x.parquet").write_bytes(content)
    ((reason, error),) = ingest(tmp_path / "set", tmp_path / "x.parquet")
    assert reason == "not_parquet"
    assert problem in error
