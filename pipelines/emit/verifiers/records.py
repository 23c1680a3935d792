"""Checks the references between annotations, that boxes are inside their image, and the manifest's counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from engine.schema import ANNOTATIONS
from pipelines.emit.verifiers.check import Check, Row

_SLACK = 1.0  # how far a box may reach beyond its image because of rounding, in pixels


class RecordVerifier:
    def __init__(self) -> None:
        self.check = Check("annotations refer to what is there")
        self._splits: Counter[str] = Counter()
        self._beyond = 0  # boxes that people drew beyond their image: never changed, so not a fault

    def read(self, stem: str, records: Sequence[Row]) -> Counter[str]:
        """Checks the records of one shard and counts their annotations. `stem`: the name of the shard.

        All counts are missing if a record lacks fields.
        """
        self._splits[stem.partition("-")[0]] += len(records)
        self.check.faults += [
            f"{record.get('image_id')} is in {stem}, but its split is '{record.get('split')}'"
            for record in records
            if not stem.startswith(f"{record.get('split')}-")
        ]
        return self.check.attempt(stem, lambda: self._read(records)) or count_annotations([])

    def finish(self, total: Mapping[str, int], stated: Mapping[str, int], splits: Mapping[str, int] | None) -> None:
        """Compares the counts of all shards with those of the manifest. `splits`: None in older manifests."""
        for split in sorted({*self._splits, *splits} if splits is not None else ()):
            number, expected = self._splits[split], (splits or {}).get(split, 0)
            if number != expected:
                self.check.faults.append(f"{number} images found in {split}, the manifest has {expected}")
        stated = {key: count for key, count in stated.items() if key.split(".")[0] in ("images", *ANNOTATIONS)}
        for key in sorted({*total, *stated}):
            if total.get(key, 0) != stated.get(key, 0):
                self.check.faults.append(f"{total.get(key, 0)} {key} found, the manifest has {stated.get(key, 0)}")
        self.check.detail = f"{sum(total.get(name, 0) for name in ANNOTATIONS)} annotations"
        if self._beyond:
            self.check.detail += f"; {self._beyond} boxes that people drew leave their image"

    def _read(self, records: Sequence[Row]) -> Counter[str]:
        for record in records:
            self.check.faults += [f"{record['image_id']}: {fault}" for fault in self._faults(record)]
        return count_annotations(records)

    def _faults(self, record: Row) -> Iterator[str]:
        regions = {region["id"] for region in record["regions"]}
        ids = Counter(item["id"] for name in ANNOTATIONS for item in record[name])
        yield from (f"the annotation id {name} occurs {number} times" for name, number in ids.items() if number > 1)
        for region in record["regions"]:
            if not _inside(region, record["width"], record["height"]):
                if region["score"] is None:
                    self._beyond += 1
                else:
                    yield f"the box of {region['id']} does not lie in the {record['width']}x{record['height']} image"
        for item in record["region_texts"]:
            if item["region_id"] not in regions:
                yield f"{item['id']} is of {item['region_id']}, which is not there"
        texts = {text["id"]: text["text"] for text in record["texts"]}
        for phrase in record["phrases"]:
            yield from _phrase_faults(phrase, texts, regions)


def count_annotations(records: Sequence[Row]) -> Counter[str]:
    """Numbers of images, and of annotations by column, granularity and kind, with the keys of a manifest."""
    counts = Counter(images=len(records))
    for record in records:
        for column in ANNOTATIONS:
            counts[column] += len(record[column])
            for item in record[column]:
                counts.update(f"{column}.{item[name]}" for name in ("granularity", "kind") if name in item)
    return counts


def _inside(region: Row, width: int, height: int) -> bool:
    across: bool = -_SLACK <= region["x1"] < region["x2"] <= width + _SLACK
    down: bool = -_SLACK <= region["y1"] < region["y2"] <= height + _SLACK
    return across and down


def _phrase_faults(phrase: Row, texts: Mapping[str, str], regions: set[str]) -> Iterator[str]:
    text = texts.get(phrase["text_id"])
    if text is None:
        yield f"{phrase['id']} is of {phrase['text_id']}, which is not there"
    elif not 0 <= phrase["char_start"] < phrase["char_end"] <= len(text):
        yield f"{phrase['id']} spans {phrase['char_start']} to {phrase['char_end']} of {len(text)} characters"
    yield from (
        f"{phrase['id']} names {name}, which is not there" for name in phrase["region_ids"] if name not in regions
    )
