"""Counts what each format of a release holds and what it left out, without code of the writers and verifiers.

For each format, two numbers must be equal: what its files hold and what the manifest has as left out, and what the
records hold. The second is counted from the json in the tars.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

Record = Mapping[str, Any]

# Reasons of a mask or a phrase, whose region may be in the format, and of pairs.
_OF_MASKS = ("empty_mask", "mask_of_another_size")
_ASKED = (
    *("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>", "<REGION_TO_DESCRIPTION>", "<OCR>", "<OD>"),
    *("<CAPTION_TO_PHRASE_GROUNDING>", "<OPEN_VOCABULARY_DETECTION>"),
)


class Account(NamedTuple):
    """`held` and `left_out` by the format, `there` in the records."""

    held: int
    left_out: int
    there: int


def records_of(folder: Path) -> list[Record]:
    found: list[Record] = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = (tar.extractfile(member) for member in tar if member.name.endswith(".json"))
            found += [json.loads(member.read()) for member in members if member]
    return found


def accounts(folder: Path) -> dict[str, Account]:
    """{format and what is counted: its numbers}, for every format of the release."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    records = records_of(folder)
    found: dict[str, Account] = {}
    for name, totals in manifest["formats"].items():
        found |= {f"{name}: {what}": made for what, made in _COUNTED[name](folder, totals["left_out"], records)}
    return found


def _images(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    images = sum(manifest["splits"].values())
    yield "images", Account(len(records), sum(left_out.values()), images)


def _parquet(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    rows = [row for path in folder.glob("t*-*.parquet") for row in pq.read_table(path).to_pylist()]
    rows += [row for path in folder.glob("valid-*.parquet") for row in pq.read_table(path).to_pylist()]
    for column in ("texts", "regions", "region_texts", "phrases"):
        held, there = (sum(len(one[column]) for one in some) for some in (rows, records))
        yield column, Account(held, sum(left_out.values()), there)


def _pairs(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    held = sum(pq.read_metadata(path).num_rows for path in folder.glob("pairs-*.parquet"))
    yield "pairs", Account(held, sum(left_out.values()), sum(len(one["pairs"]) for one in records))


def _embeddings(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    held = sum(pq.read_metadata(path).num_rows for path in folder.glob("embeddings-*.parquet"))
    yield "vectors", Account(held, sum(left_out.values()), len(records))


def _regions(left_out: Mapping[str, int], held: int, records: list[Record]) -> Account:
    """Of a format of object detection: each region is an object or is left out for one reason."""
    gone = sum(count for reason, count in left_out.items() if not reason.startswith("phrase_"))
    gone -= sum(left_out.get(reason, 0) for reason in _OF_MASKS)
    return Account(held, gone, sum(len(one["regions"]) for one in records))


def _coco(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    contents = {path.name: json.loads(path.read_bytes()) for path in folder.glob("coco/*.json")}

    def number(kind: str, entries: str) -> int:
        return sum(len(content[entries]) for name, content in contents.items() if name.startswith(kind))

    yield "regions", _regions(left_out, number("instances", "annotations"), records)
    yield "texts", Account(number("captions", "annotations"), 0, sum(len(one["texts"]) for one in records))
    yield "images", Account(number("instances", "images"), 0, len(records))


def _yolo(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    lines = sum(len(path.read_text().splitlines()) for path in folder.glob("labels/*/*.txt"))
    yield "regions", _regions(left_out, lines, records)


def _imagefolder(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    lines = _lines(folder, "images/*/metadata.jsonl")
    yield "regions", _regions(left_out, sum(len(line["objects"]["bbox"]) for line in lines), records)
    yield "texts", Account(sum(len(line["captions"]) for line in lines), 0, sum(len(one["texts"]) for one in records))
    yield "images", Account(len(lines), 0, len(records))


def _odvg(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    detection = _lines(folder, "odvg/detection_*.jsonl")
    instances = sum(len(line["detection"]["instances"]) for line in detection)
    yield "regions", _regions(left_out, instances, records)
    yield "images", Account(len(detection), 0, len(records))
    grounded = sum(len(line["grounding"]["regions"]) for line in _lines(folder, "odvg/grounding_*.jsonl"))
    gone = sum(count for reason, count in left_out.items() if reason.startswith("phrase_"))
    # Phrases of the same words of a text are one. A phrase without a region counts once.
    named: set[tuple[Any, ...]] = set()
    alone = 0
    for number, record in enumerate(records):
        for phrase in record["phrases"]:
            span = (number, phrase["text_id"], phrase["char_start"], phrase["char_end"])
            named |= {(*span, region) for region in phrase["region_ids"]}
            alone += not phrase["region_ids"]
    yield "phrases", Account(grounded, gone, len(named) + alone)


def _florence2(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
    lines = len(_lines(folder, "florence2/*/annotations.jsonl"))
    yield "pairs", Account(lines, sum(left_out.values()), sum(len(one["pairs"]) for one in records))


def _chat(name: str) -> Callable[[Path, Mapping[str, int], list[Record]], Iterator[tuple[str, Account]]]:
    """A format of questions and answers, one for each pair of some tasks.

    A question about several names at once is not asked: it has the boxes of another question.
    """

    def count(folder: Path, left_out: Mapping[str, int], records: list[Record]) -> Iterator[tuple[str, Account]]:
        lines = len(_lines(folder, f"{name}/*.jsonl"))
        pairs = [pair for one in records for pair in one["pairs"]]
        asked = [pair for pair in pairs if pair["task"] in _ASKED]
        asked = [
            one for one in asked if not (one["task"] == "<OPEN_VOCABULARY_DETECTION>" and "<and>" in one["prompt"])
        ]
        gone = sum(count for reason, count in left_out.items() if reason != "no_area")  # of single boxes
        yield "questions", Account(lines, gone, len(asked))

    return count


def _lines(folder: Path, pattern: str) -> list[Any]:
    return [json.loads(line) for path in sorted(folder.glob(pattern)) for line in path.read_bytes().splitlines()]


# A new format needs a function here.
_COUNTED: dict[str, Callable[[Path, Mapping[str, int], list[Record]], Iterator[tuple[str, Account]]]] = {
    "webdataset": _images,
    "energon": _images,
    "parquet": _parquet,
    "pairs": _pairs,
    "embeddings": _embeddings,
    "coco": _coco,
    "yolo": _yolo,
    "imagefolder": _imagefolder,
    "odvg": _odvg,
    "florence2": _florence2,
    **{name: _chat(name) for name in ("swift", "qwen3_vl", "qwen2_5_vl")},
}


def kinds(records: Iterable[Record]) -> Counter[str]:
    """What the records hold, by kind: for a test that wants all of them."""
    found: Counter[str] = Counter()
    for record in records:
        found["images without annotations"] += not any(record[name] for name in ("texts", "regions", "phrases"))
        for region in record["regions"]:
            found["crowds"] += region["score_kind"] == "crowd"
            found["quads"] += bool(region["quad"])
            found["masks"] += bool(region["rle"])
            found[f"regions of kind {region['kind']}"] += 1
        found["phrases"] += len(record["phrases"])
        found["texts"] += len(record["texts"])
    return found
