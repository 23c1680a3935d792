"""A small recipe with rounds on drawn scenes, and what the tests of rounds read of its data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.recipe import parse_recipe
from pipelines.stages.run import Summary, run

Data = dict[str, Any]
OPEN = {"min_agreement": 0.0, "max_dropped": 1.0, "max_relabelled": 1.0, "max_added": 20.0, "max_f1_fall": 1.0}
OPEN |= {"class_fall": 1.0, "min_right": 0.0}
BELIEVE = {"add": 0.0, "relabel": 0.0, "drop": 0.02}


def recipe_data(dataset: Path, **refine: Any) -> Data:
    return {
        "dataset": str(dataset),
        "ingest": {
            "sources": ["world://?images=40&size=64&words=0"],
            "shard_size": 20,
            "audit": {"fraction": 0.3},
        },
        "annotate": {"noisy": {"use": "noisy_annotator"}, "objects": {"use": "consensus"}},
        "filter": [{"min_score": {"floor": 0.35}}, {"nms": {"across": 0.5}}],
        "emit": {"name": "v1", "pairs": {"order": "reading", "tasks": ["<OD>"]}},
        "train": {"size": 64, "vocabulary": 300, "steps": 16, "batch_size": 4, "warmup": 2, "checkpoint_every": 4},
        "refine": {"rounds": 2, "steps_later": 8, "max_new_tokens": 40, "merge": BELIEVE, "gate": OPEN, **refine},
    }


def go(data: Data, stage: str | None = None) -> Summary:
    return run(parse_recipe(data), stage=stage, runner="inline")


def query_rows(data: Data, sql: str) -> list[dict[str, Any]]:
    return query(Dataset.open(data["dataset"]), sql).to_pylist()


def decisions(data: Data) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(Path(data["dataset"]).glob("rounds/*.json"))]


def current(data: Data) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(data["dataset"], "current.json").read_bytes())
    return found
