"""CPU time of evaluating 5,000 images x 100 boxes of 80 labels, compared with plain pycocotools.

    python -m benchmarks.evaluate [--images 5000]
    python -m benchmarks.evaluate --command

The plain side does what a script would: dictionaries as in a results file, loadRes, evaluate, accumulate, summarize.
Both sides start from objects in memory and run in turns in one process; their figures must be equal. Then the bootstrap
is timed: 1,000 resamples of the images, for which pycocotools would have to accumulate as often. With `--command`, the
boxes are written as a data set (evaluation_set.py), and `engine eval` is timed on it, in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.evaluate.boxes import BoxMeasure, measure_boxes
from model.evaluate.calibration import calibration_errors, fit_isotonic
from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.matching import scored
from model.evaluate.resampling import TIMES, resamples

BOXES, LABELS, OBJECTS = 100, 80, 7
TARGET = 30.0  # seconds, all together

Truths = Mapping[str, TruthImage]
Found = Mapping[str, Sequence[Detection]]


def simulate(images: int) -> tuple[dict[str, TruthImage], dict[str, list[Detection]]]:
    """About seven objects in each image, each found by a few of a hundred boxes; the other boxes are random."""
    random = np.random.default_rng(0)
    truth, found = {}, {}
    for n in range(images):
        corners = random.uniform(0, 500, (OBJECTS, 2))
        boxes = np.concatenate([corners, corners + random.uniform(10, 200, (OBJECTS, 2))], axis=1)
        labels = random.integers(0, LABELS, OBJECTS)
        which = random.integers(0, OBJECTS, BOXES)
        near = random.random(BOXES) < 0.2
        place = np.where(near[:, None], boxes[which] + random.normal(0, 8, (BOXES, 4)), boxes[which][:, [1, 0, 3, 2]])
        names = np.where(near, labels[which], random.integers(0, LABELS, BOXES)).tolist()
        scores = np.where(near, random.beta(4, 2, BOXES), random.beta(1, 8, BOXES)).tolist()
        name = f"{n:06}"
        objects = zip(labels.tolist(), boxes.tolist(), strict=True)
        truth[name] = TruthImage(640, 640, [Truth(f"label {label}", tuple(box)) for label, box in objects])
        answers = zip(names, place.tolist(), scores, strict=True)
        found[name] = [Detection(f"label {label}", tuple(box), score) for label, box, score in answers]
    return truth, found


def by_hand(truth: Truths, found: Found) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = {f"label {k}": k + 1 for k in range(LABELS)}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        images = [{"id": n} for n in range(len(truth))]
        coco.dataset = {"images": images, "categories": [{"id": k + 1} for k in range(LABELS)], "annotations": []}
        results = []
        for n, name in enumerate(truth):
            for thing in truth[name].objects:
                row: dict[str, Any] = {"id": len(coco.dataset["annotations"]) + 1, "image_id": n, "iscrowd": 0}
                row |= {"category_id": number[thing.label], "bbox": _bbox(thing.box)}
                coco.dataset["annotations"].append(row | {"area": row["bbox"][2] * row["bbox"][3]})
            for one in found[name]:
                row = {"image_id": n, "category_id": number[one.label], "bbox": _bbox(one.box), "score": one.score}
                results.append(row)
        coco.createIndex()
        measure = COCOeval(coco, coco.loadRes(results), "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return [float(value) for value in measure.stats]


def _bbox(box: Sequence[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds of this process, the result)"""
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


def compare(truth: Truths, found: Found, rounds: int) -> BoxMeasure:
    pairs = []
    measure: BoxMeasure
    for _ in range(rounds):
        ours, measure = timed(lambda: measure_boxes(truth, found))
        theirs, figures = timed(lambda: by_hand(truth, found))
        # Equal but for the order in which labels are summed.
        assert np.allclose(list(measure.figures.values()), figures, rtol=0, atol=1e-12), (measure.figures, figures)
        pairs.append((ours, theirs))
    ours, theirs = np.median(pairs, axis=0)
    print(f"{len(truth)} images, {measure.truths} objects, {measure.predictions} boxes: all figures equal")
    print(f"measured in {ours:.1f} s, by hand {theirs:.1f} s, ratio {np.median([a / b for a, b in pairs]):.3f}")
    return measure


def time_parts(truth: Truths, found: Found, measure: BoxMeasure) -> None:
    counts = resamples(len(truth))
    seconds, _ = timed(lambda: measure.resampled(counts))
    print(f"bootstrap of AP and AP50, {TIMES} resamples: {seconds:.1f} s")
    seconds, (scores, right, image) = timed(lambda: scored(truth, found))
    print(f"which of {len(scores)} boxes are right: {seconds:.1f} s")
    seconds, curve = timed(lambda: fit_isotonic(scores, right))
    print(f"isotonic curve of {len(curve[0])} knots: {seconds:.1f} s")
    seconds, _ = timed(lambda: calibration_errors(scores, right, image, counts))
    print(f"bootstrap of ECE, {TIMES} resamples: {seconds:.1f} s")


def time_command(folder: Path) -> None:
    """Runs `engine eval` and prints its time and memory."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipelines.cli", "eval", "--dataset", str(folder)]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    if status:
        raise SystemExit("engine eval failed.")
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20
    print(f"engine eval: {elapsed:.1f} s elapsed, {cpu:.1f} s CPU (target {TARGET:g}), {peak:.2f} GiB")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=1, help="the median ratio of so many is reported")
    options.add_argument("--command", action="store_true", help="time `engine eval` instead")
    options.add_argument("--keep", help="with --command: make the data set here, or use the one that is")
    given = options.parse_args()
    if not given.command:
        truth, found = simulate(given.images)
        time_parts(truth, found, compare(truth, found, given.rounds))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(given.keep or scratch)
        if not (folder / "current.json").exists():
            from benchmarks.evaluation_set import write_set

            write_set(folder, *simulate(given.images))
        time_command(folder)


if __name__ == "__main__":
    main()
