"""The benchmark for GPUs, on the CPU with tiny checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.gpu_answers import same_answers
from benchmarks.gpu_checkpoints import SIZED, TINY
from engine.config.catalog import check_options, resolve
from engine.records.masks import encode
from engine.schema import Answer, Region, Sample, Text
from specialists import CATALOG

SAMPLE = Sample("a", 20, 10)


def tables(output: str) -> list[list[str]]:
    """The cells of the rows of the tables at the end."""
    lines = output.splitlines()
    last = next(number for number, line in enumerate(lines) if line.startswith("CPU, "))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[last:] if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("adapter", "training", "prediction")]


def test_each_measurement_is_a_row_and_a_batch_answers_as_single_images_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Quick ones: `make slow` runs all."""
    roles = ["hf_detector", "embed", "onnx_detector"]
    quick = ["--seconds", "0", "--check", "2", "--steps", "3", "--batches", "1", "2"]
    given = ["--only", *roles, "training", "prediction", *quick]
    assert gpu.main(["--device", "cpu", "--tiny", *given]) == 0
    *adapters, training, one, two = tables(capsys.readouterr().out)
    assert [row[0] for row in adapters] == roles
    for row in adapters:
        same, total = row[2].split(" of ")
        assert 0 < int(same) == int(total)
        assert float(row[3]) > 0
        assert row[4] == "-" or float(row[4]) > 0
    assert training[1:3] == ["3", "16"]
    assert [row[1] for row in (one, two)] == ["1", "2"]


@pytest.mark.parametrize("role", gpu.ROLES.values(), ids=gpu.ROLES.keys())
def test_the_options_of_each_role_are_those_of_its_adapter(role: gpu.Role) -> None:
    _, component = resolve("component", role.use, CATALOG)
    file = {"weights": "a.onnx"} if role.use == "onnx_detector" else {"checkpoint": "a/b"}
    check_options(role.use, component, {**role.options, **file})
    assert role.model in TINY.keys() & SIZED.keys()


def test_a_measurement_that_fails_is_a_row_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--checkpoint", f"sam={tmp_path}", "--only", "sam", "onnx_detector", "--seconds", "0"]
    assert gpu.main(["--device", "cpu", "--tiny", *given]) == 1
    sam, onnx = tables(capsys.readouterr().out)
    assert sam[1].startswith("FAILED: ")
    assert onnx[2] == "200 of 200"


def test_after_the_time_is_over_rows_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--tiny", "--minutes", "0", "--only", "sam"]) == 0
    assert tables(capsys.readouterr().out)[0][:2] == ["sam", "not measured: the time is over"]


def test_an_unknown_role_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu", "--checkpoint", "detector=a/b"])
    assert "unknown: detector; known: hf_detector, " in capsys.readouterr().err


def region(x1: float = 2.0, *, label: str = "cat", score: float = 0.5, rle: str = "") -> Region:
    return Region(x1, 1, 12, 9, label, score=score, rle=rle)


def mask(columns: int) -> str:
    pixels = np.zeros((10, 20), bool)
    pixels[:, :columns] = True
    return encode(pixels)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"x1": 2.05, "score": 0.51}, 1),
        ({}, {"x1": 4.0}, 0),
        ({}, {"label": "dog"}, 0),
        ({}, {"score": 0.6}, 0),
        ({"rle": mask(10)}, {"rle": mask(10)}, 1),
        ({"rle": mask(10)}, {"rle": mask(5)}, 0),
        ({"rle": mask(10)}, {}, 0),
    ],
)
def test_regions_are_the_same_within_a_tolerance(one: dict[str, Any], other: dict[str, Any], same: int) -> None:
    first, second = Answer(regions=[region(**one)]), Answer(regions=[region(**other)])
    assert same_answers([SAMPLE], [first], [second]) == (same, 1)


def test_each_annotation_counts_once_in_any_order() -> None:
    texts = [Text("a cat", "brief", score=0.5), Text("a dog", "brief", score=0.5)]
    first, second = Answer(texts=texts), Answer(texts=[*reversed(texts), texts[0]])
    assert same_answers([SAMPLE], [first], [second]) == (2, 3)


def test_vectors_are_the_same_if_they_point_the_same_way() -> None:
    east, north = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    for vector, same in ((east, 1), (north, 0)):
        assert same_answers([SAMPLE], [Answer(embedding=east)], [Answer(embedding=vector)]) == (same, 1)
