"""Small shards in one line: a test gives the fields that matter to it, and the builder fills in the rest.

Annotations are dictionaries (`region(score=0.2)`); `row` is an image, `record` a shard. Ids are "<producer>/<n>"
unless given. Images are 100 x 100 by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from engine.schema import ANNOTATIONS, IMAGES, PARSE, Region, as_row, record_table, text_key
from filters.judging.apply_rules import judge

Row = dict[str, Any]


def annotation(given: Mapping[str, Any], **defaults: Any) -> Row:
    common = {"id": "", "producer": "model", "round": 0, "score": 0.9, "score_kind": "confidence", "parents": []}
    return defaults | common | dict(given)


def region(box: Sequence[float] = (10, 10, 60, 60), **given: Any) -> Row:
    x1, y1, x2, y2 = map(float, box)
    return annotation(given, **as_row(Region(x1, y1, x2, y2, "cat")))


def text(words: str = "A cat sleeps.", granularity: str = "brief", **given: Any) -> Row:
    return annotation(given, text=words, granularity=granularity, text_key=text_key(words))


def region_text(region_id: str, words: str = "a cat", **given: Any) -> Row:
    return annotation(given, region_id=region_id, text=words, granularity="brief")


def phrase(text_id: str, start: int = 0, end: int = 5, region_ids: Sequence[str] = (), **given: Any) -> Row:
    return annotation(given, text_id=text_id, char_start=start, char_end=end, region_ids=list(region_ids))


def tag(label: str = "animal", **given: Any) -> Row:
    return annotation(given, label=label)


def image_score(name: str = "sharpness", value: float = 1.0, **given: Any) -> Row:
    return annotation(given, name=name, value=value, code="")


def row(image_id: str = "", **columns: Any) -> Row:
    """One image: row(regions=[region()], texts=[...])."""
    number = 0
    for name in ANNOTATIONS:
        for item in columns.get(name, []):
            if not item["id"]:
                item["id"] = f"{item['producer']}/n{number}"
                number += 1
    return {"image_id": image_id, **columns}


def record(*rows: Row, **columns: Any) -> pa.Table:
    """A shard of these images, or of the one image whose columns are given: record(regions=[region()])."""
    made = [*rows, *([row(**columns)] if columns else [])]
    return record_table([image | {"image_id": image["image_id"] or f"{n:032x}"} for n, image in enumerate(made)])


def failure(**given: Any) -> Row:
    return {"component": "detector", "reason": "error", "error": "it broke", "attempts": 3} | given


def images(shard: pa.Table, width: int = 100, height: int = 100) -> pa.Table:
    """The images table of a shard, all of one size, none of them like another."""
    plain: Row = {"sources": [], "format": "PNG", "licence": "", "split": "train", "bytes": 1, "uri": "", "offset": 0}
    size = {"width": width, "height": height, "length": -1}
    ids = shard.column("image_id").to_pylist()
    table = pa.Table.from_pylist([{"image_id": image_id, **plain, **size} for image_id in ids], schema=IMAGES)
    for name in ("same_distance", "semantic_distance", "audit_distance"):
        table = table.append_column(name, pa.array([None] * len(ids), pa.float64()))
    return table


def parsed(words: str = "A cat sleeps.", **given: Any) -> Row:
    """The parse of a text: parsed("...", tokens=3, objects=["cat"], object_complexity=2.0)."""
    names = ("objects", "objects_paper", "attributes", "attributes_paper", "actions", "proper_nouns")
    made: Row = {name: [] for name in names} | {"text_key": text_key(words), "chunks": [], "failures": []}
    made |= {"tokens": 8, "raw_tokens": 9, "sentences": 1, "object_complexity": 9.0, "action_complexity": 9.0} | given
    for name in ("object_complexity", "action_complexity"):
        made[name] = dict.fromkeys(("paper", "mean", "max"), made[name])
    return made


def parse(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=PARSE)


def reasons(
    shard: pa.Table,
    *rules: Callable[..., Any] | tuple[Callable[..., Any], Mapping[str, Any]],
    parse: pa.Table | None = None,
    sizes: pa.Table | None = None,
) -> dict[str, str]:
    """{annotation id, or image id: the rule that dropped it, '' for kept} after these rules, with these options."""
    pairs = [rule if isinstance(rule, tuple) else (rule, {}) for rule in rules]
    named = [(rule.__name__, rule, options) for rule, options in pairs]
    verdicts = judge(shard, images(shard) if sizes is None else sizes, parse, named)
    found: dict[str, str] = {}
    for image in verdicts.to_pylist():
        for verdict in (image["image"], *(verdict for name in ANNOTATIONS for verdict in image[name])):
            found[verdict["id"]] = verdict["rule"]
    return found
