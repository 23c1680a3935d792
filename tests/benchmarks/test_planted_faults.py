"""The data set with planted faults: which faults a seed gives, and what is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import yaml

from benchmarks.planted_faults import Faults, choose, prepare
from tests.shared_data import ROOT, shared


def test_the_labels_of_one_class_have_the_name_of_another_one(tmp_path: Path) -> None:
    true = json.loads((shared("coco") / "dev" / "instances.json").read_text(encoding="utf-8"))
    recipe = yaml.safe_load(prepare(tmp_path, ROOT, seed=3).read_text(encoding="utf-8"))
    faults = Faults(**json.loads((tmp_path / "answers.json").read_text(encoding="utf-8")))
    assert faults == choose(3, true)
    names = {category["id"]: category["name"] for category in true["categories"]}
    given = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    before, after = (Counter(names[box["category_id"]] for box in one["annotations"]) for one in (true, given))
    assert after[faults.swapped] == 0
    assert after[faults.named] == before[faults.named] + before[faults.swapped]
    assert after.total() == before.total()
    assert list((tmp_path / faults.source).iterdir()) == []
    assert faults.rule in recipe["filter"]


def test_seeds_give_different_faults() -> None:
    true = json.loads((shared("coco") / "dev" / "instances.json").read_text(encoding="utf-8"))
    assert len({(one.swapped, next(iter(one.rule))) for one in (choose(seed, true) for seed in range(10))}) > 3
