"""Reports that the tests of this folder open: of the demo, of human labels, of refined scenes, and of attacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.reading.dataset import Dataset
from pipelines.analyse.report import report
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.browser.hostile_set import hostile_set
from tests.pipelines.stages.kept_data_set import unpacked
from tests.shared_data import shared

READY = "html[data-ready]"


@dataclass(frozen=True)
class MadeReport:
    dataset: Path
    page: Path


def people_set(folder: Path) -> Path:
    """Photos of COCO with the boxes and captions of people, parsed and grounded by rule."""
    coco = shared("coco/dev")
    files = {"instances": "instances.json", "images": "images", "captions": "captions.json"}
    recipe = {
        "dataset": str(folder / "set"),
        "ingest": {"sources": [{"coco": {kind: str(coco / name) for kind, name in files.items()}}]},
        "annotate": {
            "people": {"use": "human"},
            "objects": {"use": "consensus"},
            "parse": {"use": "spacy_parse"},
            "phrases": {"use": "label_grounder"},
        },
        "filter": ["box_size", "nms", "text_length", "ungrounded_phrase"],
        "emit": {"name": "v1"},
    }
    stages.run(parse_recipe(recipe), runner="inline")
    return folder / "set"


def refined_set(folder: Path) -> Path:
    """Ten drawn scenes with one accepted round of refinement, kept in tests/golden."""
    return unpacked("a1a8a12", folder)


MAKERS: Mapping[str, Callable[[Path], Path]] = {"people": people_set, "refined": refined_set, "hostile": hostile_set}
NAMES = ("demo", *MAKERS)


class Reports:
    """Makes each report when a test first asks for it."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self._folder, self._request = folder, request
        self._made: dict[str, MadeReport] = {}

    def __getitem__(self, name: str) -> MadeReport:
        if name not in self._made:
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            dataset = self._request.getfixturevalue("quickstart") if name == "demo" else MAKERS[name](folder)
            made = report(Dataset.open(str(dataset)), out=str(folder / "report"))
            self._made[name] = MadeReport(dataset, Path(made.page))
        return self._made[name]
