"""Data sets whose releases have every format at once. A new line of FORMATS is included without a change here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from engine.schema import Answer, Region, Sample
from pipelines.emit.writers import FORMATS
from pipelines.recipe import Recipe
from specialists.synthetic.shapes import CLASSES
from tests.runs import recipe

CHOSEN = [name for name in FORMATS if name != "embeddings"]  # emit.embeddings adds the other one
SPLITS = {"valid": 0.3, "test": 0.2, "by": "image"}
WORLD = "world://?images={images}&size=64&max_objects=3&words=1"


class SceneLabels:
    """All true labels of a scene: objects with masks, printed words with quads, texts and phrases.

    Each second scene also has a crowd, and each third has no labels at all.
    """

    needs: ClassVar[tuple[str, ...]] = ("scene",)
    gives: ClassVar[tuple[str, ...]] = ("regions", "ocr", "texts", "phrases")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: ClassVar[str] = ""

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(sample) for sample in batch]

    def _answer(self, sample: Sample) -> Answer:
        number = int(sample.image_id, 16)
        if number % 3 == 0:
            return Answer()
        regions = list(sample.regions)
        if number % 2 and regions:
            crowd = Region(0, 0, sample.width, 9, regions[0].label, id=f"{regions[0].producer}/crowd")
            regions.append(replace(crowd, producer=regions[0].producer, score_kind="crowd"))
        return Answer(texts=sample.texts, regions=regions, region_texts=sample.region_texts, phrases=sample.phrases)


def world(folder: Path | str, images: int = 7, **changes: Any) -> Recipe:
    """A recipe for a release of drawn scenes in every format, with splits and embeddings, in shards of three images."""
    annotate = {
        "people": {"use": "tests.pipelines.emit.every_format:SceneLabels"},
        "embed": {"use": "fake_embedder"},
    }
    options = emit_options(splits=SPLITS) if images > 2 else emit_options()  # each split needs an image
    ingest = {"sources": [WORLD.format(images=images)], "shard_size": 3}
    return recipe(
        folder,
        "",
        {},
        **{"ingest": ingest, "annotate": annotate, "filter": [], "emit": options, **changes},
    )


def emit_options(labels: Sequence[str] = CLASSES, **more: Any) -> dict[str, Any]:
    """The section `emit` of a recipe with every format. `labels`: emit.label_list."""
    return {"name": "v1", "formats": CHOSEN, "label_list": list(labels), "embeddings": ["embed"], **more}
