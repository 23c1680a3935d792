"""Writes the simulated boxes of `evaluate` as a data set with human labels, for `engine eval`.

Every image is an audit image. A detector and a consensus node have the same boxes; min_score drops those with low
scores. Each image also has captions, phrases that name its labels, and printed words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.named_tables import commit, filled
from engine.layout import IMAGES, TRUTH
from engine.records.assemble import assemble
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import PARSE, SCHEMA_VERSION, Phrase, Region, RegionText, Text, as_row, record_table
from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from filters.judging.apply_rules import judge
from filters.min_score import min_score
from model.evaluate.detections import Detection, TruthImage

IMAGES_A_SHARD = 1000
FLOOR = 0.1
WORDS = ("exit", "open", "north", "bakery", "12th")
# {node: (what it gives, its columns in the record)}
NODES: dict[str, tuple[list[str], list[str]]] = {
    "detector": (["boxes"], []),
    "objects": (["regions"], ["regions"]),
    "ocr": (["ocr"], ["regions", "region_texts"]),
    "captions": (["texts"], ["texts"]),
    "phrases": (["phrases"], ["phrases"]),
}
Row = dict[str, Any]


def write_set(folder: Path, truth: Mapping[str, TruthImage], found: Mapping[str, Sequence[Detection]]) -> None:
    storage = Storage(str(folder))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": IMAGES_A_SHARD}).encode())
    names = sorted(truth)
    for shard, start in enumerate(range(0, len(names), IMAGES_A_SHARD)):
        _write_shard(storage, shard, names[start : start + IMAGES_A_SHARD], truth, found)
    nodes = [
        {"name": name, "key": "k", "folder": f"{name}/sim", "component": name, "gives": gives, "columns": columns}
        for name, (gives, columns) in NODES.items()
    ]
    current = {"schema_version": SCHEMA_VERSION, "nodes": nodes, "judge": {"folder": "judge/sim"}}
    storage.put("current.json", json.dumps(current).encode())


def _write_shard(
    storage: Storage,
    shard: int,
    names: Sequence[str],
    truth: Mapping[str, TruthImage],
    found: Mapping[str, Sequence[Detection]],
) -> None:
    answers = [_answers(truth[name], found[name]) for name in names]
    tables = {}
    for node in NODES:
        rows = [{"image_id": name, **answer[node]} for name, answer in zip(names, answers, strict=True)]
        tables[node] = record_table(rows)
        commit(storage, f"{node}/sim", shard, tables[node])
    people = record_table([{"image_id": name, **_labels(truth[name])} for name in names])
    images = _images(names, truth)
    commits = Commits(storage, IMAGES)
    in_truth = Commits(storage, TRUTH)
    files = {"data": commits.put_table(shard, images), "truth": in_truth.put_table(shard, people)}
    assert commits.commit(Record(shard, 0, files))
    record = assemble([tables[name] for name, (_, columns) in NODES.items() if columns])
    rules: list[Any] = [("min_score", min_score, {"floor": FLOOR})]
    commit(storage, "judge/sim", shard, judge(record, images, PARSE.empty_table(), rules))


def _images(names: Sequence[str], truth: Mapping[str, TruthImage]) -> pa.Table:
    sources = pa.array([[{"source": "sim", "uri": name}] for name in names], IMAGES_SCHEMA.field("sources").type)
    sizes = {"width": [truth[name].width for name in names], "height": [truth[name].height for name in names]}
    split = ["audit-test"] * len(names)
    return filled(pa.table({"image_id": names, "sources": sources, "split": split, **sizes}), IMAGES_SCHEMA)


def _labels(image: TruthImage) -> Row:
    """What people labelled in an image."""
    regions = [Region(*one.box, one.label, id=f"human/{n}") for n, one in enumerate(image.objects)]
    captions = [f"a {one.label} beside a {image.objects[0].label}" for one in image.objects[:5]]
    texts = [Text(text, "brief", id=f"text/{n}") for n, text in enumerate(captions)]
    words, read = _words(score=None)
    return {"regions": _rows([*regions, *words]), "region_texts": _rows(read), "texts": _rows(texts)}


def _answers(image: TruthImage, found: Sequence[Detection]) -> dict[str, Row]:
    """{node: its annotations of an image}."""
    boxes = _rows([Region(*one.box, one.label, score=one.score) for one in found])
    labels = [one.label for one in image.objects[:2]]
    text = " and ".join(f"a {label}" for label in labels)
    phrases = []
    for n, label in enumerate(labels):
        start, named = text.index(label), [k for k, one in enumerate(found) if one.label == label][:5]
        ids = [f"objects/{k}" for k in named]
        phrases.append(Phrase("captions/0", start, start + len(label), ids, id=f"phrases/{n}", score=1.0))
    words, read = _words(score=0.9)
    return {
        "detector": {"regions": [row | {"id": f"detector/{n}"} for n, row in enumerate(boxes)]},
        "objects": {"regions": [row | {"id": f"objects/{n}"} for n, row in enumerate(boxes)]},
        "ocr": {"regions": _rows(words), "region_texts": _rows(read)},
        "captions": {"texts": _rows([Text(text, "brief", id="captions/0", score=1.0)])},
        "phrases": {"phrases": _rows(phrases)},
    }


def _words(*, score: float | None) -> tuple[list[Region], list[RegionText]]:
    places = [(20.0 * n, 600.0, 20.0 * n + 18, 620.0) for n in range(len(WORDS))]
    words = [Region(*box, kind="text", id=f"ocr/{n}", score=score) for n, box in enumerate(places)]
    read = [RegionText(f"ocr/{n}", word, "ocr", id=f"read/{n}", score=score) for n, word in enumerate(WORDS)]
    return words, read


def _rows(items: Sequence[Any]) -> list[Row]:
    return [as_row(item) for item in items]
