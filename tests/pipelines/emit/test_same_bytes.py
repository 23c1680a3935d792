"""The same recipe and images give the same bytes in every format, wherever and however a release is made."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.storage.files import Storage
from pipelines.stages import run as stages
from tests.pipelines.emit.every_format import CHOSEN, world
from tests.runs import release_files

WRITES = ("put", "put_unflushed", "upload", "create")  # the methods of Storage that write


class Killed(BaseException):
    """Ends a run as a signal would: no code of the engine handles it."""


@pytest.fixture(scope="module")
def before_emit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of which only the release is missing. Do not change it."""
    folder = tmp_path_factory.mktemp("same-bytes") / "set"
    for stage in ("ingest", "annotate", "filter"):
        stages.run(world(folder), stage=stage, runner="inline")
    return folder


@pytest.fixture(scope="module")
def expected(before_emit: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """{file: sha256} of the release of `before_emit`, made without a disturbance, with card and manifest."""
    folder = copy_of(before_emit, tmp_path_factory.mktemp("undisturbed"))
    emit(folder)
    return released(Storage(str(folder)))


def copy_of(dataset: Path, folder: Path) -> Path:
    return Path(shutil.copytree(dataset, folder / dataset.name))


def emit(dataset: Path | str, images: int = 7) -> None:
    stages.run(world(dataset, images), stage="emit", runner="inline")


def released(storage: Storage) -> dict[str, str]:
    """{file: sha256} of a whole release, locally or on an object store."""
    return {name: storage.sha256(f"releases/v1/{name}") for name in storage.tree("releases/v1")}


def data_of(files: dict[str, str]) -> dict[str, str]:
    """Without the card and the manifest, which hold the recipe."""
    return {name: digest for name, digest in files.items() if name not in ("README.md", "manifest.json")}


def test_every_format_is_in_the_release(expected: dict[str, str]) -> None:
    from pipelines.emit.writers import FORMATS

    for form in (FORMATS[name] for name in CHOSEN):
        begins = form.files or (f"{form.stem}train-",)
        assert any(name.startswith(begins) for name in expected)


@pytest.mark.parametrize(("runner", "workers"), [("local", 1), ("local", 2), ("ray", 2)])
def test_workers_give_the_bytes_of_a_run_in_one_process(
    before_emit: Path,
    expected: dict[str, str],
    tmp_path: Path,
    runner: str,
    workers: int,
    request: pytest.FixtureRequest,
) -> None:
    if runner == "ray":
        request.getfixturevalue("ray_cluster")
    dataset = copy_of(before_emit, tmp_path)
    stages.run(world(dataset, run={"max_workers": workers}), stage="emit", runner=runner)
    assert release_files(dataset) == data_of(expected)


def test_a_run_of_all_stages_gives_the_bytes_of_single_stages(expected: dict[str, str], tmp_path: Path) -> None:
    stages.run(world(tmp_path / "set"), runner="inline")
    assert released(Storage(str(tmp_path / "set"))) == expected


def test_a_release_that_is_killed_after_any_write_is_completed_with_the_same_bytes(
    before_emit: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    writes = writes_until_killed(copy_of(before_emit, tmp_path / "counted"))
    for number in spread(writes, 8):
        dataset = copy_of(before_emit, tmp_path / str(number))
        assert writes_until_killed(dataset, number) == number
        emit(dataset)
        assert released(Storage(str(dataset))) == expected, f"killed after write {number} of {writes}"
        shutil.rmtree(dataset)


def test_a_release_on_an_object_store_that_is_killed_and_completed_has_the_bytes_of_a_local_one(
    s3: tuple[dict[str, str], Any], tmp_path: Path
) -> None:
    """Two images only, because DuckDB opens each of the data set's files on the store many times."""
    for stage in ("ingest", "annotate", "filter"):
        stages.run(world(tmp_path / "set", images=2), stage=stage, runner="inline")
    s3[1].put(str(tmp_path / "set"), "sets/set", recursive=True)
    writes = writes_until_killed(tmp_path / "set", images=2)
    assert writes_until_killed("s3://sets/set", writes // 2, images=2) == writes // 2
    emit("s3://sets/set", images=2)
    assert data_of(released(Storage("s3://sets/set"))) == data_of(released(Storage(str(tmp_path / "set"))))


def spread(writes: int, number: int) -> list[int]:
    """The first write, the last four (card, manifest and the record of the run), and others between them."""
    step = max(1, (writes - 4) // (number - 4))
    return sorted({*range(1, writes - 3, step), *range(writes - 3, writes + 1)})


def writes_until_killed(dataset: Path | str, killed_after: int = 0, images: int = 7) -> int:
    """Makes a release, and ends it after this number of writes (0: not at all). Returns the number of writes."""
    done = 0

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def counts(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if killed_after and done >= killed_after:
                raise Killed  # also in code that runs when a run ends
            answer = write(*arguments, **options)
            done += 1
            if done == killed_after:
                raise Killed
            return answer

        return counts

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(Storage, name, counted(getattr(Storage, name)))
        with pytest.raises(Killed) if killed_after else contextlib.nullcontext():
            emit(dataset, images)
    return done
