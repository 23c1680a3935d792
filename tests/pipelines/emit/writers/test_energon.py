"""The files of .nv-meta/ for Energon, and the code about it on the data card."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from braceexpand import braceexpand

from engine.extras import missing
from pipelines.emit.writers import chosen_formats
from pipelines.emit.writers.energon import patterns
from pipelines.release_options import Emit
from tests.pipelines.emit.small_release import annotated, drawn, full, mixed, write

RECIPE = {"emit": {"formats": ["energon"]}}
NEEDS_ENERGON = pytest.mark.skipif(bool(missing(["megatron.energon"])), reason="megatron-energon is not installed")


def test_the_three_files_describe_the_tars_of_each_split(tmp_path: Path) -> None:
    shards = [mixed(), [full(drawn("JPEG", 9))], [annotated(drawn("PNG", 10))]]
    release = write(tmp_path / "v1", *shards, recipe=RECIPE, splits=["train", "train", "valid"])
    meta = release / ".nv-meta"
    assert (meta / "split.yaml").read_text() == (
        "split_parts:\n  train:\n  - train-{00000..00001}.tar\n  val:\n  - valid-00000.tar\nexclude: []\n"
    )
    assert json.loads((meta / ".info.json").read_text()) == {
        "shard_counts": {"train-00000.tar": 3, "train-00001.tar": 1, "valid-00000.tar": 1}
    }
    expected = {"__module__": "megatron.energon", "__class__": "CrudeWebdataset"}
    assert yaml.safe_load((meta / "dataset.yaml").read_text()) == expected


def test_a_release_of_no_images_has_no_such_files(tmp_path: Path) -> None:
    assert not (write(tmp_path / "v1", recipe=RECIPE) / ".nv-meta").exists()


def test_energon_brings_the_tars_that_it_reads() -> None:
    assert chosen_formats(Emit(formats=["energon"])) == ["webdataset", "parquet", "energon"]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([7], ["train-00007.tar"]),
        ([0, 1, 2, 5, 7, 8], ["train-{00000..00002}.tar", "train-00005.tar", "train-{00007..00008}.tar"]),
        ([99998, 99999, 100000, 100001], ["train-{99998..99999}.tar", "train-{100000..100001}.tar"]),
    ],
)
def test_patterns_expand_to_the_names_of_the_tars(numbers: list[int], expected: list[str]) -> None:
    names = [f"train-{number:05d}.tar" for number in numbers]
    assert patterns(names) == expected
    assert [name for pattern in expected for name in braceexpand(pattern)] == names


@NEEDS_ENERGON
def test_the_code_on_the_card_runs_after_energon_made_its_index(tmp_path: Path) -> None:
    release = write(tmp_path / "v1", [full(drawn())], recipe=RECIPE)
    page = (release / "README.md").read_text()
    (command,) = re.findall(r"```sh\nenergon (.*?)\n```", page)
    (code,) = re.findall(r"```py\n(.*?)```", page, flags=re.DOTALL)
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    for words in (["-m", "megatron.energon.cli.main", *command.split()], ["-c", code]):
        command_line = [sys.executable, *words]
        done = subprocess.run(
            command_line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f]{32} 10\n", done.stdout)
