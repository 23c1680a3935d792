"""Checks the answer of a specialist, and completes the ids of its annotations.

A wrong answer is not repaired. It becomes a failure of its image, with a sentence that states the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.component import RESOURCES
from engine.records.embeddings import EMBEDDINGS, embedding_error
from engine.schema import (
    ANNOTATIONS,
    COLUMN_CLASSES,
    GRANULARITIES,
    REGION_KINDS,
    Annotation,
    Answer,
    Region,
    Sample,
    Text,
    text_key,
)

_SLACK = 1.0  # pixels that a box may extend beyond the image because of rounding
LARGEST = 3.4e38  # the largest float32
HUMAN = "human"  # the producer whose annotations are never deleted or changed


def check_answer(
    answer: Any, sample: Sample, gives: Sequence[str], *, human: bool = False, embedding_size: int = 0
) -> str:
    """What is wrong with an answer, in a few words; '' if nothing is.

    `human`: the answer repeats labels of the source. Only such annotations may lack a score. `embedding_size`: the
    length that the embedding must have; 0: any length.
    """
    if not isinstance(answer, Answer):
        return f"expected an Answer, got {type(answer).__name__}"
    allowed = {column for kind in gives for column in RESOURCES[kind]}
    seen: set[str] = set()
    for column in ANNOTATIONS:
        for item in getattr(answer, column):
            error = _item_error(item, column, allowed, seen, sample, human=human)
            if not error and item.score is None and not human and "/" not in item.id:
                error = f"{column} without a score, which only human labels may lack"
            if error:
                return error
    if EMBEDDINGS in gives:
        return embedding_error(answer.embedding, embedding_size)
    return "" if answer.embedding is None else "gave an embedding, but does not declare `embeddings` in `gives`"


def _item_error(item: Any, column: str, allowed: set[str], seen: set[str], sample: Sample, *, human: bool) -> str:
    if column not in allowed:
        return f"gave {column}, which it does not declare in `gives`"
    if not isinstance(item, COLUMN_CLASSES[column]):
        return f"{column} has a value of type {type(item).__name__}"
    if item.id and item.id in seen:
        return f"the id '{item.id}' occurs twice"
    seen.add(item.id)
    if item.score is not None and not math.isfinite(item.score):
        return f"{column} '{item.id}' has the score {item.score}"
    if "/" not in item.id and not human and (wrong := _not_finite(item)):
        return f"{column} '{item.id}' has the {wrong}"
    if isinstance(item, Region):
        return _region_error(item, sample)
    if isinstance(item, Text) and item.granularity not in GRANULARITIES:
        return f"a text of granularity '{item.granularity}', expected one of {', '.join(GRANULARITIES)}"
    return ""


def _not_finite(item: Any) -> str:
    """The first field that is NaN, infinite or too large for a float32; '' if none is.

    JSON and tables cannot store those.
    """
    for name in getattr(item, "__slots__", ()) or vars(item):
        value = getattr(item, name)
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float | np.floating) and not abs(float(number)) < LARGEST:
                return f"{name} {number}"
    return ""


def _region_error(item: Region, sample: Sample) -> str:
    if item.kind not in REGION_KINDS:
        return f"a region of kind '{item.kind}', expected one of {', '.join(REGION_KINDS)}"
    if item.score is None or item.merged_into:
        return ""  # human boxes are not checked; merged boxes were checked in an earlier answer
    box = (item.x1, item.y1, item.x2, item.y2)
    if not all(map(math.isfinite, box)):
        return f"a box that is not finite: {box}"
    inside = (
        box[0] >= -_SLACK and box[1] >= -_SLACK and box[2] <= sample.width + _SLACK and box[3] <= sample.height + _SLACK
    )
    if not inside or not (box[0] < box[2] and box[1] < box[3]):
        return f"a box outside its {sample.width}x{sample.height} image or without area: {box}"
    return ""


def number(answer: Answer, producer: str) -> None:
    """Give every annotation its producer and its full id, "<producer>/<local id>". References get the full id too."""
    items: list[Annotation] = [item for column in ANNOTATIONS for item in getattr(answer, column)]
    taken = {item.id for item in items}
    counter = 0
    for item in items:
        if not item.id:
            while str(counter) in taken:
                counter += 1
            item.id = str(counter)
            taken.add(item.id)
        if "/" not in item.id:
            item.id = f"{producer}/{item.id}"
            item.producer = producer
        item.producer = item.producer or producer
        item.parents = [_full(name, producer) for name in item.parents]
    _resolve_references(answer, producer)


def _resolve_references(answer: Answer, producer: str) -> None:
    for region in answer.regions:
        region.merged_into = _full(region.merged_into, producer)
        region.support = [_full(name, producer) for name in region.support]
    for region_text in answer.region_texts:
        region_text.region_id = _full(region_text.region_id, producer)
    for phrase in answer.phrases:
        phrase.text_id = _full(phrase.text_id, producer)
        phrase.region_ids = [_full(name, producer) for name in phrase.region_ids]
    for text in answer.texts:
        text.text_key = text_key(text.text)


def _full(name: str, producer: str) -> str:
    return name if not name or "/" in name else f"{producer}/{name}"
