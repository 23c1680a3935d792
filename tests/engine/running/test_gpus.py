"""Workers on GPUs: which they see, who works at the same time, and a batch that does not fit."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.running.batches import free_gpu_memory, is_out_of_memory
from engine.schema import Answer, Sample, Tag
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe_data


class _Tensor:
    """Stands for the memory of a batch."""


class TooLarge:
    """Fits two images. When it is called again, the memory of the batch that did not fit must be free."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    def __init__(self, *, batch_size: int = 8) -> None:
        self.batch_size = batch_size

    def load(self) -> None:
        self.held: list[weakref.ref[_Tensor]] = []

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        assert not any(one() for one in self.held)
        tensor = _Tensor()
        self.held.append(weakref.ref(tensor))
        if len(batch) > 2:
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return [Answer(tags=[Tag("fits", score=1.0)]) for _ in batch]


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def annotate(folder: Path, nodes: dict[str, Any], photos: int, runner: str) -> Any:
    draw_photos(folder / "photos", photos)
    data = recipe_data(folder / "set", folder / "photos", {}) | {"annotate": nodes, "filter": []}
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    return stages.run(parse_recipe(data), stage="annotate", runner=runner)


@pytest.mark.usefixtures("ray_cluster")
def test_independent_nodes_share_a_gpu_at_the_same_time_and_each_sees_what_it_was_granted(tmp_path: Path) -> None:
    use = {"use": "tests.engine.running.observers:Meets", "folder": str(tmp_path)}
    nodes = {
        "one": {**use, "name": "one", "other": "two", "gpus": 0.5},
        "two": {**use, "name": "two", "other": "one", "gpus": 0.5},
        "whole": {**use, "name": "whole", "gpus": 1.0},
        "none": {**use, "name": "none"},
    }
    annotate(tmp_path, nodes, 1, "ray")
    rows = query(Dataset.open(str(tmp_path / "set")), "SELECT producer, label FROM tags").to_pylist()
    assert {row["producer"]: row["label"] for row in rows} == {"one": "0", "two": "0", "whole": "0", "none": ""}


def test_a_batch_that_does_not_fit_is_freed_and_halved_until_it_does(tmp_path: Path) -> None:
    summary = annotate(tmp_path, {"tags": {"use": f"{__name__}:TooLarge"}}, 8, "inline")
    assert query(Dataset.open(str(tmp_path / "set")), "SELECT count(*) AS n FROM tags").to_pylist() == [{"n": 8}]
    notes = " ".join(summary.tallies["tags"].notes)
    assert "out of memory at 8: batch halved to 4" in notes
    assert "out of memory at 4: batch halved to 2" in notes


def test_the_memory_that_torch_keeps_is_returned_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    cuda = SimpleNamespace(is_initialized=lambda: True, empty_cache=lambda: calls.append("empty"))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    free_gpu_memory()
    assert calls == ["empty"]
    cuda.is_initialized = lambda: False
    free_gpu_memory()
    assert calls == ["empty"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("any"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 8388608"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_errors_of_a_lack_of_memory_are_recognised(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_any_other_error_is_not_a_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
