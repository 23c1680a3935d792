"""Quality of several detectors fused into one: without labels, and fitted to labels of other photos (five folds).

    python -m benchmarks.fusion --data ../shared/data

Reports AP50, F1 of what is kept, and the calibration error above the floor. The best single detector stands beside it,
with its AP50 and its F1 at its best floor, which can be known only with labels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.detectors import DETECTORS, Photos, detector
from engine.schema import Region, Sample
from model.evaluate.boxes import measure_boxes
from model.evaluate.calibration import calibration_error
from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.matching import scored
from pipelines.evaluation.fit_fusion import fit_fusion
from pipelines.evaluation.predictions import without_duplicates
from specialists.consensus import Consensus
from specialists.ssd_mobilenet import SsdMobilenet

FLOOR = 0.3  # of the recipes
FOLDS = 5

Found = Mapping[str, list[Detection]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/ and weights/")
    data = parser.parse_args().data
    truth, found = seen(data)
    print(f"{'':44}{'AP50':>7}{'F1@.3':>8}{'F1 best':>9}{'ECE above':>11}")
    for name, boxes in found.items():
        _line(name, truth, boxes)
    for names in (names for size in range(2, len(found) + 1) for names in combinations(found, size)):
        some = {name: found[name] for name in names}
        _line("without labels: " + _short(names), truth, fused(truth, some))
        _line("fitted: " + _short(names), truth, *cross_validated(truth, some))


def _short(names: Sequence[str]) -> str:
    return ", ".join(name.split("_")[0] for name in names)


def seen(data: Path) -> tuple[dict[str, TruthImage], Mapping[str, Found]]:
    """The human boxes, and the answers of each detector."""
    photos = Photos(data / "coco" / "dev")
    labels = {row["id"]: row["name"] for row in photos.truth.dataset["categories"]}
    truth = {}
    for number, sample in zip(photos.ids, photos.samples, strict=True):
        things = [
            Truth(labels[one["category_id"]], _corners(one["bbox"]), crowd=bool(one["iscrowd"]))
            for one in photos.truth.imgToAnns[number]
        ]
        truth[sample.image_id] = TruthImage(sample.width, sample.height, things)
    found = {}
    ssd = SsdMobilenet()
    ssd.load()
    for name in (*DETECTORS, "ssd_mobilenet"):
        answers = (detector(data, name) if name in DETECTORS else ssd).annotate(photos.samples)
        boxes = {
            sample.image_id: [Detection(r.label, (r.x1, r.y1, r.x2, r.y2), r.score or 0.0) for r in answer.regions]
            for sample, answer in zip(photos.samples, answers, strict=True)
        }
        found[name] = without_duplicates(boxes).by_image()
    return truth, found


def _corners(bbox: Sequence[float]) -> tuple[float, float, float, float]:
    return (bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3])


def fused(
    truth: Mapping[str, TruthImage], found: Mapping[str, Found], calibration: str = ""
) -> dict[str, list[Detection]]:
    consensus = Consensus(calibration=calibration)
    consensus.load()
    samples = []
    for name, image in truth.items():
        regions = [
            Region(*one.box, one.label, id=f"{who}/{n}", score=one.score, producer=who)
            for who, boxes in found.items()
            for n, one in enumerate(boxes[name])
        ]
        samples.append(Sample(name, image.width, image.height, regions=regions, detectors=tuple(found)))
    return {
        sample.image_id: [
            Detection(r.label, (r.x1, r.y1, r.x2, r.y2), r.score or 0.0) for r in answer.regions if not r.merged_into
        ]
        for sample, answer in zip(samples, consensus.annotate(samples), strict=True)
    }


def cross_validated(
    truth: Mapping[str, TruthImage], found: Mapping[str, Found]
) -> tuple[dict[str, list[Detection]], dict[str, float]]:
    """Each photo fused with a fit to the other folds, and the floor of that fit."""
    names = sorted(truth)
    order = np.random.default_rng(0).permutation(len(names))
    answer: dict[str, list[Detection]] = {}
    floors: dict[str, float] = {}
    for fold in range(FOLDS):
        inside = {names[row] for row in order[fold::FOLDS]}
        calibration, _ = fit_fusion({name: truth[name] for name in names if name not in inside}, found)
        assert calibration.fusion is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fit.json"
            path.write_text(json.dumps(calibration.as_json()))
            answer |= fused({name: truth[name] for name in inside}, found, str(path))
        floors |= dict.fromkeys(inside, calibration.fusion.floor)
    return answer, floors


def _line(name: str, truth: Mapping[str, TruthImage], found: Found, floors: Mapping[str, float] | None = None) -> None:
    """`floors`: the floor of the fit for each photo. Without them F1 is measured at the best floor for these photos."""
    ap50 = measure_boxes(truth, {image: [one for one in found[image] if one.score >= 0.01] for image in truth})
    if floors is None:
        best = max(f1(truth, found, dict.fromkeys(truth, floor)) for floor in np.arange(0.1, 0.9, 0.02).tolist())
    else:
        best = f1(truth, found, floors)
    kept = above(found, floors or dict.fromkeys(truth, FLOOR))
    scores, right, _ = scored(truth, kept)
    fixed = f1(truth, found, dict.fromkeys(truth, FLOOR))
    error = calibration_error(scores, right)
    print(f"{name:44}{ap50.figures['AP50']:7.3f}{fixed:8.3f}{best:9.3f}{error:11.3f}", flush=True)


def above(found: Found, floors: Mapping[str, float]) -> dict[str, list[Detection]]:
    return {name: [one for one in found[name] if one.score >= floor] for name, floor in floors.items()}


def f1(truth: Mapping[str, TruthImage], found: Found, floors: Mapping[str, float]) -> float:
    scores, right, _ = scored(truth, above(found, floors))
    objects = sum(not thing.crowd for image in truth.values() for thing in image.objects)
    return float(2 * right.sum() / (len(scores) + objects))


if __name__ == "__main__":
    main()
