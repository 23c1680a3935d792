"""Experiments on supervision, data, model size and pre-training (small versions of paper sections 5 and 6)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.experiments.abilities import CATEGORY, OUTLINE, abilities
from benchmarks.experiments.book import Experiment, Outcome
from benchmarks.experiments.crops import efficiency
from benchmarks.learn import CAPTION, GROUNDING, OD, draw
from engine.storage.files import Storage
from model.training.job import Progress
from model.training.options import AugmentOptions, TrainOptions

DETAILED = "<DETAILED_CAPTION>"
LEVELS = {
    "image": [CAPTION, DETAILED],
    "image, region": [CAPTION, DETAILED, OD, GROUNDING, CATEGORY],
    "image, region, pixel": [CAPTION, DETAILED, OD, GROUNDING, CATEGORY, OUTLINE],
}
SMALL: dict[str, Any] = {"fourier_locations": True, "soft_locations": 20.0}
BOXES: dict[str, Any] = {"auxiliary": 1.0}  # if the tasks have boxes
Settings = Mapping[str, Any]


def trained(folder: Path, name: str, tasks: Sequence[str], *, images: int = 3000, **options: Any) -> str:
    """Trains a model on true labels of the first scenes of world 0, unless it exists. Returns its folder."""
    from pipelines.training.train import fit

    drawn = folder / f"pairs-{images}" / (tasks[0].strip("<>") if len(tasks) == 1 else "mixed")
    pairs = draw(drawn, images, tasks, seed=0)
    train = TrainOptions.model_validate(
        {"name": name, "tasks": list(tasks), "temperature": 1.0, "checkpoint_every": 500}
        | {"augment": AugmentOptions(flip=True, scale=0.2, shift=0.12, order="reading")}
        | {"vocabulary": 0 if "models/" in options.get("init", "") else 300}
        | options
    )
    progress = _Progress(name)
    result = fit(
        Storage(str(folder)), train, [str(pairs)], str(pairs.name), runner="inline", on_progress=progress.print
    )
    return str(folder / result.folder)


class _Progress:
    def __init__(self, name: str) -> None:
        self.name, self.printed = name, time.monotonic()

    def print(self, progress: Progress) -> None:
        if time.monotonic() - self.printed > 20:
            self.printed = time.monotonic()
            print(f"{self.name}: step {progress.step}/{progress.steps}, loss {progress.loss:.3f}", flush=True)


def taught(folder: Path, level: str, given: Settings) -> str:
    """The model trained on the tasks of one of LEVELS."""
    tasks = given["levels"][level]
    aids = SMALL | (BOXES if OD in tasks else {})
    return trained(folder, f"taught-{len(tasks)}", tasks, steps=given["steps"], **aids)


def moved(folder: Path, init: str, name: str, tasks: Sequence[str], given: Settings, **options: Any) -> str:
    """A model fine-tuned from another one on these tasks."""
    aids = SMALL | (BOXES if OD in tasks else {})
    if init == "tiny":
        rate: dict[str, Any] = {}
    else:
        rate = {"learning_rate": given["moved_rate"]}
        init = f"models/{Path(init).name}"
    changes = {"init": init, "images": given["moved_images"], "steps": given["moved_steps"]}
    return trained(folder, name, tasks, **changes, **aids, **rate, **options)


# --- supervision, and a frozen tower ---------------------------------------------------------


def supervision(folder: Path, given: Settings) -> Outcome:
    """Figures of each model, and of detection fine-tuned from it on few images, with and without a frozen tower."""
    own, after = {}, {}
    for level, tasks in given["levels"].items():
        model = taught(folder, level, given)
        own[level] = abilities(model, tasks)
        kept = {"freeze_vision": True}
        free = moved(folder, model, f"detects-{len(tasks)}", [OD], given)
        frozen = moved(folder, model, f"detects-{len(tasks)}-frozen", [OD], given, **kept)
        after[level] = _detects(free) | {f"{key}, frozen": value for key, value in _detects(frozen).items()}
    after["nothing"] = _detects(moved(folder, "tiny", "detects-0", [OD], given))
    return Outcome({"what was taught": own, "detection after it": after})


def _detects(model: str) -> dict[str, float]:
    return abilities(model, [OD])


def transfer(folder: Path, given: Settings) -> Outcome:
    """Vision towers of these models, and the initial one, fine-tuned to classify crops."""
    models = folder.parent / "supervision"
    table = {level: efficiency(taught(models, level, given)) for level in given["levels"]}
    first = taught(models, "image", given)
    table["nothing"] = efficiency(first, fresh=f"{first}/init")
    return Outcome({"crops named": table})


def specialist(folder: Path, given: Settings) -> Outcome:
    """The model trained on all tasks, and the same model after more training on a single task and the same scenes."""
    models = folder.parent / "supervision"
    level = list(given["levels"])[-1]
    general = taught(models, level, given)
    table = {"generalist": abilities(general, given["levels"][level])}
    for name, task in (("detection", OD), ("captions", CAPTION), ("outlines", OUTLINE)):
        one = moved(models, general, f"specialist-{name}", [task], given)
        table[f"specialist, {name}"] = abilities(one, [task])
    return Outcome({"abilities": table})


# --- sizes -----------------------------------------------------------------------------------


def data(folder: Path, given: Settings) -> Outcome:
    table = {}
    for images in given["images"]:
        model = trained(folder, f"of-{images}", [OD], images=images, steps=given["steps"], **SMALL, **BOXES)
        table[f"{images:,} images"] = abilities(model, [OD])
    return Outcome({"detection": table})


def size(folder: Path, given: Settings) -> Outcome:
    import json

    table: dict[str, dict[str, Any]] = {}
    for preset, steps in given["presets"].items():
        started = time.process_time()
        model = trained(folder, preset, [OD], init=preset, steps=steps, size=96, **SMALL, **BOXES)
        training = json.loads(Path(model, "training.json").read_bytes())
        table[preset] = {"parameters": training["parameters"], "steps": steps} | abilities(model, [OD])
        print(f"{preset}: {time.process_time() - started:.0f} CPU seconds")
    return Outcome({"detection": table})


_TAUGHT: dict[str, Any] = {"levels": LEVELS, "steps": 2500}
_MOVED: dict[str, Any] = {"moved_steps": 400, "moved_images": 500, "moved_rate": 5e-4}

ABLATIONS = (
    Experiment(
        "supervision", "image, region and pixel supervision; a frozen vision tower", _TAUGHT | _MOVED, supervision
    ),
    Experiment("data", "300, 1,000, 3,000 images", {"images": [300, 1000, 3000], "steps": 1000}, data),
    Experiment("size", "two presets", {"presets": {"tiny": 600, "small": 600}}, size),
    Experiment("transfer", "the vision tower as a classifier of crops", _TAUGHT, transfer, after=("supervision",)),
    Experiment(
        "specialist",
        "generalist against specialists",
        _TAUGHT | {"moved_steps": 600, "moved_images": 3000, "moved_rate": 3e-4},
        specialist,
        after=("supervision",),
    ),
)
