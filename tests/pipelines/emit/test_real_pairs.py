"""A release of real photos with labels by people: its manifest counts the pairs that the labels support."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.model import real
from tests.shared_data import shared


def test_a_release_of_coco_proves_what_its_labels_support(tmp_path: Path, without_datasets: None) -> None:
    folder = shared("coco/dev")
    files = {"instances": "instances.json", "images": "images", "captions": "captions.json"}
    source = {"coco": {kind: str(folder / name) for kind, name in files.items()}}
    recipe = {"dataset": str(tmp_path), "ingest": {"sources": [source]}, "annotate": {"people": {"use": "human"}}}
    stages.run(parse_recipe(recipe | {"emit": {"name": "v1"}}), runner="inline")
    release = tmp_path / "releases/v1"
    totals = json.loads((release / "manifest.json").read_text())["pairs"]
    proven, left_out = real.totals(real.coco())
    assert totals["proven"] == proven
    stated = {(task, reason): n for task, reasons in totals["left_out"].items() for reason, n in reasons.items()}
    assert (stated, totals["truncated"]) == (left_out, 5)
    checks = [check for check in verify(str(release)) if "datasets reads" not in check.name]
    assert all(check.ok for check in checks), render_checks(checks)
