"""Types of the rows of ingest's tables, as Python reads them from Arrow. The schemas are in engine/schema.py."""

from __future__ import annotations

from typing import Any, TypedDict, cast

from engine.schema import ANNOTATIONS, Answer, as_row


class AnnotationRow(TypedDict, total=False):
    """One annotation. Its keys depend on its column. Listed here are those that ingest reads or changes."""

    id: str
    producer: str
    score: float | None  # None: annotated by people
    x1: float
    y1: float
    x2: float
    y2: float
    quad: list[float]
    rle: str
    region_id: str
    text_id: str
    region_ids: list[str]
    parents: list[str]
    support: list[str]


LabelColumns = dict[str, list[AnnotationRow]]  # by name of the annotation column


class LabelledRow(TypedDict):
    """The annotation columns of a row."""

    texts: list[AnnotationRow]
    regions: list[AnnotationRow]
    region_texts: list[AnnotationRow]
    phrases: list[AnnotationRow]
    tags: list[AnnotationRow]
    image_scores: list[AnnotationRow]


class ListedRow(TypedDict):
    """The columns of inputs/ that the probe reads (engine.running.entry_items)."""

    uri: str
    offset: int
    length: int
    frame: str
    frame_width: int
    frame_height: int
    reason: str
    error: str
    regions: list[AnnotationRow]
    region_texts: list[AnnotationRow]


class Probed(TypedDict, total=False):
    """The columns that the probe adds to an input. Upright regions and their texts come in addition, if it has any."""

    image_id: str
    width: int
    height: int
    format: str
    bytes: int
    phash: str
    fits: str
    left_out: list[str]


class ProbedRow(LabelledRow):
    """A row of probe/. `failures` is empty if the input is an image."""

    source: str
    uri: str
    offset: int
    length: int
    fingerprint: str
    licence: str
    image_id: str
    width: int
    height: int
    format: str
    bytes: int
    phash: str
    fits: str
    left_out: list[str]
    failures: list[Any]


class SourceFile(TypedDict):
    source: str
    uri: str


class ImageRow(TypedDict):
    """A row of images/."""

    image_id: str
    sources: list[SourceFile]
    width: int
    height: int
    format: str
    licence: str
    split: str
    bytes: int
    uri: str
    offset: int
    length: int


def label_columns(labels: Answer) -> LabelColumns:
    columns = {name: [as_row(item) for item in getattr(labels, name)] for name in ANNOTATIONS}
    return cast(LabelColumns, columns)  # because as_row makes rows of any dataclass


def regions_of(row: ListedRow) -> LabelColumns:
    """The labels that depend on the frame: regions, and the texts of regions that may be left out."""
    return {"regions": row["regions"], "region_texts": row["region_texts"]}


def labels_of(row: LabelledRow) -> LabelColumns:
    return {name: row[name] for name in ANNOTATIONS}  # type: ignore[literal-required]
