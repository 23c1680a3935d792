"""A missing package is reported before anything runs, with the command that installs it.

Each test runs a process that cannot import the packages, as after `make demo` or a plain install.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.extras import EXTRAS, how_to_install
from specialists import CATALOG, DOUBLES
from tests.runs import REPO, draw_photos, recipe_data, write_recipe

# What `make demo` does not install.
NOT_IN_DEMO = [module for module, extra in EXTRAS.items() if extra in ("florence", "measure", "readers", "s3")]
# Specialists that load checkpoints of transformers.
ADAPTERS = ("embed", "hf_captioner", "hf_detector", "hf_grounder", "image_text_scorer", "region_captioner", "sam")

ABSENT = """
import json, sys
from importlib.abc import MetaPathFinder

absent, inputs = json.loads(sys.argv[1])

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
COMMANDS = """
from typer.testing import CliRunner
from pipelines.cli.commands import app

answers = []
for arguments in inputs:
    done = CliRunner().invoke(app, arguments)
    answers.append([done.exit_code, done.output, repr(done.exception)])
print(json.dumps(answers))
"""
BUILD = """
from engine.errors import ConfigError
from engine.running.graph import build
from specialists import CATALOG

answers = []
for name, options in inputs:
    try:
        build({"ssd": {"use": "fake_detector"}, "texts": {"use": "fake_captioner"}, "one": {"use": name, **options},
               **({} if name in ("consensus", "spacy_parse") else {"objects": {"use": "consensus"}})}, CATALOG)
        answers.append("")
    except ConfigError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def in_a_process_without(modules: list[str], code: str, inputs: list[Any]) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", ABSENT + code, json.dumps([modules, inputs])],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(REPO)},
    )
    answers: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("absent")
    draw_photos(folder / "photos", 4)
    images = [{"id": n, "file_name": f"{n:05d}.png", "width": 24 + n % 3, "height": 24} for n in range(4)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [2, 2, 9, 9]} for n in range(4)]
    captions = [{"id": n, "image_id": n, "caption": "A grey square."} for n in range(4)]
    (folder / "instances.json").write_text(
        json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]})
    )
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    plain = recipe_data(folder / "set", folder / "photos", {})
    own = {
        "plain": plain,
        "florence": plain
        | {"annotate": {"f": {"use": "florence2", "checkpoint": "a/b", "tasks": ["<OD>"]}}, "filter": []},
        "refine": plain | {"refine": {"rounds": 1}},
        "s3": plain | {"dataset": "s3://bucket/set"},
        "s3 source": plain | {"ingest": plain["ingest"] | {"sources": [{"folder": "s3://bucket/photos"}]}},
    }
    return {name: str(write_recipe(folder / f"{name}.yaml", data)) for name, data in own.items()}


def test_after_make_demo_each_command_works_or_names_the_command_to_install(recipes: dict[str, str]) -> None:
    folder = Path(recipes["plain"]).parent
    truth = ["--truth", str(folder / "instances.json")]
    works = [
        ["run", "-c", recipes["plain"], "--runner", "inline"],
        ["eval", "-c", recipes["plain"], *truth],
    ]
    refused = {
        ("run", "-c", recipes["florence"], "--runner", "inline"): "florence",
        ("run", "-c", recipes["florence"], "--dry-run"): "florence",
        ("run", "-c", recipes["refine"], "--runner", "inline"): "florence",
        ("run", "-c", recipes["refine"], "--dry-run"): "florence",
        ("train", "-c", recipes["plain"]): "florence",
        ("eval", "-c", recipes["plain"], *truth, "--captions", str(folder / "captions.json")): "measure",
        ("eval", "-c", recipes["plain"], *truth, "--fit"): "measure",
        ("run", "-c", recipes["s3"], "--dry-run"): "s3",
        ("run", "-c", recipes["s3 source"], "--dry-run"): "s3",
    }
    answers = in_a_process_without(NOT_IN_DEMO, COMMANDS, [*works, *map(list, refused)])
    for (code, output, _), arguments in zip(answers, works, strict=False):
        assert code == 0, f"{arguments}: {output}"
    for (code, output, raised), (words, extra) in zip(answers[len(works) :], refused.items(), strict=True):
        assert code == 2, f"{words}: {output} {raised}"
        assert re.search(rf"^engine: .*pip install .*'fld5b-engine\[{extra}\]'", output), f"{words}: {output}"
        assert output.count("\n") == 1


def test_without_any_extra_each_component_works_or_names_the_command_to_install() -> None:
    given: dict[str, dict[str, Any]] = {
        "onnx_detector": {"weights": "w.onnx", "head": "yolox"},
        "florence2": {"checkpoint": "a/b", "tasks": ["<OD>"]},
        **{name: {"checkpoint": "a/b"} for name in ADAPTERS},
    }
    names = [name for name in CATALOG if name not in DOUBLES]
    answers = in_a_process_without([*EXTRAS], BUILD, [[name, given.get(name, {})] for name in names])
    errors = {name: error for name, error in zip(names, answers, strict=True) if "needs parse" not in error}
    need = {name: match[1] for name, error in errors.items() if (match := re.search(r"fld5b-engine\[(\w+)\]", error))}
    assert need == {
        "salient_masks": "detect",
        "ssd_mobilenet": "detect",
        "onnx_detector": "detect",
        "label_similarity": "similarity",
        "tags": "tags",
        "nsfw": "safety",
        "language": "language",
        "rapidocr": "ocr",
        "spacy_parse": "text",
        "florence2": "florence",
        **dict.fromkeys(ADAPTERS, "models"),
    }
    assert {name for name, error in errors.items() if error} == set(need)


def test_the_command_to_install_is_for_this_python_and_the_pinned_versions() -> None:
    line = how_to_install("torch")
    assert line.endswith("'fld5b-engine[florence]'")
    assert "constraints.txt" in line
    assert os.path.basename(sys.executable) in line


def test_every_extra_is_one_of_the_project() -> None:
    import tomllib

    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS.values()) <= set(extras)


def test_an_older_python_gets_one_sentence() -> None:
    code = "import sys\nsys.version_info = (3, 9, 1)\nimport pipelines"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPO)
    assert done.returncode == 1
    assert done.stderr.startswith("engine: this is Python 3.9, but 3.11 or later is needed")
    assert done.stderr.count("\n") == 1
