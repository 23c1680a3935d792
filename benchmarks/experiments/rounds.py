"""Experiments on rounds of refinement, with controls and with students that the gate must refuse.

All use pipelines/recipes/world-refine.yaml.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.experiments.book import Experiment, Outcome, Table
from benchmarks.experiments.labels import if_accepted, stages
from benchmarks.experiments.students import Oracle, Shuffled, use_student
from engine.storage.files import sha256_file
from pipelines.recipe import Recipe, load_recipe
from pipelines.refine.propose import Propose
from pipelines.refine.round_record import RoundRecord
from pipelines.stages.run import Summary, run

RECIPE = Path(__file__).parents[2] / "pipelines" / "recipes" / "world-refine.yaml"
Settings = Mapping[str, Any]

# A gate that refuses only if the F1 of audit images falls with certainty.
OPEN = [
    f"refine.gate.{name}={value}"
    for name, value in (
        ("min_agreement", 0),
        ("max_dropped", 100),
        ("max_relabelled", 100),
        ("max_added", 100),
        ("max_f1_fall", 1),
        ("class_fall", 1),
        ("min_right", 0),
    )
]
BIASED = ["annotate.noisy.confuse={ball: ring, cross: star}", "annotate.noisy.confuse_share=0.7"]
BIASED += ["annotate.noisy.miss_small=0.55"]
EXACT = ["annotate.noisy.miss=0", "annotate.noisy.flip=0", "annotate.noisy.jitter=0"]
EXACT += ["annotate.noisy.false_positive=0", "annotate.noisy.duplicate=0", "annotate.noisy.auc=0.99"]
EXACT += ["filter.min_score.floor=0"]


def settings(*changes: str, seed: int = 0) -> dict[str, Any]:
    """The settings of an experiment: the text of the recipe, the seed and the changes."""
    return {"recipe": RECIPE.read_text(), "seed": seed, "set": list(changes)}


def recipe_of(dataset: Path, given: Settings, *changes: str) -> Recipe:
    """The seed determines the world, the annotator's errors and the initial weights."""
    seed = given["seed"]
    world = f"world://?images=3400&size=96&words=0&seed={seed}"
    own = [f"dataset={dataset}", f"ingest.sources=['{world}']", f"annotate.noisy.seed={seed}", f"train.seed={seed}"]
    return load_recipe(str(RECIPE), [*own, *given["set"], *changes])


def run_to_refine(recipe: Recipe) -> Summary:
    for stage in ("ingest", "annotate", "filter"):
        run(recipe, stage=stage, runner="inline")
    return run(recipe, stage="refine", runner="inline")


# --- the effect on labels ----------------------------------------------------------


def rounds(folder: Path, given: Settings) -> Outcome:
    recipe = recipe_of(folder / "set", given)
    notes = run_to_refine(recipe).notes
    return Outcome({"labels": stages(recipe)}, notes)


def systematic(folder: Path, given: Settings) -> Outcome:
    """An annotator with systematic errors: with audit images, without their guard, and with the reported pairs held."""
    biased = ("ball", "cross")
    guarded = recipe_of(folder / "set", given)
    before = released(guarded, "before")
    notes = [f"with audit images: {note}" for note in run_to_refine(guarded).notes]
    pairs = _pairs_to_hold(guarded)
    same = released(guarded, "after") == before
    notes.append(f"The data set after the refusal is {'bit for bit as' if same else 'NOT as'} before.")
    unguarded = recipe_of(folder / "set", given, *OPEN)
    run_to_refine(unguarded)
    table = stages(unguarded, biased)
    table["round 1, unguarded"] = table.pop("round 1")
    notes.append(f"The report says: refine.hold_labels: {pairs}")
    held = recipe_of(folder / "set", given, f"refine.hold_labels={pairs}")
    notes += [f"with these pairs held: {note}" for note in run_to_refine(held).notes]
    if "round 1" in (now := stages(held, biased)):
        table["round 1, pairs held"] = now["round 1"]
    return Outcome({"labels": table}, notes)


def _pairs_to_hold(recipe: Recipe) -> list[list[str]]:
    from refinement.confusion import to_hold

    return to_hold(decisions(recipe)[0].confused["people"])


def decisions(recipe: Recipe) -> list[RoundRecord]:
    """The decisions on all rounds, including a last one that refused."""
    from engine.storage.files import Storage
    from pipelines.stages.state import read_state

    return read_state(Storage(recipe.dataset), recipe).rounds.decisions


# --- the gate --------------------------------------------------------------------------------

STUDENTS: dict[str, tuple[int, Any]] = {  # steps of training, and the student used
    "untrained": (1, None),
    "under-trained": (150, None),
    "shown other images": (2000, Shuffled),
    "one that knows the truth": (1, Oracle),
}


def gate(folder: Path, given: Settings) -> Outcome:
    """The gate's decision on a round of each student, and the F1 that the labels would have after it."""
    table: Table = {}
    notes: list[str] = []
    for name, (steps, student) in STUDENTS.items():
        dataset = folder / name.replace(" ", "-")
        recipe = recipe_of(dataset, given, f"train.steps={steps}")
        if student is Shuffled:
            copy_students(folder.parent / given["trained"] / "set", dataset)
        record, table[name], new_notes = round_at_gate(recipe, student, name)
        notes += new_notes
        filtered = stages(recipe)["filtered"]
        table[name] |= {key: record.measures[key] for key in ("agreement", "dropped", "relabelled", "added")}
        table[name] |= {"F1 before": filtered["F1@.5"], "F1, were it believed": if_accepted(recipe, record)["F1@.5"]}
    return Outcome({"students at the gate": table}, notes)


def round_at_gate(
    recipe: Recipe, student: type[Propose] | None, name: str
) -> tuple[RoundRecord, dict[str, Any], list[str]]:
    """Runs one round with a student. Returns the decision, the first cells of the student's row, and the notes."""
    with use_student(student):
        before = released(recipe, "before")
        notes = [f"{name}: {note}" for note in run_to_refine(recipe).notes]
        (record,) = decisions(recipe)
        same = released(recipe, "after") == before
    row = {"accepted": "yes" if record.accepted else "no", "data set as before": "yes" if same else "no"}
    return record, row, notes


def copy_students(trained: Path, dataset: Path) -> None:
    """Copies the models of another data set made by the same recipe; `fit` finds them by their key."""
    for model in trained.glob("models/round-1-fold-*"):
        shutil.copytree(model, dataset / "models" / model.name, dirs_exist_ok=True)


def released(recipe: Recipe, name: str) -> dict[str, str]:
    """Makes a release of the current data set and returns {file: sha256}."""
    named = recipe.model_copy(update={"emit": recipe.emit.model_copy(update={"name": name})})
    for stage in ("ingest", "annotate", "filter"):
        run(named, stage=stage, runner="inline")
    run(named, stage="emit", runner="inline")
    folder = Path(recipe.dataset, "releases", name)
    data = (path for path in sorted(folder.rglob("*")) if path.suffix in (".tar", ".parquet", ".jsonl"))
    return {path.name: sha256_file(str(path)) for path in data}


ROUNDS = (
    Experiment("rounds-0", "three rounds, seed 0", settings("refine.rounds=3"), rounds),
    Experiment("rounds-1", "three rounds, another world, other errors", settings("refine.rounds=3", seed=1), rounds),
    Experiment(
        "more-training",
        "the training steps of two rounds in one round",
        settings("refine.rounds=1", "train.steps=3200"),
        rounds,
    ),
    Experiment("systematic", "an annotator with systematic errors", settings("refine.rounds=1", *BIASED), systematic),
    Experiment("no-folds", "students judge their own images", settings("refine.rounds=1", "refine.folds=1"), rounds),
    Experiment("truth", "students of true labels: the upper bound", settings("refine.rounds=1", *EXACT), rounds),
    Experiment("filters-off", "no filters", settings("refine.rounds=1", "filter=[]"), rounds),
    Experiment(
        "gate",
        "students that must be refused, and one that must be accepted",
        settings("refine.rounds=1", "refine.max_new_tokens=64") | {"trained": "rounds-0"},
        gate,
        after=("rounds-0",),
    ),
)
