"""Quality of the detectors, their consensus and the OCR: COCO AP50 and words read, on real photos.

    python -m benchmarks.detectors --data ../shared/data

Calls the specialists' own `annotate`; the consensus gets all regions, whatever their score. Note that detectors trained
on train2017 saw some of these images: the val2017 column counts only the others.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.schema import Answer, Region, Sample
from specialists.consensus import Consensus
from specialists.onnx.coco_labels import COCO_90
from specialists.onnx.detector import OnnxDetector
from specialists.rapid_ocr import RapidOcr

DETECTORS = {
    "yolox_nano": ("yolox", "yolox_nano_coco80_416.onnx"),
    "nanodet_m": ("nanodet", "nanodet_m_coco80_416.onnx"),
    "fastestdet": ("fastestdet", "fastestdet_coco80_352.onnx"),
}
CATEGORY = {name: number for number, name in COCO_90.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with coco/, scene_text/ and weights/")
    data = parser.parse_args().data
    photos = Photos(data / "coco" / "dev")
    found = {}
    print(f"{'':36}{'AP50':>7}{'AP':>7}{'val2017':>9}{'ms/image':>10}")
    for name in DETECTORS:
        found[name], seconds = detect(data, name, photos)
        _line(name, photos, [answer.regions for answer in found[name]], seconds)
    for names in (("yolox_nano", "nanodet_m"), tuple(DETECTORS)):
        fused, seconds = agree({name: found[name] for name in names}, photos)
        _line("consensus of " + ", ".join(name.split("_")[0] for name in names), photos, fused, seconds)
    read, legible, seconds = words_read(data / "scene_text" / "dev")
    print(f"rapid_ocr reads {read} of {legible} legible words, {1000 * seconds:.0f} ms an image")


class Photos:
    """A COCO folder as samples, and the official measure of regions against its boxes."""

    def __init__(self, folder: Path) -> None:
        from pycocotools.coco import COCO

        with contextlib.redirect_stdout(io.StringIO()):
            self.truth = COCO(str(folder / "instances.json"))
        self.ids = sorted(self.truth.imgs)
        self.samples = [sample(folder / "images" / self.truth.imgs[i]["file_name"]) for i in self.ids]
        self.val = [i for i in self.ids if self.truth.imgs[i]["coco_split"] == "val2017"]

    def average_precision(self, regions: Sequence[Sequence[Region]], *, val: bool = False) -> tuple[float, float]:
        """(AP50, AP) of the regions of each image."""
        from pycocotools.cocoeval import COCOeval

        results = [_result(i, region) for i, found in zip(self.ids, regions, strict=True) for region in found]
        with contextlib.redirect_stdout(io.StringIO()):
            measure = COCOeval(self.truth, self.truth.loadRes(results), "bbox")
            measure.params.imgIds = self.val if val else self.ids
            measure.evaluate()
            measure.accumulate()
            measure.summarize()
        return float(measure.stats[1]), float(measure.stats[0])


def sample(path: Path) -> Sample:
    from PIL import Image

    pixels = np.asarray(Image.open(path).convert("RGB"))
    return Sample(path.stem, pixels.shape[1], pixels.shape[0], pixels)


def detector(data: Path, name: str) -> OnnxDetector:
    head, file = DETECTORS[name]
    specialist = OnnxDetector(weights=str(data / "weights" / file), head=head, min_score=0.02)  # type: ignore[arg-type]
    specialist.load()
    return specialist


def detect(data: Path, name: str, photos: Photos) -> tuple[list[Answer], float]:
    """Answers, and seconds for each image."""
    specialist = detector(data, name)
    started = time.perf_counter()
    answers = specialist.annotate(photos.samples)
    return answers, (time.perf_counter() - started) / len(answers)


def agree(found: dict[str, list[Answer]], photos: Photos, **options: Any) -> tuple[list[list[Region]], float]:
    """The fused regions of every image, and seconds for each image."""
    samples = [
        Sample(photo.image_id, photo.width, photo.height, regions=candidates({n: found[n][k] for n in found}))
        for k, photo in enumerate(photos.samples)
    ]
    consensus = Consensus(**options)
    consensus.load()
    started = time.perf_counter()
    answers = consensus.annotate(samples)
    seconds = (time.perf_counter() - started) / len(answers)
    return [[r for r in answer.regions if not r.merged_into] for answer in answers], seconds


def candidates(answers: dict[str, Answer]) -> list[Region]:
    """Answers of several specialists as the worker passes them on: with the name of the producer."""
    named = []
    for producer, answer in answers.items():
        for region in answer.regions:
            copy = Region(region.x1, region.y1, region.x2, region.y2, region.label, id=f"{producer}/{region.id}")
            copy.producer, copy.score, copy.score_kind = producer, region.score, region.score_kind
            named.append(copy)
    return named


def words_read(folder: Path) -> tuple[int, int, float]:
    """(read, legible, seconds for each image). A word counts if its text is in an overlapping line."""
    truth = json.loads((folder / "annotations.json").read_text())
    words: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for word in truth["annotations"]:
        if word["legible"]:
            words[word["image_id"]].append(word)
    samples = [sample(folder / "images" / image["file_name"]) for image in truth["images"]]
    specialist = RapidOcr()
    specialist.load()
    started = time.perf_counter()
    answers = specialist.annotate(samples)
    seconds = (time.perf_counter() - started) / len(answers)
    pairs = list(zip(answers, words.values(), strict=True))
    return sum(_is_read(w, answer) for answer, some in pairs for w in some), sum(len(s) for _, s in pairs), seconds


def _is_read(word: dict[str, Any], answer: Answer) -> bool:
    x, y, width, height = word["bbox"]
    lines = {text.region_id: text.text.lower() for text in answer.region_texts}
    return any(
        word["text"].lower() in lines[line.id]
        and line.x1 < x + width
        and line.x2 > x
        and line.y1 < y + height
        and line.y2 > y
        for line in answer.regions
    )


def _result(image: int, region: Region) -> dict[str, Any]:
    box = [region.x1, region.y1, region.x2 - region.x1, region.y2 - region.y1]
    return {"image_id": image, "category_id": CATEGORY[region.label], "bbox": box, "score": region.score}


def _line(name: str, photos: Photos, regions: Sequence[Sequence[Region]], seconds: float) -> None:
    ap50, ap = photos.average_precision(regions)
    val, _ = photos.average_precision(regions, val=True)
    print(f"{name:36}{ap50:7.4f}{ap:7.4f}{val:9.4f}{1000 * seconds:10.1f}", flush=True)


if __name__ == "__main__":
    main()
