"""An object store with faults (benchmarks/faulty_s3.py): every commit is made once and recognised as made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import s3fs

from benchmarks.faulty_s3 import Faults, faulty_s3
from engine.storage.files import Storage


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Storage, Faults]]:
    faults = Faults(seed=0, slow_s=0.0, share=0.0)
    with faulty_s3(faults) as (through, _):
        for name, value in through.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield Storage("s3://sets/ds"), faults
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_commit_whose_reply_was_lost_counts_as_made(storage: tuple[Storage, Faults]) -> None:
    store, faults = storage

    assert store.create("node/00000.json", b"first")
    assert faults.counts["lost put"] == 1
    assert not store.create("node/00000.json", b"second")
    assert store.read("node/00000.json") == b"first"


def test_a_burst_of_errors_is_survived_by_waiting(storage: tuple[Storage, Faults]) -> None:
    store, faults = storage
    faults.burst = 2

    store.put("node/00000.parquet", b"all of it")

    assert store.read("node/00000.parquet") == b"all of it"
    assert faults.counts["500"] + faults.counts["503"] == 2
