"""Compares the boxes that a reader finds in a file with the regions of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.images.decode import EXTENSIONS
from engine.records.boxes import Box
from pipelines.emit.objects import Object
from pipelines.emit.verifiers.check import Row

SAME = 1e-6  # pixels: how far sums of the numbers in a file may be from the rounded box of an object


class ReadBox(NamedTuple):
    """A box as a reader understands it: x1, y1, x2, y2 in pixels of the upright image."""

    label: str
    box: Box


def boxes_fault(found: Sequence[ReadBox], expected: Sequence[Object]) -> str:
    """How the boxes of an image differ from the objects of its record, which has the same order. '' if they agree."""
    for one, thing in zip(found, expected, strict=False):
        if fault := box_fault(one, thing):
            return fault
    if len(found) != len(expected):
        return f"has {len(found)} objects, its record has {len(expected)}"
    return ""


def box_fault(found: ReadBox, expected: Object, tolerance: float = SAME) -> str:
    region = expected.region
    if found.label != region["label"]:
        return f"has the label '{found.label}' for {region['id']}, its record has '{region['label']}'"
    if not all(abs(one - other) <= tolerance for one, other in zip(found.box, expected.box, strict=True)):
        return f"has the box {_text(found.box)} for {region['id']}, its record has {_text(expected.box)}"
    return ""


def file_name(record: Row) -> str:
    """The name of the image as a file of its own."""
    return f"{record['image_id']}.{EXTENSIONS[record['format']]}"


def left_out_faults(name: str, found: Mapping[str, int], stated: Mapping[str, int]) -> list[str]:
    """How the numbers of left-out annotations differ from those of the manifest. `name`: of the format."""
    return [
        f"{found.get(reason, 0)} annotations are not in {name} because of {reason}, the manifest has "
        f"{stated.get(reason, 0)}"
        for reason in sorted({*found, *stated})
        if found.get(reason, 0) != stated.get(reason, 0)
    ]


def _text(box: Box) -> str:
    return "[" + ", ".join(f"{value:.10g}" for value in box) + "]"
