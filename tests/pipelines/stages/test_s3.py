"""A data set on an object store: a real S3 protocol server on loopback, worker processes, the same promises."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.check.check import check
from pipelines.stages import run as stages
from tests.runs import (
    draw_photos,
    engine,
    engine_in_background,
    recipe,
    recipe_data,
    wait_until,
    write_recipe,
)


def test_a_data_set_on_s3_resumes_after_a_kill_and_equals_a_local_one(
    s3: tuple[dict[str, str], Any], tmp_path: Path
) -> None:
    environment, fs = s3
    folder = tmp_path / "photos"
    draw_photos(folder, 12)
    fs.put(str(folder), "photos/all", recursive=True)
    data = recipe_data(
        "s3://sets/one", "unused", {"slow_s": 0.2}, ingest=_of("s3://photos/all"), run={"max_workers": 1}
    )
    path = write_recipe(tmp_path / "recipe.yaml", data)
    stages.run(recipe(tmp_path / "local", folder, {"slow_s": 0.2}, ingest=_of(str(folder))), runner="inline")
    driver = engine_in_background("run", "-c", str(path), "--runner", "inline", env=environment)
    try:
        wait_until(lambda: len(_records(fs, "sets/one/boxes")) >= 1, every=0.2)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
    assert len(_records(fs, "sets/one/boxes")) < 2
    again = engine("run", "-c", str(path), env=environment)
    assert again.returncode == 0, again.stderr
    assert len(_records(fs, "sets/one/boxes")) == 2
    for kind in ("train", "pairs"):
        assert len({row["image_id"] for row in _remote_release(fs, kind)}) == 12
        assert _remote_release(fs, kind) == _local_release(tmp_path / "local", kind)
    assert check("s3://sets/one").findings == []
    statement = "SELECT count(*) AS n, count(DISTINCT image_id) AS images FROM regions"
    (found,) = query(Dataset.open("s3://sets/one"), statement).to_pylist()
    assert found["images"] == 12
    assert found["n"] >= 12


def _of(folder: str) -> dict[str, Any]:
    return {"sources": [{"folder": folder}], "shard_size": 6}


def _records(fs: Any, folder: str) -> list[str]:
    fs.invalidate_cache()
    return [name for name in fs.find(folder) if name.endswith(".json")]


def _rows(tables: Iterable[Any]) -> list[dict[str, Any]]:
    """Released rows without the sources and without the places in the tar, which depend on the size of the json."""
    import pyarrow.parquet as pq

    elsewhere = ("sources", "offset", "length")
    rows = [row for table in tables for row in pq.read_table(table).to_pylist()]
    return [{name: value for name, value in row.items() if name not in elsewhere} for row in rows]


def _remote_release(fs: Any, kind: str) -> list[dict[str, Any]]:
    names = fs.glob(f"sets/one/releases/v1/{kind}-*.parquet")
    return _rows(io.BytesIO(fs.cat_file(name)) for name in sorted(names))


def _local_release(dataset: Path, kind: str) -> list[dict[str, Any]]:
    return _rows(sorted((dataset / "releases/v1").glob(f"{kind}-*.parquet")))
