"""`engine eval` of annotations on regions: dense captions, and the masks of phrases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.reading.dataset import Dataset
from engine.records import masks
from engine.schema import Answer, Region, RegionText, Sample
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.figures import Evaluation
from pipelines.evaluation.truth import find_truth
from pipelines.recipe import parse_recipe
from pipelines.stages.run import run
from tests.pipelines.evaluation.test_evaluate import CLEAN, coco_json, figure, files_of_the_world


class Describer:
    """Describes each region by its label and four words that are not in the truth."""

    needs: ClassVar[tuple[str, ...]] = ("regions",)
    gives: ClassVar[tuple[str, ...]] = ("region_texts",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [
            Answer(region_texts=[_text(region, n) for n, region in enumerate(sample.regions)], regions=[])
            for sample in batch
        ]


def _text(region: Region, number: int) -> RegionText:
    words = f"a {region.label} on the left there"
    return RegionText(region.id, words, id=str(number), score=0.9, score_kind="confidence", parents=[region.id])


class Outliner:
    """Gives each box its left half as a mask."""

    needs: ClassVar[tuple[str, ...]] = ("regions",)
    gives: ClassVar[tuple[str, ...]] = ("masks",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(regions=[_half(r, sample, n) for n, r in enumerate(sample.regions)]) for sample in batch]


def _half(region: Region, sample: Sample, number: int) -> Region:
    x, (x1, y1, y2) = (region.x1 + region.x2) / 2, (region.x1, region.y1, region.y2)
    rle = masks.from_polygons([[x1, y1, x, y1, x, y2, x1, y2]], width=sample.width, height=sample.height)
    box = (region.x1, region.y1, region.x2, region.y2)
    outline = Region(*box, region.label, rle=rle, merged_into=region.id, id=str(number), parents=[region.id])
    outline.score, outline.score_kind = 0.9, "confidence"
    return outline


def described(path: Path) -> Path:
    """Writes the truth of the drawn world with a caption and an outline, the whole box, for each object."""
    content = json.loads(coco_json(path).read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    for item in content["annotations"]:
        x, y, width, height = item["bbox"]
        item["caption"] = f"A {names[item['category_id']]}."
        item["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("regions")
    files_of_the_world(folder / "photos")
    truth = described(folder / "truth.json")
    source = {"coco": {"instances": str(truth), "images": str(folder / "photos")}}
    wanted: dict[str, Any] = {
        "dataset": str(folder / "set"),
        "ingest": {"sources": [source], "shard_size": 15},
        "annotate": {
            "clean": CLEAN,
            "objects": {"use": "consensus"},
            "describe": {"use": "tests.pipelines.evaluation.test_evaluate_regions:Describer"},
            "outline": {"use": "tests.pipelines.evaluation.test_evaluate_regions:Outliner"},
            "captions": {"use": "composer"},
            "parse": {"use": "spacy_parse"},
            "phrases": {"use": "label_grounder"},
        },
        "filter": [{"min_score": {"floor": 0.0}}],
    }
    for stage in ("ingest", "annotate", "filter"):
        run(parse_recipe(wanted), runner="inline", stage=stage)
    dataset = Dataset.open(str(folder / "set"))
    return evaluate(dataset, find_truth(dataset, str(truth)))


def test_texts_of_regions_are_measured_against_the_captions_of_a_json(measured: Evaluation) -> None:
    """Every box is right. Two of six predicted words are the two true words: F1 0.5, above 5 of 6 thresholds."""
    for of in ("describe", "kept"):
        assert figure(measured, "dense", of, "place") == pytest.approx(1)
        assert figure(measured, "dense", of, "mAP") == pytest.approx(5 / 6)
        assert figure(measured, "dense", of, "words") == pytest.approx(2 * 2 / (2 + 6))


def test_masks_of_unambiguous_phrases_are_measured(measured: Evaluation) -> None:
    """Each mask is half of its box, give or take a column of pixels."""
    for of in ("phrases", "kept"):
        assert figure(measured, "referring", of, "mIoU") == pytest.approx(0.5, abs=0.04)
        assert figure(measured, "referring", of, "oIoU") == pytest.approx(0.5, abs=0.04)
        referring, grounding = (
            next(f.count for f in measured.figures if (f.part, f.of) == (part, of)) for part in PARTS
        )
        assert 0 < referring < grounding


PARTS = ("referring", "grounding")


def test_the_tables_have_both_parts(measured: Evaluation) -> None:
    text = str(measured)
    assert "dense" in text
    assert "  describe" in text
    assert "oIoU" in text
