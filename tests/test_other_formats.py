"""The recipes of docs/guide/9-other-formats.md run as they are on the page, where their library is installed."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.extras import missing
from pipelines.emit.writers import FORMATS
from tests.pipelines.emit.small_release import Item, annotated, drawn, full, mixed, write

PAGE = Path(__file__).resolve().parents[1] / "docs/guide/9-other-formats.md"
BLOCK = re.compile(r"^```python\n# ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIBRARIES = {"to_lance.py": "lance", "to_mds.py": "streaming", "to_litdata.py": "litdata"}


def images() -> list[list[Item]]:
    return [mixed(), [full(drawn("JPEG", 9)), annotated(drawn("PNG", 10))], [annotated(drawn("PNG", 11))]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release of two shards to train on and one to validate with, and the files of the page beside it."""
    write(tmp_path / "v1", *images(), splits=["train", "train", "valid"])
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, name: str) -> str:
    """The last line that a recipe prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "ignore", name]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_the_table_has_every_format_that_a_recipe_may_name() -> None:
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[2])}
    assert set(FORMATS) - {"embeddings"} <= named


def test_the_page_has_a_recipe_for_each_library() -> None:
    names = [name for name, _ in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    assert names == ["release.py", *LIBRARIES]


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_a_recipe_writes_every_image_of_the_split_and_reads_it_back(folder: Path, name: str, library: str) -> None:
    if missing([library]):
        pytest.skip(f"{library} is not installed")
    first = pq.read_table(folder / "v1/train-00000.parquet")["image_id"][0]
    assert run(folder, name) == f"5 {first}"
    assert run(folder, name) == f"5 {first}", "the recipe cannot be run again"


def test_lance_has_the_records_and_the_bytes_of_the_release(folder: Path) -> None:
    lance = pytest.importorskip("lance")
    run(folder, "to_lance.py")
    found = lance.dataset(str(folder / "train.lance")).to_table().to_pylist()
    for row in found:
        assert hashlib.sha256(row.pop("image")).hexdigest().startswith(row["image_id"])
    tables = [pq.read_table(path) for path in sorted((folder / "v1").glob("train-*.parquet"))]
    assert found == [row for table in tables for row in table.to_pylist()]


def test_the_batches_of_the_page_are_the_rows_and_the_bytes(folder: Path) -> None:
    code = (
        "import hashlib, release\n"
        "batches = [batch for shard in release.shards('valid') for batch in release.batches(shard)]\n"
        "rows = [row for batch in batches for row in batch.to_pylist()]\n"
        "print([(row['image_id'], hashlib.sha256(row['image']).hexdigest()[:32]) for row in rows])\n"
    )
    (folder / "check.py").write_text(code)
    (data, _), *_ = images()[2]
    image = hashlib.sha256(data).hexdigest()[:32]
    assert run(folder, "check.py") == str([(image, image)])
