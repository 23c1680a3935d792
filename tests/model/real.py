"""Records of real photos from the shared data, with human annotations only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from engine.schema import as_row
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from pipelines.ingest.sources.coco import CocoJson
from tests.builders import Row, region, region_text, row
from tests.shared_data import shared


def coco() -> Iterator[tuple[Row, int, int]]:
    """(record, width, height) of 90 photos: boxes, masks, category names, captions."""
    folder = shared("coco/dev")
    photos = CocoJson(str(folder / "instances.json"), str(folder / "images"), str(folder / "captions.json"))
    for entry in photos.entries():
        assert entry.labels
        columns = {name: [as_row(item) for item in getattr(entry.labels, name)] for name in ("texts", "regions")}
        yield row(entry.uri, **columns), entry.width, entry.height


def scene_text() -> Iterator[tuple[Row, int, int]]:
    """(record, width, height) of 39 photos: quads of printed words; illegible ones have no text."""
    content = json.loads((shared("scene_text/dev") / "annotations.json").read_text())
    for image in content["images"]:
        own = [item for item in content["annotations"] if item["image_id"] == image["id"]]
        regions = [
            region((x, y, x + w, y + h), kind="text", label="", quad=item["quad"], id=f"human/{item['id']}", score=None)
            for item in own
            for x, y, w, h in [item["bbox"]]
        ]
        words = [
            region_text(f"human/{item['id']}", item["text"], granularity="ocr", id=f"words/{item['id']}", score=None)
            for item in own
            if item["legible"]
        ]
        yield row(image["file_name"], regions=regions, region_texts=words), image["width"], image["height"]


def totals(
    records: Iterator[tuple[Row, int, int]], **options: Any
) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """(number of pairs by task, number left out by (task, reason))."""
    proven: Counter[str] = Counter()
    left_out: Counter[tuple[str, str]] = Counter()
    for record, width, height in records:
        compiled = compile_pairs(record, width=width, height=height, options=PairOptions(**options))
        proven += compiled.proven
        left_out += compiled.left_out
    return dict(proven), dict(left_out)
