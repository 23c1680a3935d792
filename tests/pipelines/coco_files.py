"""Writes a COCO json with one image and one category, and whatever else a test needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.schema import Answer
from pipelines.ingest.sources.coco import CocoJson
from pipelines.ingest.sources.source import Entry

NAN, INF = float("nan"), float("inf")


def coco(
    root: Path, annotations: Sequence[Any], *, images: Sequence[Any] = (), categories: Sequence[Any] = (), **image: Any
) -> CocoJson:
    """A source with one image of 12 x 8 pixels and one category, and the given rows."""
    licences = image.pop("licenses", [{"id": 4, "name": "CC BY 2.0"}])
    content = {
        "licenses": licences,
        "categories": [{"id": 7, "name": "cat"}, *categories],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 12, "height": 8, "license": 4, **image}, *images],
        "annotations": [{"id": n, "image_id": 1, "category_id": 7, **item} for n, item in enumerate(annotations)],
    }
    (root / "instances.json").write_text(json.dumps(content))
    return CocoJson(str(root / "instances.json"), str(root))


def only(source: CocoJson) -> Entry:
    (entry,) = source.entries()
    return entry


def labels(source: CocoJson) -> Answer:
    return only(source).labels or Answer()


def corners(found: Answer | None) -> list[tuple[float, ...]]:
    assert found is not None
    return [(region.x1, region.y1, region.x2, region.y2) for region in found.regions]


def note(source: CocoJson) -> str:
    return " ".join(source.notes)
