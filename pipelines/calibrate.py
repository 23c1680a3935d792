"""Make scores of detectors comparable: a curve for each, fitted to what people said of images kept to measure with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from engine.calibration import Calibration
from engine.dataset import Dataset
from engine.errors import ConfigError
from model.evaluate.calibration import calibration_error, fit_isotonic
from model.evaluate.matching import scored
from pipelines.label_gaps import label_gaps
from pipelines.said import answers, detections, without_duplicates
from pipelines.truth import Truths

FOLDER = "calibration"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where the calibration lies, and of each detector: boxes it was fitted on, error before, error after."""

    path: str
    calibration: Calibration
    errors: dict[str, tuple[int, float, float]]
    notes: list[str] = field(default_factory=list)


def fit(dataset: Dataset, truth: Truths) -> Fitted:
    """Fit a curve for each detector and store it under `calibration/`.

    The file is named by its content and never changes: a recipe that names it says what it was made with.
    """
    if not any(image.objects for image in truth.objects.values()):
        raise ConfigError(f"There is nothing to fit a calibration to: {truth.told}, and they drew no box.")
    curves, seen, boxes = {}, {}, []
    for node, rows in answers(dataset, set(truth.objects)):
        if "boxes" in node.gives and node.component != "human":
            boxes.append(detections(rows, node))
            scores, right, _ = scored(truth.objects, without_duplicates(boxes[-1]))
            if len(scores):
                curves[node.name] = fit_isotonic(scores, right)
                seen[node.name] = (scores, right)
    if not curves:
        raise ConfigError(
            "There is no detector with boxes on these images to fit a calibration of: run annotate first."
        )
    found = Calibration(curves)
    path = f"{FOLDER}/{found.digest[:8]}.json"
    dataset.storage.sweep_temporaries(FOLDER)
    dataset.storage.create(path, json.dumps(found.as_json(), indent=1).encode())
    errors = {
        name: (
            len(scores),
            calibration_error(scores, right),
            calibration_error(found.apply([name] * len(scores), scores), right),
        )
        for name, (scores, right) in seen.items()
    }
    notes = [*truth.notes, *label_gaps(truth.objects, boxes)]
    return Fitted(dataset.location(path), found, errors, notes)


def render_fit(found: Fitted, truth: Truths, form: str) -> str:
    """What was fitted, and the lines that make consensus and filters use it."""
    if form == "json":
        errors = {name: {"boxes": n, "before": a, "after": b} for name, (n, a, b) in found.errors.items()}
        told = {"path": found.path, "truth": truth.told, "notes": found.notes, "ECE on what was fitted": errors}
        return json.dumps(told, indent=1)
    lines = [
        f"fitted on {truth.told}",
        *found.notes,
        "",
        f"{'detector':<20}{'boxes':>8}  ECE before  after (on the same boxes)",
    ]
    lines += [f"{name:<20}{n:>8,}{before:>12.3f}{after:>7.3f}" for name, (n, before, after) in found.errors.items()]
    lines += ["", f"written to {found.path}", "to use it, add to the recipe:"]
    lines += [f"  annotate.objects.calibration: {found.path}      # consensus: before scores are combined"]
    return "\n".join(lines)
