"""The code in CONTRIBUTING.md runs: each block is written to the file it names and imported, as a user would.

The blocks do not depend on this test. The test depends only on the names in the blocks and on what the page promises.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engine.config.catalog import check_options, resolve
from engine.errors import ConfigError
from engine.records.answers import check_answer, number
from engine.running.graph import build
from engine.schema import IMAGES, Sample, as_row, record_table
from filters.judging.apply_rules import judge
from pipelines.recipe import Recipe, load_recipe

PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"^```(?:python|yaml)\n# ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page in a folder that Python imports from."""
    names = []
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        names.append(name.removesuffix(".py"))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def specialist(folder: Path) -> Any:
    module: ModuleType = importlib.import_module("photo_sharpness")
    made = module.Sharpness()
    made.load()
    return made


@pytest.fixture
def recipe(folder: Path) -> Recipe:
    return load_recipe(folder / "sharp.yaml")


def photo(name: str, *, blurred: bool) -> Sample:
    """A photo of noise, or a blurred copy of it."""
    pixels = np.random.default_rng(7).integers(0, 256, (48, 64, 3), np.uint8)
    if blurred:
        pixels = np.full_like(pixels, 128)
    return Sample(image_id=name, width=64, height=48, pixels=pixels)


def test_every_block_of_code_names_its_file() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"^```(?:python|yaml)$", text, re.MULTILINE)) == len(BLOCK.findall(text)) == 3


def test_the_specialist_answers_each_photo_as_it_declares(specialist: Any) -> None:
    batch = [photo("sharp", blurred=False), photo("blurred", blurred=True)]
    answers = specialist.annotate(batch)
    assert [check_answer(answer, sample, specialist.gives) for answer, sample in zip(answers, batch, strict=True)] == [
        "",
        "",
    ]
    sharp, blurred = (answer.image_scores[0].value for answer in answers)
    assert sharp > 1000 > blurred == 0


def test_answers_of_the_specialist_do_not_depend_on_the_batch(specialist: Any) -> None:
    batch = [photo("sharp", blurred=False), photo("blurred", blurred=True)]
    assert specialist.annotate(batch) == [specialist.annotate([sample])[0] for sample in batch]


def test_the_specialist_answers_an_image_of_one_pixel(specialist: Any) -> None:
    sample = Sample(image_id="dot", width=1, height=1, pixels=np.zeros((1, 1, 3), np.uint8))
    assert specialist.annotate([sample])[0].image_scores[0].value == 0


def test_the_recipe_makes_a_node_of_the_specialist(recipe: Recipe) -> None:
    (node,) = build(recipe.annotate, {})
    assert (node.name, node.target, node.options["tiles"]) == ("sharpness", "photo_sharpness:Sharpness", 3)


def test_the_floor_can_be_set_from_the_command_line(folder: Path) -> None:
    (setting,) = re.findall(r"--set (\S+)", PAGE.read_text(encoding="utf-8"))
    recipe = load_recipe(folder / "sharp.yaml", [setting])
    assert recipe.filter == [{"sharp_enough:sharp_enough": {"floor": 120}}]


def test_a_wrong_option_of_the_specialist_gets_the_nearest_right_one(recipe: Recipe) -> None:
    wrong = {"sharpness": recipe.annotate["sharpness"] | {"tile": 3}}
    with pytest.raises(ConfigError, match="did you mean 'tiles'"):
        build(wrong, {})


def test_the_filter_drops_the_blurred_photo_with_a_reason(specialist: Any, recipe: Recipe) -> None:
    batch = [photo("sharp", blurred=False), photo("blurred", blurred=True)]
    verdicts = judged(specialist, batch, recipe.filter[0])
    assert verdicts == [
        {"id": "sharp", "kept": True, "rule": "", "value": None, "threshold": None},
        {"id": "blurred", "kept": False, "rule": "sharp_enough", "value": 0.0, "threshold": 80.0},
    ]


def judged(specialist: Any, batch: list[Sample], entry: Any) -> list[dict[str, Any]]:
    """Annotates, checks the answers and applies the rule, as the engine does."""
    rows = []
    for sample, answer in zip(batch, specialist.annotate(batch), strict=True):
        number(answer, "sharpness")
        rows.append({"image_id": sample.image_id, "image_scores": [as_row(item) for item in answer.image_scores]})
    ((name, options),) = entry.items()
    _, rule = resolve("filter", name, {})
    rules = [(name, rule, check_options(name, rule, options))]
    found: list[dict[str, Any]] = judge(record_table(rows), images(batch), None, rules).column("image").to_pylist()
    return found


def images(batch: list[Sample]) -> Any:
    row: dict[str, Any] = {field.name: [] if field.name == "sources" else None for field in IMAGES}
    empty = {"format": "PNG", "licence": "", "split": "train", "bytes": 1, "uri": "", "offset": 0, "length": -1}
    rows = [row | empty | {"image_id": one.image_id, "width": one.width, "height": one.height} for one in batch]
    return type(record_table([])).from_pylist(rows, schema=IMAGES)
