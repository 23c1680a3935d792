"""Printed words of a COCO-style json: measured by `eval --truth`, with categories and without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.schema import Answer, Region, RegionText, Sample
from model.evaluate.words import Word
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.truth import find_truth
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run
from tests.pipelines.evaluation.test_evaluate import figure

WIDTH, HEIGHT = 60, 40


class Reader:
    """Reads "CAFE" at the top of every image, and "NOISE" at the bottom."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("ocr",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    batch_size = 4

    def load(self) -> None:
        """Nothing to load."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._read() for _ in batch]

    def _read(self) -> Answer:
        answer = Answer()
        for number, (words, top) in enumerate((("CAFE", 0), ("NOISE", 20))):
            region = Region(0, top, 30, top + 10, kind="text", id=str(number), score=0.9, score_kind="confidence")
            answer.regions.append(region)
            words_there = RegionText(region.id, words, "ocr", id=f"t{number}", score=0.9, score_kind="confidence")
            answer.region_texts.append(words_there)
        return answer


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("words")
    (folder / "photos").mkdir()
    for number in range(2):
        Image.new("RGB", (WIDTH, HEIGHT), (number * 90, 0, 0)).save(folder / "photos" / f"{number}.png")
    recipe = {
        "dataset": str(folder / "set"),
        "ingest": {"sources": [{"folder": str(folder / "photos")}]},
        "annotate": {"reader": {"use": "tests.pipelines.evaluation.test_truth_words:Reader"}},
    }
    for stage in ("ingest", "annotate", "filter"):
        run(parse_recipe(recipe), runner="inline", stage=stage)
    return Dataset.open(str(folder / "set"))


def json_of(folder: Path, annotations: Sequence[dict[str, Any]], categories: Sequence[str] | None = None) -> str:
    content: dict[str, Any] = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT} for number in range(2)
        ],
        "annotations": [{"id": n, "image_id": 0, "bbox": [0, 0, 30, 10]} | row for n, row in enumerate(annotations)],
    }
    if categories is not None:
        content["categories"] = [{"id": number, "name": name} for number, name in enumerate(categories)]
    path = folder / "words.json"
    path.write_text(json.dumps(content))
    return str(path)


def words_of(dataset: Dataset, path: str) -> tuple[list[Word], list[str]]:
    """The words and the object labels of the first image."""
    truth = find_truth(dataset, path)
    first = max(truth.words, key=lambda name: len(truth.words[name]))
    return truth.words[first], [thing.label for thing in truth.objects[first].objects]


def test_a_json_without_categories_is_read_for_its_words_and_accents_make_no_difference(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = json_of(tmp_path, [{"text": "Café"}, {"text": "", "bbox": [0, 20, 30, 10]}])
    assert words_of(dataset, path) == (
        [Word("Café", (0, 0, 30, 10)), Word("", (0, 20, 30, 30), legible=False)],
        [],
    )
    found = evaluate(dataset, find_truth(dataset, path))
    assert figure(found, "words", "reader", "bag recall") == 1
    # Both words in the second image, which has no true words, are wrong. Reading the illegible word is not.
    assert figure(found, "words", "reader", "place precision") == pytest.approx(1 / 3)
    assert not [one for one in found.figures if one.part == "boxes"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "OPEN", "legible": True}, "OPEN"),
        ({"utf8_string": "OPEN", "legibility": "legible"}, "OPEN"),
        ({"utf8_string": "OPEN", "legibility": "illegible"}, ""),
        ({"text": "OPEN", "legible": False}, ""),
        ({"text": "###"}, ""),
        ({"text": " \n"}, ""),
    ],
)
def test_illegible_words_need_not_be_read(dataset: Dataset, tmp_path: Path, row: dict[str, Any], words: str) -> None:
    found, objects = words_of(dataset, json_of(tmp_path, [row | {"category_id": 0}], ["text"]))
    assert [(one.text, one.legible) for one in found] == [(words, bool(words))]
    assert objects == []


def test_an_annotation_with_a_category_and_text_is_an_object_and_a_word(dataset: Dataset, tmp_path: Path) -> None:
    rows = [{"category_id": 0, "text": "STOP"}, {"category_id": 1}]
    found, objects = words_of(dataset, json_of(tmp_path, rows, ["stop sign", "text"]))
    assert [one.text for one in found] == ["STOP"]
    assert objects == ["stop sign", "text"]  # without text a category named 'text' is an object


def test_an_annotation_without_text_needs_a_category(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of its annotations has category_id or text"):
        find_truth(dataset, json_of(tmp_path, [{}]))
