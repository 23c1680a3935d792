"""Releases of ten drawn photos in shards of four, made in this process and opened by `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.images.decode import image_id
from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from pipelines.recipe import Recipe
from pipelines.stages import run as stages
from tests.pipelines.emit.small_release import drawn
from tests.runs import recipe

FORMATS = ("JPEG", "PNG", "WEBP")
GIVE_UP = {"missing": "fail"}


def draw(folder: Path, count: int = 10) -> list[str]:
    """Image ids in listing order. The formats are jpg, png, webp, jpg, ..., but all names end in .photo."""
    folder.mkdir()
    contents = [drawn(FORMATS[number % 3], number) for number in range(count)]
    for number, data in enumerate(contents):
        (folder / f"{number:05d}.photo").write_bytes(data)
    return [image_id(data) for data in contents]


def wanted(tmp_path: Path, dataset: str = "set", name: str = "v1", **changes: Any) -> Recipe:
    photos = tmp_path / "photos"
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": 4}
    return recipe(tmp_path / dataset, photos, {}, **{"ingest": ingest, "emit": {"name": name}, **changes})


def run(recipe: Recipe, **options: Any) -> Any:
    """The manifest; None without the stage emit."""
    return stages.run(recipe, runner="inline", **options).manifest


def up_to_emit(recipe: Recipe) -> None:
    for stage in ("ingest", "annotate", "filter"):
        run(recipe, stage=stage)


def check(folder: Path, *, with_datasets: bool = False) -> None:
    """Every check of `engine verify` passes; those by `datasets` count only with `with_datasets`."""
    checks = [one for one in verify(str(folder)) if with_datasets or "datasets reads" not in one.name]
    assert all(one.ok for one in checks), render_checks(checks)


def tars(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.tar"))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
