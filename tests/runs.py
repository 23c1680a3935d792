"""Small runs end to end: drawn photos, a recipe with one detector, and functions to compare releases."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from engine.images.decode import image_id
from pipelines.recipe import Recipe, parse_recipe

REPO = Path(__file__).parents[1]


def draw_photos(folder: Path, count: int, *, size: int = 24) -> list[str]:
    """Distinct one-colour PNGs; their image ids in listing order."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = []
    for number in range(count):
        path = folder / f"{number:05d}.png"
        Image.new("RGB", (size + number % 3, size), (number % 256, number // 256, 99)).save(path)
        ids.append(image_id(path.read_bytes()))
    return ids


def recipe_data(dataset: Path | str, photos: Path | str, detector: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "dataset": str(dataset),
        "ingest": {"sources": [{"folder": str(photos)}], "shard_size": 200},
        "annotate": {
            "boxes": {"use": "faulty", **detector},
            "objects": {"use": "consensus"},
        },
        "filter": [{"min_score": {"floor": 0.4}}],
        "emit": {"name": "v1"},
        "run": {"max_workers": 1},  # starting a process takes longer than its work here
        **changes,
    }


def recipe(*arguments: Any, **changes: Any) -> Recipe:
    return parse_recipe(recipe_data(*arguments, **changes))


def write_recipe(path: Path, data: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(data)))
    return path


def release_files(dataset: Path | str, name: str = "v1") -> dict[str, str]:
    """{file: sha256} of the data of a release, without the card and the manifest, which contain keys."""
    folder = Path(dataset) / "releases" / name
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("README.md", "manifest.json") and not path.name.startswith(".tmp-")
    }


def released_ids(dataset: Path | str, name: str = "v1") -> set[str]:
    import pyarrow.parquet as pq

    folder = Path(dataset) / "releases" / name
    return {
        row for path in sorted(folder.glob("train-*.parquet")) for row in pq.read_table(path)["image_id"].to_pylist()
    }


def engine(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=cwd or REPO,
        env=_environment(env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def engine_in_background(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=REPO,
        env=_environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    # A driver of its own must start its own cluster, not join the one of this session.
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return own | {"PYTHONPATH": str(REPO), "RAY_AUTH_MODE": "disabled"} | dict(more or {})


def children_seconds() -> float:
    """Seconds of CPU time of ended child processes: unlike wall time, it hardly depends on the load of the machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait_until(true: Callable[[], bool], seconds: float = 90.0, *, every: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting after {seconds:g} s")
        time.sleep(every)


def commits(dataset: Path | str, node: str) -> list[Path]:
    return sorted(Path(dataset).glob(f"{node}/*/*.json"))


def check_commits(dataset: Path | str) -> int:
    """Check that every record names existing files with the recorded bytes. Returns the number of records."""
    checked = 0
    for path in Path(dataset).glob("**/[0-9]*.json"):
        for file in json.loads(path.read_text()).get("files", {}).values():
            data = (Path(dataset) / file["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == file["sha256"], f"{file['path']} does not match {path}"
            checked += 1
    return checked


def failures(dataset: Path | str, node: str) -> list[dict[str, Any]]:
    """Failure rows of a node, each with its image id."""
    import pyarrow.parquet as pq

    answer = []
    for path in commits(dataset, node):
        for file in json.loads(path.read_text())["files"].values():
            for row in pq.read_table(Path(dataset) / file["path"]).to_pylist():
                answer += [{"image_id": row.get("image_id", ""), **failure} for failure in row["failures"]]
    return answer


def journal(path: Path) -> list[str]:
    """Image ids a faulty detector answered, in order."""
    return [line.split()[1] for line in path.read_text().splitlines()] if path.exists() else []


Strings = Sequence[str]
