"""Containers are opened only once, even if a listing is killed."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.storage.files import Storage
from pipelines.ingest import list_inputs as module
from pipelines.ingest.list_inputs import list_inputs, preview_listing
from pipelines.ingest.sources.containers import AHEAD, Reader, list_containers
from pipelines.ingest.sources.parquet import ParquetRows
from pipelines.ingest.sources.source import Entry
from pipelines.ingest.sources.webdataset import WebDataset
from tests.written_sources import photographs, write_parquet, write_tars


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the containers that were opened, sorted."""
    names: list[str] = []
    for kind in (WebDataset, ParquetRows):

        def noted(self: Any, uri: str, real: Any = kind.read) -> Any:
            names.append(uri.rsplit("/", 1)[-1])
            return real(self, uri)

        monkeypatch.setattr(kind, "read", noted)
    return names


def taken(names: list[str]) -> list[str]:
    found = sorted(names)
    names.clear()
    return found


def rows(storage: Storage) -> list[tuple[str, str, str]]:
    paths = sorted(Path(storage.url).glob("inputs/*.parquet"))
    listed = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return [(row["source"], row["uri"], row["fingerprint"]) for row in listed]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_tars(tmp_path / "tars", photographs(tmp_path / "photos", 9), a_tar=3)
    return tmp_path


def test_unchanged_containers_are_not_opened_again(home: Path, opened: list[str]) -> None:
    write_parquet(home / "parquet" / "0.parquet", photographs(home / "photos", 9))
    storage = Storage(str(home / "set"))
    sources: list[Any] = [{"webdataset": f"{home}/tars"}, {"parquet": f"{home}/parquet"}]
    assert list_inputs(storage, sources) == 18
    assert taken(opened) == ["0.parquet", "00000.tar", "00001.tar", "00002.tar"]
    assert list_inputs(storage, sources) == preview_listing(storage, sources)[0] == 0
    assert taken(opened) == []
    write_tars(home / "more", photographs(home / "other", 2, size=40))
    shutil.copy(home / "more" / "00000.tar", home / "tars" / "00001.tar")
    (home / "more" / "00000.tar").rename(home / "tars" / "00007.tar")
    assert list_inputs(storage, sources) == 4
    assert taken(opened) == ["00001.tar", "00007.tar"]


@pytest.mark.parametrize("chunks", [1, 2, 3, 4])
def test_a_listing_killed_in_the_middle_of_a_tar_is_completed(
    home: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    storage, sources = Storage(str(home / "set")), [{"webdataset": f"{home}/tars"}]
    monkeypatch.setattr(module, "CHUNK", 2)

    def kill(looked: int) -> None:
        if looked == 2 * chunks + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list_inputs(storage, sources, kill)
    taken(opened)
    assert list_inputs(storage, sources) == 9 - 2 * chunks
    whole = 2 * chunks // 3
    assert taken(opened) == ["00000.tar", "00001.tar", "00002.tar"][whole:]
    once = Storage(str(home / "once"))
    list_inputs(once, sources)
    assert rows(storage) == rows(once)
    assert len(set(rows(storage))) == 9


def test_two_drivers_that_list_tars_at_once_list_every_sample_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, sources = Storage(str(home / "set")), [{"webdataset": f"{home}/tars"}]
    monkeypatch.setattr(module, "CHUNK", 2)
    others: Iterator[bool] = iter([True])

    def other(listed: int) -> None:  # after our first chunk a second driver lists all the rest
        if next(others, False):
            list_inputs(storage, sources)

    list_inputs(storage, sources, other)
    assert sorted(rows(storage)) == sorted(set(rows(storage)))
    assert len(rows(storage)) == 9


def test_other_options_read_a_container_again(home: Path, opened: list[str]) -> None:
    storage, tars = Storage(str(home / "set")), f"{home}/tars"
    list_inputs(storage, [{"webdataset": tars}])
    taken(opened)
    assert list_inputs(storage, [{"webdataset": tars, "captions_by": "human"}]) == 9
    assert list_inputs(storage, [{"webdataset": tars, "licence": "CC0-1.0"}]) == 9
    assert len(taken(opened)) == 6


def test_a_missing_tar_is_listed_once_it_exists(home: Path) -> None:
    storage, sources = Storage(str(home / "set")), [{"webdataset": f"{home}/tars/{{00000..00002}}.tar"}]
    (home / "tars" / "00001.tar").rename(home / "later.tar")
    assert [list_inputs(storage, sources), list_inputs(storage, sources)] == [7, 0]
    (home / "later.tar").rename(home / "tars" / "00001.tar")
    assert list_inputs(storage, sources) == 3


def test_copies_with_the_same_time_are_different_containers(home: Path) -> None:
    storage, sources = Storage(str(home / "set")), [{"webdataset": f"{home}/tars"}]
    list_inputs(storage, sources)
    shutil.copy2(home / "tars" / "00001.tar", home / "tars" / "copy.tar")
    assert os.stat(home / "tars" / "copy.tar").st_mtime_ns == os.stat(home / "tars" / "00001.tar").st_mtime_ns
    assert list_inputs(storage, sources) == 3


def test_a_data_set_inside_its_source_is_refused(home: Path) -> None:
    photographs(home / "set" / "photos", 2)
    write_tars(home / "set" / "releases", photographs(home / "photos", 2))
    with pytest.raises(ConfigError, match="lies inside its source"):
        list_inputs(Storage(str(home / "set")), [{"webdataset": f"{home}/**/*.tar"}])


class Pairs:
    """Reads two entries from every container and leaves out one caption."""

    def __init__(self, begun: list[str]) -> None:
        self.begun, self.left_out, self.notes = begun, Counter[str](), list[str]()
        self.found, self.opened = list[str](), dict[str, Reader]()

    def alone(self) -> Pairs:
        return Pairs(self.begun)

    def read(self, uri: str) -> tuple[int, Sequence[Entry]]:
        self.begun.append(uri)
        self.left_out["a second caption"] += 1
        return 2, [Entry(f"{uri}/0"), Entry(f"{uri}/1")]


@pytest.mark.parametrize(("scheme", "ahead"), [("s3://bucket/", AHEAD), ("/", 1)])
def test_remote_containers_are_opened_ahead_and_listed_in_order(scheme: str, ahead: int) -> None:
    begun: list[str] = []
    source = Pairs(begun)
    found = [(f"{scheme}{number:02d}", "1") for number in range(20)]
    entries = list_containers(source, found, [], ())
    assert next(entries).uri == f"{scheme}00/0"
    assert len(begun) <= ahead
    everything = [entry.uri for entry in entries]
    assert everything == sorted(everything)
    assert len(everything) == 39
    assert sorted(begun) == [uri for uri, _ in found]
    assert source.left_out == {"a second caption": 20}
    assert [reader.left_out.total() for reader in source.opened.values()] == [1] * 20
    assert source.found == list(source.opened)
