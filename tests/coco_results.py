"""Real data for the measures, from the folder of shared data: COCO's labels, and the answers of real detectors."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from engine.records import masks
from engine.records.boxes import Box
from engine.schema import Region
from model.evaluate.detections import Detection, Truth, TruthImage

DETECTORS = ("yolox_nano", "nanodet_m", "fastestdet")


@functools.cache
def read(path: Path) -> Any:
    return json.loads(path.read_text())


def name_of(image: int) -> str:
    """The name of an image. Names sort like COCO's numbers."""
    return f"{image:012}"


def edges(box: Collection[float]) -> Box:
    x, y, width, height = box
    return (x, y, x + width, y + height)


@functools.cache
def coco_truth(path: Path, *, split: str = "") -> dict[str, TruthImage]:
    """With COCO's own areas. `split`: of COCO, to take only some images."""
    data = read(path)
    labels = {category["id"]: category["name"] for category in data["categories"]}
    images = [i for i in data["images"] if split in ("", i.get("coco_split"))]
    sizes = {i["id"]: (i["width"], i["height"]) for i in images}
    objects: dict[int, list[Truth]] = {i["id"]: [] for i in images}
    for a in data["annotations"]:
        if a["image_id"] in objects:
            rle = counts(a["segmentation"], *sizes[a["image_id"]])
            thing = Truth(labels[a["category_id"]], edges(a["bbox"]), rle, bool(a["iscrowd"]), a["area"])
            objects[a["image_id"]].append(thing)
    return {name_of(i): TruthImage(*sizes[i], tuple(objects[i])) for i in objects}


@functools.cache
def coco_found(path: Path, truth_path: Path) -> dict[str, list[Detection]]:
    labels = {category["id"]: category["name"] for category in read(truth_path)["categories"]}
    found: dict[str, list[Detection]] = {}
    for row in read(path):
        rle = row.get("segmentation", {}).get("counts", "")
        box = edges(row.get("bbox", (0, 0, 0, 0)))
        found.setdefault(name_of(row["image_id"]), []).append(
            Detection(labels[row["category_id"]], box, row["score"], rle)
        )
    return found


def counts(segmentation: Any, width: int, height: int) -> str:
    if isinstance(segmentation, list):
        return masks.from_polygons(segmentation, width=width, height=height)
    return masks.from_counts(segmentation["counts"], width=width, height=height)


def some(found: Mapping[str, list[Detection]], images: Collection[str]) -> dict[str, list[Detection]]:
    return {name: rows for name, rows in found.items() if name in images}


def as_regions(found: Mapping[str, Mapping[str, list[Detection]]], image: str) -> list[Region]:
    """The regions of each producer in one image, with the ids that a worker would give them."""
    regions = []
    for producer, answers in found.items():
        for n, one in enumerate(answers.get(image, [])):
            region = Region(*one.box, label=one.label, id=f"{producer}/{n}", producer=producer, score=one.score)
            regions.append(region)
    return regions
