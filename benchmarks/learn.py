"""What a tiny Florence-2 learns from scratch on the synthetic world, and whether its scores are calibrated.

    python -m benchmarks.learn --out /tmp/learn [--mix | --noisy] [--steps 3000] [--images 3000] [--seed 0]

Uses 3,000 scenes of 96 pixels for training, 400 for fitting a calibration and 400 for testing. Trains as `engine train`
does, on one core, and resumes after an interruption. `--mix`: detection, captions and grounding in one model.
`--noisy`: 1,500 scenes labelled by an unreliable annotator and filtered, and 2,000 steps with the options that small
models need for that (docs/guide/4-training.md).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.images.decode import decode, image_id
from engine.records.overlaps import iou_pairs, suppress
from engine.schema import Sample, as_row
from engine.storage.files import Storage
from model.evaluate.calibration import calibration_error, fit_isotonic
from model.evaluate.detections import Detection, Truth, TruthImage
from model.evaluate.matching import matched, scored
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import PAIRS, pair_row
from model.training.job import Progress
from model.training.options import AugmentOptions, TrainOptions
from specialists.synthetic.noisy_annotator import NoisyAnnotator
from specialists.synthetic.world import Scene, scenes

OD, CAPTION, GROUNDING = "<OD>", "<CAPTION>", "<CAPTION_TO_PHRASE_GROUNDING>"
SIZE = 96
BATCH = 64
_SURE, _SAME, _MIN_SIDE = 0.35, 0.5, 0.04  # of the noisy annotator's boxes: score, IoU, share of the image's side
_NOISY = {"auxiliary": 1.0, "fourier_locations": True, "soft_locations": 20.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mix", action="store_true", help="captions and grounding too")
    parser.add_argument("--noisy", action="store_true", help="boxes by an annotator that is often wrong")
    parser.add_argument("--steps", type=int, help="3,000, or 2,000 of noisy boxes")
    parser.add_argument("--images", type=int, help="3,000, or 1,500 with noisy boxes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without flips, scales and shifts")
    parser.add_argument("--set", nargs="*", default=[], help="other keys of the recipe's train section, key=value")
    options = parser.parse_args()
    options.steps = options.steps or (2000 if options.noisy else 3000)
    options.images = options.images or (1500 if options.noisy else 3000)
    tasks = [OD, CAPTION, GROUNDING] if options.mix else [OD]
    folder = options.out / f"pairs-{options.images}{'-noisy' if options.noisy else ''}"
    pairs = draw(folder, options.images, tasks, seed=options.seed, noisy=options.noisy)
    model, record, seconds = learn(options, pairs, tasks)
    print(f"{record['parameters']:,} parameters, {options.steps} steps, {seconds:.0f} CPU seconds in this run")
    answers = Answers(model, world(400, options.seed + 1000))
    report = answers.report(tasks) | {"cpu_seconds": seconds, "steps": options.steps}
    report |= honesty(Answers(model, world(400, options.seed + 2000)), answers)
    print(json.dumps(report, indent=1))


def world(images: int, seed: int) -> list[Scene]:
    return list(scenes(f"world://?images={images}&size={SIZE}&seed={seed}&words=0"))


def record(scene: Scene) -> dict[str, Any]:
    columns = ("texts", "regions", "region_texts", "phrases")
    return {name: [as_row(item) for item in getattr(scene.truth, name)] for name in columns}


def seen(scene: Scene, annotator: NoisyAnnotator) -> dict[str, Any]:
    """The annotator's boxes of a scene above its floor, one for each place."""
    (answer,) = annotator.annotate([Sample(f"{scene.index:032x}", SIZE, SIZE, regions=scene.truth.regions)])
    sure = [one for one in answer.regions if (one.score or 0.0) >= _SURE]
    sure = [one for one in sure if min(one.x2 - one.x1, one.y2 - one.y1) >= _MIN_SIDE * SIZE]
    boxes = np.array([(one.x1, one.y1, one.x2, one.y2) for one in sure]).reshape(-1, 4)
    i, j, _ = iou_pairs(np.zeros(len(sure), np.int64), boxes, min_iou=_SAME)
    keep = suppress(i, j, np.array([one.score for one in sure], np.float64))
    return {"regions": [as_row(one) for one, stays in zip(sure, keep.tolist(), strict=True) if stays]}


def draw(folder: Path, images: int, tasks: Sequence[str], *, seed: int, noisy: bool = False) -> Path:
    """Makes the pairs of all tasks once, with the images beside them."""
    file = folder / f"pairs-of-{len(tasks)}.parquet"
    if file.exists():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    annotator = NoisyAnnotator(seed=seed)
    for scene in world(images, seed):
        (folder / f"{scene.index}.png").write_bytes(scene.data)
        place = {"image_id": image_id(scene.data), "width": SIZE, "height": SIZE, "split": "train"}
        place |= {"uri": f"{scene.index}.png", "offset": 0, "length": -1}
        known = seen(scene, annotator) if noisy else record(scene)
        made = compile_pairs(known, width=SIZE, height=SIZE, options=PairOptions(tasks=list(tasks), order="reading"))
        rows += [pair_row(pair, place) for pair in made.pairs]
    pq.write_table(pa.Table.from_pylist(rows, PAIRS), file)
    return file


def learn(options: argparse.Namespace, pairs: Path, tasks: Sequence[str]) -> tuple[str, dict[str, Any], float]:
    """(folder of the model, content of training.json, CPU seconds)"""
    import yaml

    from pipelines.training.train import fit

    other = {key: yaml.safe_load(value) for key, _, value in (item.partition("=") for item in options.set)}
    kind = "mix" if options.mix else "noisy" if options.noisy else "od"
    name = f"{kind}-{'plain-' if options.plain else ''}{options.steps}-{options.seed}"
    name += "".join(f"-{key}-{value}" for key, value in other.items())
    augment = AugmentOptions() if options.plain else AugmentOptions(flip=True, scale=0.2, shift=0.12, order="reading")
    train = TrainOptions.model_validate(
        {"name": name, "vocabulary": 300, "steps": options.steps, "seed": options.seed, "tasks": list(tasks)}
        | {"augment": augment, "temperature": 1.0}
        | (_NOISY if options.noisy else {})
        | other
    )
    started, line = time.process_time(), _Line()
    result = fit(Storage(str(options.out)), train, [str(pairs)], str(pairs), runner="inline", on_progress=line.say)
    return str(options.out / result.folder), dict(result.record), time.process_time() - started


class _Line:
    def __init__(self) -> None:
        self.spoken = time.monotonic()

    def say(self, progress: Progress) -> None:
        if time.monotonic() - self.spoken > 20:
            self.spoken = time.monotonic()
            print(f"step {progress.step}/{progress.steps}, loss {progress.loss:.3f}", flush=True)


@dataclass(slots=True)
class ParsedRegion:
    truth: dict[str, TruthImage]
    boxes: dict[str, list[Detection]]

    def f1(self, iou: float = 0.5) -> float:
        right = sum(int(matched(self.truth[name].objects, self.boxes[name], iou=iou)[0].sum()) for name in self.truth)
        return 2 * right / (sum(len(b) for b in self.boxes.values()) + sum(len(t.objects) for t in self.truth.values()))


class Answers:
    """The answers of a model for scenes, and the truth."""

    def __init__(self, folder: str, of: Sequence[Scene]) -> None:
        import torch

        from model.network.florence import load

        torch.set_num_threads(1)
        self.florence = load(folder)
        self.scenes = of
        self.images = [decode(scene.data) for scene in of]
        self.records = [record(scene) for scene in of]
        self.truth = {name: TruthImage(SIZE, SIZE, self.objects(number)) for number, name in enumerate(self.names)}

    @property
    def names(self) -> list[str]:
        return [f"{number:04d}" for number in range(len(self.scenes))]

    def objects(self, number: int) -> list[Truth]:
        regions = [region for region in self.records[number]["regions"] if region["kind"] == "object"]
        return [Truth(r["label"], (r["x1"], r["y1"], r["x2"], r["y2"])) for r in regions]

    def detections(self, location: Any = "median") -> ParsedRegion:
        from model.decoding.predict import predict
        from model.network.encoding import make_question

        questions = [make_question(number, OD) for number in range(len(self.images))]
        answers = predict(self.florence, self.images, questions, batch_size=BATCH, max_new_tokens=60, location=location)
        boxes = {
            name: [
                Detection(found.label, found.box, score.score)
                for found, score in zip(one.parsed.regions, one.likelihood.regions, strict=True)
                if found.box
            ]
            for name, one in zip(self.names, answers, strict=True)
        }
        return ParsedRegion(self.truth, boxes)

    def report(self, tasks: Sequence[str]) -> dict[str, Any]:
        found = {location: self.detections(location) for location in ("median", "argmax")}
        report: dict[str, Any] = {f"f1_{location}": round(one.f1(), 3) for location, one in found.items()}
        report["f1_75"] = round(found["median"].f1(0.75), 3)
        if CAPTION in tasks:
            report["captions_exact"] = round(self.captions(), 3)
        if GROUNDING in tasks:
            report["grounding_accuracy"] = round(self.grounding(), 3)
        return report

    def captions(self) -> float:
        """The share of captions that equal the true one, word for word."""
        from model.decoding.predict import predict
        from model.network.encoding import make_question

        questions = [make_question(number, CAPTION) for number in range(len(self.images))]
        answers = predict(self.florence, self.images, questions, batch_size=BATCH, max_new_tokens=60)
        brief = [[text["text"] for text in one["texts"] if text["granularity"] == "brief"] for one in self.records]
        return float(np.mean([one.parsed.text in true for one, true in zip(answers, brief, strict=True)]))

    def grounding(self) -> float:
        """The share of true pairs of phrase and box that the model answers with an IoU of .5 or more."""
        from model.decoding.predict import predict
        from model.florence2_tasks import input_of
        from model.network.encoding import make_question
        from model.pairs.parsing import parse_target as parsed

        questions, due = [], []
        for number, one in enumerate(self.records):
            made = compile_pairs(one, width=SIZE, height=SIZE, options=PairOptions(tasks=[GROUNDING], order="reading"))
            for pair in made.pairs:
                questions.append(make_question(number, GROUNDING, input_of(GROUNDING, pair.prompt)))
                due.append(parsed(GROUNDING, pair.target, width=SIZE, height=SIZE).regions)
        answers = predict(self.florence, self.images, questions, batch_size=BATCH, max_new_tokens=80, location="median")
        right = total = 0
        for answer, true in zip(answers, due, strict=True):
            truth = [Truth(found.label, found.box) for found in true if found.box]
            boxes = [Detection(found.label, found.box, 1.0) for found in answer.parsed.regions if found.box]
            right, total = right + int(matched(truth, boxes)[0].sum()), total + len(truth)
        return right / total


def honesty(fit: Answers, test: Answers) -> dict[str, Any]:
    """AUROC and calibration of generated boxes; AUROC of true annotations against corrupted ones, teacher-forced."""
    from sklearn.metrics import roc_auc_score

    seen, held = fit.detections(), test.detections()
    scores, right, _ = scored(seen.truth, seen.boxes)
    x, y = fit_isotonic(scores, right)
    scores, right, _ = scored(held.truth, held.boxes)
    calibrated = np.interp(scores, x, y)
    true, wrong = corrupted(test)
    given = np.concatenate([true, wrong])
    return {
        "boxes": len(scores),
        "boxes_right": round(float(right.mean()), 3),
        "auroc": round(float(roc_auc_score(right, scores)), 3),
        "ece_raw": round(calibration_error(scores, right), 3),
        "ece_calibrated": round(calibration_error(calibrated, right), 3),
        "teacher_forced_auroc": round(float(roc_auc_score(np.arange(len(given)) < len(true), given)), 3),
    }


def corrupted(answers: Answers) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Scores of the annotations of each scene as they are, and of corrupted ones."""
    from model.decoding.score import score
    from model.network.encoding import make_question
    from model.pairs.targets import Item, in_target_order, write_target
    from specialists.synthetic.shapes import CLASSES

    random = np.random.default_rng(0)
    questions, targets, wrong_at = [], [], []
    for number in range(len(answers.images)):
        items = [Item(thing.label, thing.box) for thing in answers.objects(number)]
        place = int(random.integers(len(items)))
        for broken in (False, True):
            own = list(items)
            if broken:
                own[place] = _broken(items[place], random, CLASSES)
            order = in_target_order("labelled_boxes", own, "reading")
            questions.append(make_question(number, OD))
            targets.append(write_target("labelled_boxes", order, width=SIZE, height=SIZE, order="reading"))
            wrong_at.append((order.index(own[place]), broken))
    scores = score(answers.florence, answers.images, questions, targets, batch_size=BATCH)
    values = [(one.likelihood.regions[at].score, broken) for one, (at, broken) in zip(scores, wrong_at, strict=True)]
    return tuple(np.array([value for value, broken in values if broken is is_broken]) for is_broken in (False, True))  # type: ignore[return-value]


def _broken(item: Any, random: np.random.Generator, classes: Sequence[str]) -> Any:
    """Half of the annotations with another label, the other half moved by half an image, away from any object."""
    if random.integers(2):
        return item._replace(label=str(random.choice([name for name in classes if name != item.label])))
    x1, y1, x2, y2 = item.box
    dx, dy = (SIZE / 2 * (1 if low < SIZE / 2 - (high - low) / 2 else -1) for low, high in ((x1, x2), (y1, y2)))
    x, y = (min(max(v, 0.0), SIZE - side) for v, side in ((x1 + dx, x2 - x1), (y1 + dy, y2 - y1)))
    return item._replace(box=(x, y, x + x2 - x1, y + y2 - y1))


if __name__ == "__main__":
    main()
