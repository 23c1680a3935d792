"""Fits a calibration to human labels: a curve for the scores of each detector, and a fusion of these scores."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from engine.errors import ConfigError
from engine.extras import require
from engine.layout import CALIBRATION
from engine.reading.dataset import Dataset
from engine.scores.calibration import Calibration
from model.evaluate.calibration import calibration_error
from model.evaluate.matching import scored
from pipelines.evaluation.fit_fusion import HeldOut, fit_fusion
from pipelines.evaluation.label_gaps import label_gaps
from pipelines.evaluation.predictions import detections, predictions, without_duplicates
from pipelines.evaluation.truth import Truths, audit_truth


@dataclass(frozen=True, slots=True)
class DetectorFit:
    """The fit of one detector.

    boxes: the number of boxes it was fitted to. before, after: the calibration error on these boxes, before and after
    it.
    """

    boxes: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class CalibrationFit:
    """A fitted calibration. Prints as a table, and the recipe lines that use it.

    path: of the calibration file. truth: what it was fitted to, in words. held_out: fused scores of images that were
    not used for the fit; None if there is only one detector, or too few labels for a fusion.
    """

    path: str
    truth: str
    calibration: Calibration
    detectors: dict[str, DetectorFit]
    held_out: HeldOut | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def floor(self) -> float | None:
        """The score floor with the best F1; None without a fusion."""
        return self.calibration.fusion.floor if self.calibration.fusion else None

    @property
    def error_above_floor(self) -> float | None:
        """The calibration error of fused scores from the floor on, on images that were not used for the fit.

        None without a fusion.
        """
        if self.held_out is None or self.floor is None:
            return None
        over = self.held_out.scores >= self.floor
        return calibration_error(self.held_out.scores[over], self.held_out.right[over])

    def as_json(self) -> str:
        content: dict[str, object] = {
            "path": self.path,
            "truth": self.truth,
            "notes": self.notes,
            "ECE on what was fitted": {name: asdict(one) for name, one in self.detectors.items()},
        }
        if self.held_out is not None:
            content |= {"floor": self.floor, "ECE above the floor, images not fitted on": self.error_above_floor}
        return json.dumps(content, indent=1)

    def __str__(self) -> str:
        lines = [f"fitted to {self.truth}", *self.notes, ""]
        lines += [f"{'detector':<20}{'boxes':>8}  ECE before  after (on the same boxes)"]
        lines += [
            f"{name:<20}{one.boxes:>8,}{one.before:>12.3f}{one.after:>7.3f}" for name, one in self.detectors.items()
        ]
        if self.held_out is not None:
            lines += ["", f"fusion of {len(self.detectors)} detectors: F1 is best at a score floor of {self.floor:.2f}"]
            lines += [f"calibration error above the floor: {self.error_above_floor:.3f} (on images not fitted to)"]
        elif len(self.detectors) > 1:
            lines += ["", "There are too few labels to fit a fusion: only the curves were fitted."]
        lines += ["", f"written to {self.path}", "to use it, add to the recipe:"]
        lines += [f"  annotate.objects.calibration: {self.path}      # consensus: before scores are combined"]
        if self.held_out is not None:
            lines += [f"  filter.min_score.floor: {self.floor:.2f}"]
        return "\n".join(lines)


def calibrate(dataset: Dataset, truth: Truths | None = None) -> CalibrationFit:
    """Fits a curve for each detector and, if there are several, a fusion. Stores them in one file under `calibration/`.

    truth: by default the labels of the audit-fit images. The file is named by its content and never changes, so a
    recipe that names it stays reproducible. Raises ConfigError if there are no true boxes or no detector.
    """
    require("Fitting a calibration", ["sklearn"])
    truth = audit_truth(dataset, "audit-fit") if truth is None else truth
    if not any(image.objects for image in truth.objects.values()):
        raise ConfigError(f"There are no boxes to fit a calibration to in {truth.description}: label objects in them.")
    boxes = {
        node.name: detections(tables, node)
        for node, tables in predictions(dataset, set(truth.objects))
        if "boxes" in node.gives and node.component != "human"
    }
    found = {name: without_duplicates(some) for name, some in boxes.items()}
    calibration, held_out = fit_fusion(truth.objects, {name: some.by_image() for name, some in found.items()})
    if not calibration.curves:
        raise ConfigError("No detector has boxes on these images to fit a calibration to: run --stage annotate first.")
    path = f"{CALIBRATION}/{calibration.digest[:8]}.json"
    dataset.storage.create(path, json.dumps(calibration.as_json(), indent=1).encode())
    dataset.storage.sweep_temporaries(CALIBRATION)
    detectors = {}
    for name in calibration.producers:
        scores, right, _ = scored(truth.objects, found[name])
        after = calibration.apply([name] * len(scores), scores)
        errors = calibration_error(scores, right), calibration_error(after, right)
        detectors[name] = DetectorFit(len(scores), *errors)
    notes = [*truth.notes, *label_gaps(truth.objects, list(boxes.values()))]
    return CalibrationFit(dataset.location(path), truth.description, calibration, detectors, held_out, notes)
