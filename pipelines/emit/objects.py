"""The objects of an image for formats of object detection: COCO, YOLO, ODVG and imagefolder.

An object is a kept region of kind `object` with a label. Its box is clipped to the image and rounded to a
ten-thousandth of a pixel. Every region that is no object for a format is counted by reason:

reason          the region
kind_text       printed text
kind_phrase     a box found for a phrase
merged          it was merged into another region
unlabelled      it has no label
crowd           its box surrounds many objects, and the format has no crowds
not_listed      its label is not in emit.label_list
outside_image   no part of it is in the image
no_area         its box has no area after clipping and rounding
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from engine.records.boxes import Box, clipped, row_box

DECIMALS = 4  # of a coordinate in pixels


class Object(NamedTuple):
    """`region`: a row of REGION. `box`: x1, y1, x2, y2 in pixels of the upright image."""

    region: Mapping[str, Any]
    box: Box
    crowd: bool


def objects(
    row: Mapping[str, Any], labels: Collection[str] = (), *, crowds: bool = False
) -> tuple[list[Object], Counter[str]]:
    """The objects of a row of SAMPLE in its order, and the number of left-out regions by reason.

    `labels`: the closed vocabulary; empty: any label. `crowds`: whether crowds are objects of the format.
    """
    found: list[Object] = []
    left_out: Counter[str] = Counter()
    for region in row["regions"]:
        box = pixel_box(region, row["width"], row["height"])
        if reason := _reason(region, box, labels, crowds=crowds):
            left_out[reason] += 1
        else:
            found.append(Object(region, box, is_crowd(region)))
    return found, left_out


def is_crowd(region: Mapping[str, Any]) -> bool:
    return bool(region["score_kind"] == "crowd")


def pixel_box(region: Mapping[str, Any], width: int, height: int) -> Box:
    """The box of a region, clipped and rounded. Outside of the image it has x1 >= x2 or y1 >= y2."""
    return inside_image(row_box(region), width, height)


def inside_image(box: Box, width: int, height: int) -> Box:
    """The same for a box."""
    inside = clipped(box, float(width), float(height))
    x1, y1, x2, y2 = (round(value, DECIMALS) + 0.0 for value in inside)  # + 0.0 turns -0.0 into 0.0
    return (x1, y1, x2, y2)


def bbox_of(box: Box) -> list[float]:
    """x, y, width and height of a rounded box."""
    x1, y1, x2, y2 = box
    return [x1, y1, round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)]


def _reason(region: Mapping[str, Any], box: Box, labels: Collection[str], *, crowds: bool) -> str:
    """Why a region is left out; '' if it is an object."""
    x1, y1, x2, y2 = box
    if region["kind"] != "object":
        return f"kind_{region['kind']}"
    if region["merged_into"]:
        return "merged"
    if not region["label"]:
        return "unlabelled"
    if is_crowd(region) and not crowds:
        return "crowd"
    if labels and region["label"] not in labels:
        return "not_listed"
    if x1 > x2 or y1 > y2:
        return "outside_image"
    return "" if x1 < x2 and y1 < y2 else "no_area"
