"""Make scores of detectors comparable, and one score of several: fitted to what people said of images kept apart."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ConfigError
from engine.extras import require
from engine.layout import CALIBRATION
from engine.reading.dataset import Dataset
from engine.scores.calibration import Calibration
from model.evaluate.calibration import calibration_error
from model.evaluate.matching import scored
from pipelines.evaluation.fit_fusion import Held, fit_fusion
from pipelines.evaluation.label_gaps import label_gaps
from pipelines.evaluation.predictions import answers, detections, without_duplicates
from pipelines.evaluation.truth import Truths


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where the calibration lies; of each detector the boxes it was fitted on, its error before and after.

    `held`: what the fusion said of images it had not seen; None where there is one detector, or too few labels.
    """

    path: str
    calibration: Calibration
    errors: dict[str, tuple[int, float, float]]
    held: Held | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def floor(self) -> float | None:
        """The score from which on F1 was highest."""
        return self.calibration.fusion.floor if self.calibration.fusion else None

    @property
    def error_above_floor(self) -> float | None:
        """Of the fused score, on images that were not fitted on."""
        if self.held is None or self.floor is None:
            return None
        over = self.held.scores >= self.floor
        return calibration_error(self.held.scores[over], self.held.right[over])


def fit(dataset: Dataset, truth: Truths) -> Fitted:
    """Fit a curve for each detector, a fusion of them, and store both under `calibration/`.

    The file is named by its content and never changes: a recipe that names it says what it was made with.
    """
    require("Fitting a calibration", ["sklearn"])
    if not any(image.objects for image in truth.objects.values()):
        raise ConfigError(f"There is nothing to fit a calibration to: {truth.told}, and they drew no box.")
    boxes = {
        node.name: detections(rows, node)
        for node, rows in answers(dataset, set(truth.objects))
        if "boxes" in node.gives and node.component != "human"
    }
    found = {name: without_duplicates(of_images) for name, of_images in boxes.items()}
    calibration, held = fit_fusion(truth.objects, found)
    if not calibration.curves:
        raise ConfigError(
            "There is no detector with boxes on these images to fit a calibration of: run annotate first."
        )
    path = f"{CALIBRATION}/{calibration.digest[:8]}.json"
    dataset.storage.create(path, json.dumps(calibration.as_json(), indent=1).encode())
    dataset.storage.sweep_temporaries(CALIBRATION)
    errors = {}
    for name in calibration.producers:
        scores, right, _ = scored(truth.objects, found[name])
        after = calibration.apply([name] * len(scores), scores)
        errors[name] = (len(scores), calibration_error(scores, right), calibration_error(after, right))
    notes = [*truth.notes, *label_gaps(truth.objects, list(boxes.values()))]
    return Fitted(dataset.location(path), calibration, errors, held, notes)


def render_fit(found: Fitted, truth: Truths, form: str) -> str:
    """What was fitted, and the lines that make consensus and filters use it."""
    if form == "json":
        errors = {name: {"boxes": n, "before": a, "after": b} for name, (n, a, b) in found.errors.items()}
        answer: dict[str, Any] = {
            "path": found.path,
            "truth": truth.told,
            "notes": found.notes,
            "ECE on what was fitted": errors,
        }
        if found.held is not None:
            answer |= {"floor": found.floor, "ECE above the floor, images not fitted on": found.error_above_floor}
        return json.dumps(answer, indent=1)
    lines = [f"fitted on {truth.told}", *found.notes, ""]
    lines += [f"{'detector':<20}{'boxes':>8}  ECE before  after (on the same boxes)"]
    lines += [f"{name:<20}{n:>8,}{before:>12.3f}{after:>7.3f}" for name, (n, before, after) in found.errors.items()]
    if found.held is not None:
        lines += ["", f"fusion of {len(found.errors)} detectors: F1 is best from a score of {found.floor:.2f} on;"]
        lines += [f"above it the calibration error is {found.error_above_floor:.3f} (images not fitted on)"]
    elif len(found.errors) > 1:
        lines += ["", "Too few labels to fit a fusion: curves alone."]
    lines += ["", f"written to {found.path}", "to use it, add to the recipe:"]
    lines += [f"  annotate.objects.calibration: {found.path}      # consensus: before scores are combined"]
    if found.held is not None:
        lines += [f"  filter.min_score.floor: {found.floor:.2f}"]
    return "\n".join(lines)
