"""A small data set written by hand, so that every right answer about it is known: eight inputs, five images.

Two shards: cat (listed twice), cup and tiny; page and crash. The input `broken` is no image, and `later` was not
probed yet. Two detectors, a person, consensus, OCR, captions, their parse, grounded phrases and a mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from engine.images.decode import image_id
from engine.reading.dataset import Dataset
from engine.records import masks
from engine.schema import ANNOTATIONS, IMAGES, INPUTS, PARSE, PROBE, SCHEMA_VERSION, VERDICTS, record_table
from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from tests.builders import Row, failure, parsed, phrase, region, region_text, text

SIZES = {"cat": (120, 80), "cup": (100, 100), "tiny": (16, 16), "page": (160, 100), "crash": (40, 40)}
SHARDS = (("cat", "cup", "tiny"), ("page", "crash"))
LISTED = ("cat", "cat-copy", "cup", "tiny", "page", "crash", "broken"), ("later",)  # two chunks

# name, component, over, inputs, gives, columns of the record
NODES: Sequence[tuple[str, str, str, list[str], list[str], list[str]]] = (
    ("human", "human", "images", [], ["boxes"], []),
    ("ssd", "ssd_mobilenet", "images", [], ["boxes"], []),
    ("yolo", "onnx_detector", "images", [], ["boxes"], []),
    ("objects", "consensus", "images", ["human", "ssd", "yolo"], ["regions"], ["regions"]),
    ("ocr", "rapidocr", "images", [], ["ocr"], ["regions", "region_texts"]),
    ("captions", "composer", "images", ["objects", "ocr"], ["texts"], ["texts"]),
    ("parse", "spacy_parse", "texts", ["captions"], ["parse"], []),
    ("grounder", "label_grounder", "images", ["objects", "captions", "parse"], ["phrases"], ["phrases"]),
    ("outline", "grabcut", "images", ["objects"], ["masks"], ["regions"]),
)
QUAD = [10, 10, 100, 12, 100, 30, 10, 28]
SKIPPED = [failure(component="objects", reason="skipped", error="yolo failed", attempts=0)]
BROKEN = [failure(component="ingest", reason="not_an_image", error="its first bytes are of no known image format")]

# (rule, value, threshold) of what is dropped; everything else is kept.
DROPPED: Mapping[str, Mapping[str, tuple[str, float | None, float | None]]] = {
    "cat": {
        "objects/1": ("min_score", 0.2, 0.3),
        **dict.fromkeys(("ssd/0", "ssd/1", "yolo/0", "outline/0"), ("merged", None, None)),
        "grounder/1": ("ungrounded_phrase", 0.0, 1.0),
    },
    "cup": {"ssd/0": ("merged", None, None)},
    "tiny": {
        "": ("min_side", 16.0, 32.0),
        "ssd/0": ("merged", None, None),
        **dict.fromkeys(("objects/0", "captions/0"), ("image_dropped", None, None)),
    },
    "page": {
        "ocr/1": ("min_score", 0.15, 0.3),
        "ocr/3": ("region_dropped", None, None),
        "captions/1": ("text_length", 2.0, 3.0),
    },
    "crash": {"": ("failed", None, None)},
}


def made(item: Row, name: str, producer: str = "", **given: Any) -> Row:
    return item | {"id": name, "producer": producer or name.partition("/")[0]} | given


def detected() -> dict[str, dict[str, list[Row]]]:
    """{image: {node: regions}} of the detectors and the person."""
    return {
        "cat": {
            "ssd": [
                made(region((10, 10, 60, 60), score=0.8), "ssd/0"),
                made(region((12, 12, 58, 58), label="dog", score=0.2), "ssd/1"),
            ],
            "yolo": [made(region((12, 12, 62, 62), score=0.6), "yolo/0")],
        },
        "cup": {
            "human": [made(region((20, 20, 80, 80), label="cup", score=None, score_kind="human"), "human/0")],
            "ssd": [made(region((22, 22, 78, 78), label="cup", score=0.9), "ssd/0")],
        },
        "tiny": {"ssd": [made(region((2, 2, 10, 10), score=0.5), "ssd/0")]},
    }


def fused(image: str) -> list[Row]:
    boxes = {item["id"]: item for items in detected().get(image, {}).values() for item in items}

    def merged(name: str, into: str) -> Row:
        return boxes[name] | {"merged_into": into}

    def new(name: str, box: Sequence[float], label: str, score: float, *support: str) -> Row:
        names = list(support)
        return made(region(box, label=label, score=score, score_kind="consensus", support=names, parents=names), name)

    if image == "cat":
        return [
            new("objects/0", (11, 11, 61, 61), "cat", 0.92, "ssd/0", "yolo/0"),
            new("objects/1", (12, 12, 58, 58), "dog", 0.2, "ssd/1"),
            merged("ssd/0", "objects/0"),
            merged("ssd/1", "objects/1"),
            merged("yolo/0", "objects/0"),
        ]
    if image == "cup":
        return [boxes["human/0"] | {"support": ["ssd/0"]}, merged("ssd/0", "human/0")]
    return (
        [new("objects/0", (2, 2, 10, 10), "cat", 0.5, "ssd/0"), merged("ssd/0", "objects/0")] if image == "tiny" else []
    )


def outline() -> Row:
    width, height = SIZES["cat"]
    mask = np.zeros((height, width), np.uint8)
    mask[20:50, 20:50] = 1
    box = region((20, 20, 50, 50), label="cat", score=0.7, score_kind="fit", rle=masks.encode(mask))
    return made(box, "outline/0", merged_into="objects/0", parents=["objects/0"])


def answers(node: str, image: str) -> Row:
    """The annotation columns a node wrote for an image."""
    if node in ("human", "ssd", "yolo"):
        return {"regions": detected().get(image, {}).get(node, [])}
    if node == "objects":
        return {"regions": fused(image)}
    if node == "ocr" and image == "page":
        words = region((10, 10, 100, 30), kind="text", label="", score=0.95, quad=QUAD)
        faint = region((10, 60, 50, 70), kind="text", label="", score=0.15)
        read = [
            made(region_text("ocr/0", "HELLO", score=0.95), "ocr/2"),
            made(region_text("ocr/1", "x", score=0.15), "ocr/3"),
        ]
        return {
            "regions": [made(words, "ocr/0"), made(faint, "ocr/1")],
            "region_texts": [item | {"granularity": "ocr"} for item in read],
        }
    if node == "captions":
        written = {
            "cat": [("a cat", "brief"), ("A cat sits near a dog.", "detailed")],
            "cup": [("a cup", "brief")],
            "tiny": [("a cat", "brief")],
            "page": [("a page", "brief"), ("a cup", "detailed")],
        }.get(image, [])
        return {
            "texts": [made(text(words, kind, score=1.0), f"captions/{n}") for n, (words, kind) in enumerate(written)]
        }
    if node == "grounder" and image == "cat":
        return {
            "phrases": [
                made(phrase("captions/1", 0, 5, ["objects/0"]), "grounder/0", parents=["captions/1", "objects/0"]),
                made(phrase("captions/1", 16, 21, ["objects/1"]), "grounder/1", parents=["captions/1", "objects/1"]),
            ]
        }
    return {"regions": [outline()]} if node == "outline" and image == "cat" else {}


def failures(node: str, image: str) -> list[Row]:
    if image != "crash" or node in ("human", "ssd", "ocr"):
        return []
    lost = failure(component="yolo", reason="worker_lost", error="the worker was lost 3 times on it (segfault)")
    return [lost] if node == "yolo" else SKIPPED


def draw_photos(folder: Path) -> dict[str, str]:
    """Draws the photos. Returns {input: image id}, '' for a file that is no image. Two inputs have the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (width, height) in SIZES.items():
        picture = Image.new("RGB", (width, height), (200, 190, 180))
        ImageDraw.Draw(picture).ellipse(
            (width * 0.2, height * 0.2, width * 0.6, height * 0.8), fill=(120, 80, len(name) * 30)
        )
        picture.save(folder / f"{name}.png")
    (folder / "cat-copy.png").write_bytes((folder / "cat.png").read_bytes())
    (folder / "broken.png").write_bytes(b"no image at all")
    ids = {name: image_id((folder / f"{name}.png").read_bytes()) for name in (*SIZES, "cat-copy")}
    return ids | {"broken": "", "later": ""}


def handmade(root: Path, *, judged: bool = True) -> Dataset:
    """Write it under `root` and open it. `judged=False`: no verdicts yet."""
    ids = draw_photos(root / "photos")
    storage = Storage(str(root / "data"))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": 3}).encode())
    _write_ingest(storage, root / "photos", ids)
    for name, _, over, *_ in NODES:
        for shard, images in enumerate(SHARDS):
            commit(
                storage,
                f"{name}/{key(name)[:8]}",
                shard,
                parses(images) if over == "texts" else answered(name, images, ids),
            )
    for shard, images in enumerate(SHARDS if judged else ()):
        commit(storage, "judge/judgekey", shard, judged_table(images, ids))
    _write_current(storage)
    storage.put("runs/00001-abcdef/run.json", json.dumps(RUN).encode())
    return Dataset.open(storage.url)


RUN: Row = {
    "command": "engine run",
    "stage": "all",
    "recipe": "{}",
    "versions": '{"python": "3.11"}',
    "host": "here",
    "seconds": 12.5,
    "listed": 8,
    "shards": 2,
    "error": "",
    "release": "",
    "nodes": [
        {
            "node": "ssd",
            "units": 2,
            "items": 5,
            "failed": 0,
            "skipped": 0,
            "worker_seconds": 2.5,
            "lost_races": 0,
            "notes": [],
        }
    ],
}


def key(name: str) -> str:
    return (name * 8)[:16]


def commit(storage: Storage, folder: str, shard: int, table: pa.Table, revision: int = 0) -> None:
    commits = Commits(storage, folder)
    assert commits.commit(Record(shard, revision, {"data": commits.put_table(shard, table, revision)}))


def answered(node: str, images: Sequence[str], ids: Mapping[str, str]) -> pa.Table:
    return record_table([{"image_id": ids[i], **answers(node, i), "failures": failures(node, i)} for i in images])


def parses(images: Sequence[str]) -> pa.Table:
    """As the parse node: once for each distinct text of the shard."""
    words = dict.fromkeys(item["text"] for image in images for item in answers("captions", image).get("texts", []))
    counts = {"A cat sits near a dog.": 6}
    rows = [
        parsed(text, tokens=counts.get(text, 2), objects=[text.split()[1]], object_complexity=1.5) for text in words
    ]
    return pa.Table.from_pylist(rows, schema=PARSE)


def judged_table(images: Sequence[str], ids: Mapping[str, str]) -> pa.Table:
    return pa.Table.from_pylist([_verdicts(image, ids[image]) for image in images], schema=VERDICTS)


def _verdicts(image: str, image_id: str) -> Row:
    def verdict(name: str, shown: str) -> Row:
        rule, value, threshold = DROPPED[image].get(name, ("", None, None))
        return {"id": shown, "kept": not rule, "rule": rule, "value": value, "threshold": threshold}

    row: Row = {"image_id": image_id, "image": verdict("", image_id), "failures": []}
    for column in ANNOTATIONS:
        nodes = [node[0] for node in NODES if column in node[5]]
        items = [item for node in nodes for item in answers(node, image).get(column, [])]
        row[column] = [verdict(item["id"], item["id"]) for item in items]
    return row


def _write_ingest(storage: Storage, photos: Path, ids: Mapping[str, str]) -> None:
    nothing: Row = {name: [] for name in ANNOTATIONS}
    frame = {"frame": "auto", "frame_width": 0, "frame_height": 0}

    def listed(name: str) -> Row:
        place = {"uri": str(photos / f"{name}.png"), "offset": 0, "length": -1}
        unset = dict.fromkeys(("licence", "reason", "error", "phash", "fits"), "")
        return {"source": "photos", **place, "fingerprint": "1", **unset, "left_out": [], **nothing}

    def size(name: str) -> Row:
        width, height = SIZES.get(name.removesuffix("-copy"), (0, 0))
        return {"image_id": ids[name], "width": width, "height": height, "format": "PNG" if width else "", "bytes": 99}

    for chunk, listed_names in enumerate(LISTED):
        commit(
            storage,
            "inputs",
            chunk,
            pa.Table.from_pylist([listed(name) | frame for name in listed_names], schema=INPUTS),
        )
    probed = [listed(name) | size(name) | {"failures": [] if ids[name] else BROKEN} for name in LISTED[0]]
    commit(storage, "probe/probekey", 0, pa.Table.from_pylist(probed, schema=PROBE))
    for shard, images in enumerate(SHARDS):
        rows = []
        for name in images:
            names = [name, "cat-copy"] if name == "cat" else [name]
            sources = [{"source": "photos", "uri": listed(one)["uri"]} for one in names]
            place = {"sources": sources, "split": "train"}
            rows.append(listed(name) | size(name) | place)
        commit(storage, "images", shard, pa.Table.from_pylist(rows, schema=IMAGES))


def _write_current(storage: Storage) -> None:
    nodes = [
        {
            "name": name,
            "key": key(name),
            "folder": f"{name}/{key(name)[:8]}",
            "component": component,
            "version": 1,
            "deterministic": True,
            "over": over,
            "needs": [],
            "gives": gives,
            "inputs": inputs,
            "columns": columns,
        }
        for name, component, over, inputs, gives, columns in NODES
    ]
    judge = {"folder": "judge/judgekey", "key": "judgekey-and-more"}
    current = {"schema_version": SCHEMA_VERSION, "nodes": nodes, "judge": judge, "probe": {"folder": "probe/probekey"}}
    storage.put("current.json", json.dumps(current).encode())
