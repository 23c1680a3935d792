"""The figures and matches equal those of pycocotools' COCOeval to the last bit, on random boxes and masks."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.records import masks as rle_masks
from model.evaluate.boxes import measure_boxes
from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.matching import scored

SIDE = 256
Truths = dict[str, TruthImage]
Found = dict[str, list[Detection]]


def reference(truth: Truths, found: Found, *, masks: bool = False, labels: bool = True) -> Any:
    """COCOeval after `summarize`."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = sorted(truth)
    known = sorted({thing.label for image in truth.values() for thing in image.objects}) if labels else ["any"]
    number = {label: k for k, label in enumerate(known, 1)}
    things: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for k, name in enumerate(names, 1):
        for thing in truth[name].objects:
            row = {"id": len(things) + 1, "image_id": k, "iscrowd": int(thing.crowd), **_outline(thing, masks)}
            things.append(row | {"category_id": number[thing.label] if labels else 1})
        for one in found.get(name, ()):
            if not labels or one.label in number:
                row = {"id": len(results) + 1, "image_id": k, "score": one.score, "iscrowd": 0, **_outline(one, masks)}
                results.append(row | {"category_id": number[one.label] if labels else 1})
    images = [{"id": k, "width": SIDE, "height": SIDE} for k in range(1, len(names) + 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (things, results):
            coco = COCO()
            categories = [{"id": k} for k in number.values()]
            coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
            coco.createIndex()
            sides.append(coco)
        measure = COCOeval(*sides, "segm" if masks else "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return measure


def _outline(box: Truth | Detection, masks: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = box.box
    area = (x2 - x1) * (y2 - y1)
    if not masks:
        return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": area}
    counts = {"size": [SIDE, SIDE], "counts": box.rle}
    return {
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": rle_masks.area(box.rle, width=SIDE, height=SIDE),
        "segmentation": counts,
    }


def scenes(
    seed: int, *, images: int, labels: int, objects: int, boxes: int, grid: int, masks: bool
) -> tuple[Truths, Found]:
    """Random objects and boxes near them. A coarse `grid` makes boxes that are equal and overlaps that tie; scores have
    one decimal, so most are equal to others.
    """
    random = np.random.default_rng(seed)
    truth, found = {}, {}
    for n in range(images):
        things = [_thing(random, labels, grid, masks) for _ in range(random.integers(0, objects + 1))]
        truth[f"{n:03}"] = TruthImage(SIDE, SIDE, things)
        some = []
        for _ in range(random.integers(0, boxes + 1)):
            near = things[random.integers(len(things))] if things and random.random() < 0.7 else None
            other = _thing(random, labels + 1, grid, masks)
            box = _moved(random, near.box, grid) if near else other.box
            label = near.label if near and random.random() < 0.8 else other.label
            some.append(Detection(label, box, round(float(random.random()), 1), _rle(box) if masks else ""))
        found[f"{n:03}"] = some
    return truth, {name: some for name, some in found.items() if some or random.random() < 0.5}


def _thing(random: np.random.Generator, labels: int, grid: int, masks: bool) -> Truth:
    x, y = (random.integers(0, SIDE - 30, 2) // grid * grid).tolist()
    width, height = (np.exp(random.uniform(1.0, 5.0, 2)) // grid + 1) * grid
    box = (float(x), float(y), float(min(SIDE, x + width)), float(min(SIDE, y + height)))
    label = f"label {random.integers(labels)}"
    return Truth(label, box, _rle(box) if masks else "", crowd=bool(random.random() < 0.15))


def _moved(random: np.random.Generator, box: tuple[float, ...], grid: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (np.clip(np.array(box) + random.integers(-1, 2, 4) * grid * random.random(), 0, SIDE)).tolist()
    return (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))


def _rle(box: tuple[float, ...]) -> str:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x1, y1, x2, y2 = (round(edge) for edge in box)
    mask[y1:y2, x1:x2] = 1
    return rle_masks.encode(mask)


def same(ours: dict[str, float], theirs: Any) -> bool:
    return [-1.0 if np.isnan(value) else value for value in ours.values()] == theirs.stats.tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 5), st.integers(0, 12), st.sampled_from([1, 8, 40]),
    st.booleans(),
)  # fmt: skip
def test_all_figures_of_random_boxes_are_equal(
    seed: int, images: int, labels: int, objects: int, grid: int, by_label: bool
) -> None:
    truth, found = scenes(seed, images=images, labels=labels, objects=objects, boxes=30, grid=grid, masks=False)
    measure = measure_boxes(truth, found, labels=by_label)
    assert same(measure.figures, reference(truth, found, labels=by_label))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([1, 8, 40]))
def test_all_figures_of_random_masks_are_equal(seed: int, images: int, grid: int) -> None:
    truth, found = scenes(seed, images=images, labels=3, objects=6, boxes=12, grid=grid, masks=True)
    assert same(measure_boxes(truth, found, masks=True).figures, reference(truth, found, masks=True))


def test_only_the_hundred_best_boxes_of_an_image_and_label_count() -> None:
    truth, found = scenes(5, images=3, labels=1, objects=60, boxes=400, grid=8, masks=False)
    assert max(map(len, found.values())) > 200
    assert same(measure_boxes(truth, found).figures, reference(truth, found))


@pytest.mark.parametrize("seed", range(5))
def test_each_box_is_right_or_ignored_where_it_is_for_cocoeval(seed: int) -> None:
    truth, found = scenes(seed, images=6, labels=2, objects=10, boxes=40, grid=8, masks=False)
    names = sorted(truth)
    theirs = sorted(
        (e["image_id"] - 1, score, bool(hit))
        for e in reference(truth, found).evalImgs
        if e is not None and e["aRng"] == [0, 1e10]
        for score, hit, ignored in zip(e["dtScores"], e["dtMatches"][0], e["dtIgnore"][0], strict=True)
        if not ignored
    )
    known = {thing.label for image in truth.values() for thing in image.objects}
    some = {name: [one for one in found.get(name, ()) if one.label in known] for name in names}
    scores, right, image = scored(truth, some)
    assert sorted(zip(image.tolist(), scores.tolist(), right.tolist(), strict=True)) == theirs
    assert 0 < right.sum() < len(right) < sum(map(len, some.values()))  # some are ignored
