"""How well masks made from human boxes fit the human masks, compared with the box itself taken as a mask.

    python -m benchmarks.masks --data ../shared/data

Uses the COCO boxes that the specialists accept (no crowds, both sides of 16 pixels or more, at most .9 of the image).
`IoU of all` includes boxes without a mask, for which the box itself counts.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.detectors import Photos
from engine.component import Specialist
from engine.records import masks
from engine.schema import Region, Sample
from specialists.masks.grabcut import Grabcut
from specialists.masks.salient_masks import SalientMasks

MOST = 1000  # masks in an image
FLOOR = 0.55  # the default of min_quality
Floats = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/ and weights/")
    parser.add_argument("--floors", nargs="*", type=float, default=[], help="other values of min_quality")
    options = parser.parse_args()
    boxes = Boxes(Photos(options.data / "coco" / "dev"))
    weights = str(options.data / "weights" / "u2netp.onnx")
    specialists: dict[str, Specialist] = {
        "grabcut": Grabcut(max_regions=MOST, min_quality=0.0),
        "salient_masks": SalientMasks(max_regions=MOST, min_quality=0.0, path=weights),
    }
    print(f"{len(boxes.alone)} boxes of {len(boxes.samples)} photos; a box alone has IoU {boxes.alone.mean():.3f}")
    print(f"{'':22}{'boxes with a mask':>18}{'IoU of those':>14}{'their boxes':>13}{'IoU of all':>12}{'ms a box':>10}")
    for name, specialist in specialists.items():
        given, seconds = boxes.ask(specialist)
        for floor in (FLOOR, *options.floors):
            _line(f"{name} {floor:g}", boxes, _above(given, floor), seconds)
        print(f"{'':22}score and true IoU: {given.calibration()}")


@dataclass(frozen=True, slots=True)
class Given:
    """For each box the score of its mask, NaN if it has none, and its true IoU."""

    score: Floats
    iou: Floats

    def calibration(self) -> str:
        """Mean score and mean IoU by fifths of the score, and their correlation."""
        there = np.flatnonzero(np.isfinite(self.score))
        if len(there) < 5:
            return "too few masks"
        parts = np.array_split(there[np.argsort(self.score[there], kind="stable")], 5)
        fifths = ", ".join(f"{self.score[part].mean():.2f} {self.iou[part].mean():.2f}" for part in parts)
        return f"{fifths}; correlation {np.corrcoef(self.score[there], self.iou[there])[0, 1]:.2f}"


class Boxes:
    """Human boxes as regions of samples, each with its human mask."""

    def __init__(self, photos: Photos, *, most: int = 10**9) -> None:
        self.truth: dict[str, str] = {}
        self.samples = [
            self._sample(sample, photos.truth, number)
            for number, sample in zip(photos.ids[:most], photos.samples[:most], strict=True)
        ]
        self.samples = [sample for sample in self.samples if sample.regions]
        self.names = [region.id for sample in self.samples for region in sample.regions]
        self.alone = np.array([self._iou(sample, r, _box_mask(sample, r)) for sample, r in self._all()])

    def ask(self, specialist: Specialist) -> tuple[Given, float]:
        """The result, and seconds for each box."""
        specialist.load()
        started = time.perf_counter()
        answers = specialist.annotate(self.samples)
        seconds = (time.perf_counter() - started) / len(self.names)
        found: dict[str, tuple[float, float]] = {}
        for sample, answer in zip(self.samples, answers, strict=True):
            regions = {region.id: region for region in sample.regions}
            for mask in answer.regions:
                fit = self._iou(sample, regions[mask.merged_into], mask.rle)
                found[mask.merged_into] = (1.0 if mask.score is None else mask.score, fit)
        score, iou = (np.array([found.get(name, (np.nan, np.nan))[k] for name in self.names]) for k in (0, 1))
        return Given(score, iou), seconds

    def _all(self) -> list[tuple[Sample, Region]]:
        return [(sample, region) for sample in self.samples for region in sample.regions]

    def _sample(self, sample: Sample, coco: Any, number: int) -> Sample:
        regions: list[Region] = []
        for one in coco.loadAnns(coco.getAnnIds(number)):
            x, y, width, height = one["bbox"]
            large = width * height > 0.9 * sample.width * sample.height
            if one["iscrowd"] or min(width, height) < 16 or large:
                continue
            name = f"human/{number}-{len(regions)}"
            regions.append(Region(x, y, x + width, y + height, coco.cats[one["category_id"]]["name"], id=name))
            self.truth[name] = masks.encode(coco.annToMask(one))
        return replace(sample, regions=regions)

    def _iou(self, sample: Sample, region: Region, rle: str) -> float:
        return masks.mask_iou(self.truth[region.id], rle, width=sample.width, height=sample.height)


def _box_mask(sample: Sample, region: Region) -> str:
    mask = np.zeros((sample.height, sample.width), np.uint8)
    mask[int(region.y1) : int(np.ceil(region.y2)), int(region.x1) : int(np.ceil(region.x2))] = 1
    return masks.encode(mask)


def _above(given: Given, floor: float) -> Given:
    """What is given at this min_quality; for human boxes the score is the expected IoU."""
    low = ~(given.score >= floor)
    return Given(np.where(low, np.nan, given.score), np.where(low, np.nan, given.iou))


def _line(name: str, boxes: Boxes, given: Given, seconds: float) -> None:
    there = np.isfinite(given.score)
    everything = np.where(there, given.iou, boxes.alone)
    print(
        f"{name:22}{f'{there.sum()} ({there.mean():.2f})':>18}{given.iou[there].mean():14.3f}"
        f"{boxes.alone[there].mean():13.3f}{everything.mean():12.3f}{1000 * seconds:10.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
