"""A user's own specialist: a file outside the package, and one sentence for each thing that it may get wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.running.graph import build
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, failures, recipe_data

OWN = '''\
import numpy as np

from engine.schema import Answer, ImageScore


class Brightness:
    """How bright a photo is. power: of the levels before the mean."""

    needs = ("pixels",)
    gives = ("image_scores", "embeddings")
    version = 1
    deterministic = True
    embedding_size = 3

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def load(self) -> None: ...

    def annotate(self, batch):
        means = [(sample.pixels.mean((0, 1)) + 1) ** self.power for sample in batch]
        scores = [[ImageScore("brightness", float(mean.mean()), score=1.0)] for mean in means]
        return [Answer(image_scores=own, embedding=mean / np.linalg.norm(mean)) for own, mean in zip(scores, means)]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder where the command runs, which holds the user's file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own", None)


def write(folder: Path, changes: dict[str, str]) -> None:
    text = OWN
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "own.py").write_text(text, encoding="utf-8")


def run(folder: Path, **options: Any) -> Path:
    draw_photos(folder / "photos", 3)
    data = recipe_data(folder / "set", folder / "photos", {}, emit={"licences": options.pop("licences", [])})
    data |= {"annotate": {"light": {"use": "own:Brightness", **options}}, "filter": []}
    stages.run(parse_recipe(data), runner="inline")
    return folder / "set"


def test_it_has_fewer_than_25_lines_and_its_answers_are_released(folder: Path) -> None:
    write(folder, {})
    assert len(OWN.splitlines()) < 25
    dataset = run(folder, power=2.0)
    found = Dataset.open(str(dataset))
    assert query(found, "SELECT count(*) AS n FROM image_scores WHERE name = 'brightness'").to_pylist() == [{"n": 3}]
    assert query(found, "SELECT count(*) AS n FROM embeddings").to_pylist() == [{"n": 3}]
    assert len(list(dataset.glob("releases/*/manifest.json"))) == 1


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        ({'    needs = ("pixels",)\n': ""}, {}, "'own:Brightness' is not a specialist: it does not declare 'needs'"),
        ({'needs = ("pixels",)': 'needs = ("pixels")'}, {}, r"declares `needs` as the text 'pixels', expected a tuple"),
        ({'needs = ("pixels",)': 'needs = ("pixel",)'}, {}, r"Unknown resource declared by .* did you mean 'pixels'\?"),
        ({'needs = ("pixels",)': 'needs = ("masks",)'}, {}, "needs masks, which no node gives: add a node"),
        ({}, {"powr": 2.0}, r"Unknown option of annotate.light \(own:Brightness\) 'powr': did you mean 'power'\?"),
        ({}, {"weights_license": "mit"}, "'weights_license': did you mean 'weights_licence'"),
        ({}, {"power": "much"}, "Option 'power' of annotate.light .* is 'much': input should be a valid number"),
        ({}, {"use": "owm:Brightness"}, r"no module 'owm' for the component 'owm:Brightness': did you mean 'own'\?"),
        ({}, {"use": "own:Bright"}, r"Unknown component in 'own' 'Bright': did you mean 'Brightness'\?"),
        (
            {"self.power = power": "self.power = power\n        self.weights = ('gone.onnx',)"},
            {},
            "No file at 'gone.onnx'",
        ),
        ({"self.power = power": "self.power = pover"}, {}, "cannot be created: NameError: .*pover"),
        ({"import numpy as np": "import nunpy as np"}, {}, "needs the package nunpy"),
        ({"version = 1": "version = 1 +"}, {}, r"cannot be imported: SyntaxError: .*own.py, line 11"),
    ],
)
def test_what_is_wrong_in_the_file_or_the_recipe_is_one_sentence_before_any_work(
    folder: Path, changes: dict[str, str], options: dict[str, Any], sentence: str
) -> None:
    write(folder, changes)
    with pytest.raises(EngineError, match=sentence) as error:
        build({"light": {"use": "own:Brightness", **options}}, {})
    assert "\n" not in str(error.value)


def test_without_stated_licences_it_is_unknown_and_a_release_that_lists_some_is_refused(folder: Path) -> None:
    write(folder, {})
    with pytest.raises(EngineError, match=r"light \(own:Brightness\) has code under 'unknown'"):
        run(folder, licences=["apache-2.0"])
    run(folder, licences=["apache-2.0"], code_licence="apache-2.0", weights_licence="")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"return [Answer": "[Answer"}, "gave a NoneType, expected a list with one answer for each item"),
        ({"zip(scores, means)]": "zip(scores, means)][1:]"}, "0 answers for a batch of 1: give one for each"),
        (
            {"return [Answer(image_scores=own, embedding=mean / np.linalg.norm(mean))": "return [own"},
            "expected an Answer",
        ),
        ({"mean / np.linalg.norm(mean)": "mean"}, "an embedding of length .*, expected 1: divide it by its length"),
        ({"embedding=mean / np.linalg.norm(mean)": "tags=[]"}, "no embedding, although it declares `embeddings`"),
        ({"embedding_size = 3": "embedding_size = 4"}, "an embedding of 3 numbers, expected 4"),
        ({', "embeddings")': ",)"}, "gave an embedding, but does not declare `embeddings`"),
        ({'gives = ("image_scores", ': 'gives = ("tags", '}, "gave image_scores, which it does not declare"),
        ({", score=1.0": ""}, "image_scores without a score"),
        ({"(0, 1)": "(0, 5)"}, r"AxisError: .*\(own.py:21\)"),
    ],
)
def test_a_wrong_answer_is_a_failure_of_each_image_with_one_sentence(
    folder: Path, changes: dict[str, str], sentence: str
) -> None:
    write(folder, changes)
    with pytest.raises(EngineError, match=r"light failed on all 3 images it got; the first error: .*correct it"):
        run(folder)
    found = failures(folder / "set", "light")
    assert len(found) == 3
    assert all(re.search(sentence, failure["error"]) and "\n" not in failure["error"] for failure in found), found[0]
