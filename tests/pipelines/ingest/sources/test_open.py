from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from engine.errors import ConfigError
from engine.schema import ANNOTATIONS, INPUTS, Answer, as_row
from engine.storage.open_uri import read_uri
from pipelines.ingest.sources.folder import Folder
from pipelines.ingest.sources.open import open_source
from pipelines.ingest.sources.world import World


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


# --- folders ------------------------------------------------------------------------------------


def test_a_folder_lists_every_file_below_it_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "b.jpg", "a/2.png", "a/1.txt", "no extension", "c/d/e.gif")
    names = [os.path.relpath(entry.uri, tmp_path) for entry in Folder(str(tmp_path)).entries()]
    assert names == ["a/1.txt", "a/2.png", "b.jpg", "c/d/e.gif", "no extension"]


def test_hidden_files_pipes_and_circles_are_left_out_and_broken_links_are_not(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", ".hidden", ".git/x.jpg", "sub/b.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sub" / "circle").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    found = {os.path.relpath(entry.uri, tmp_path): entry.fingerprint for entry in Folder(str(tmp_path)).entries()}
    assert sorted(found) == ["a.jpg", "broken", "link.jpg", "sub/b.jpg"]
    assert found["broken"] == ""


def test_a_file_that_changed_has_another_fingerprint(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg", "b.jpg")
    before = [entry.fingerprint for entry in Folder(str(tmp_path)).entries()]
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    after = [entry.fingerprint for entry in Folder(str(tmp_path)).entries()]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_every_spelling_of_a_folder_has_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "photos/a.jpg")
    monkeypatch.chdir(tmp_path)
    spellings = ("photos", "./photos/", f"file://{tmp_path}/photos", f"{tmp_path}/x/../photos")
    assert {open_source(spelling).name for spelling in spellings} == {str(tmp_path / "photos")}


def test_a_remote_folder_is_walked_the_same_way() -> None:
    store = fsspec.filesystem("memory")
    for name in ("b.jpg", "a/1.jpg", ".hidden", "a/.b/c.jpg"):
        store.pipe_file(f"/walked/{name}", name.encode())
    entries = list(Folder("memory://walked").entries())
    assert [entry.uri for entry in entries] == ["memory://walked/a/1.jpg", "memory://walked/b.jpg"] or [
        entry.uri for entry in entries
    ] == ["memory:///walked/a/1.jpg", "memory:///walked/b.jpg"]
    assert [read_uri(entry.uri) for entry in entries] == [b"a/1.jpg", b"b.jpg"]
    assert all(entry.fingerprint for entry in entries)


def test_a_path_that_is_not_a_folder_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    with pytest.raises(ConfigError, match="No folder"):
        list(Folder(str(tmp_path / "photso")).entries())
    with pytest.raises(ConfigError, match="is a file"):
        list(Folder(str(tmp_path / "a.jpg")).entries())


# --- the synthetic world, and entries of a recipe -------------------------------------------------


def test_a_world_is_read_through_its_uris() -> None:
    world = World("world://?images=3&seed=5")
    entries = list(world.entries())
    assert [read_uri(entry.uri)[:4] for entry in entries] == [b"\x89PNG"] * 3
    assert len({entry.uri for entry in entries}) == 3
    assert all(entry.labels and entry.labels.texts for entry in entries)
    with pytest.raises(FileNotFoundError):
        read_uri("world://?seed=5")


def test_a_larger_world_is_the_same_source() -> None:
    small, large = World("world://?images=2"), World("world://?images=4&seed=0")
    assert small.name == large.name
    assert [entry.uri for entry in large.entries()][:2] == [entry.uri for entry in small.entries()]


def test_labels_of_a_source_fit_the_schema_of_inputs() -> None:
    import pyarrow as pa

    (entry,) = World("world://?images=1").entries()
    labels = entry.labels or Answer()
    listed: dict[str, Any] = {field.name: 0 if pa.types.is_integer(field.type) else "" for field in INPUTS}
    listed |= {name: [as_row(item) for item in getattr(labels, name)] for name in ANNOTATIONS}
    assert pa.Table.from_pylist([listed], schema=INPUTS).num_rows == 1


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"foldr": "x"}, "did you mean 'folder'"),
        ({"folder": "x", "world": "y"}, "one of folder:, coco:, webdataset:, parquet:, uris: or world:"),
        ({}, "found nothing"),
        ({"webdatset": "x"}, "did you mean 'webdataset'"),
        ({"parquet": {"path": "x", "colum": "y"}}, "Unknown option of the source 'parquet' 'colum'"),
        ({"parquet": {"path": "x", "captions": [3]}}, "expected a list of columns"),
        ({"uris": "x", "captions_by": "people"}, "Unknown captions_by 'people': known: human, web"),
        ({"coco": {"instances": "x"}}, "lacks images"),
        ({"coco": {"instances": "x", "imgs": "y"}}, "did you mean 'images'"),
        ({"folder": 3}, "expected a text"),
        ("world://?imges=3", "did you mean 'images'"),
        ("world://?images=many", "expected a whole number"),
        ("nosuchprotocol://x", "Cannot open the source"),
    ],
)
def test_a_wrong_source_is_an_error_in_one_sentence(spec: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        open_source(spec)


def test_a_source_may_state_its_licence(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    (entry,) = open_source({"folder": str(tmp_path), "licence": "CC0-1.0"}).entries()
    assert entry.licence == "CC0-1.0"
