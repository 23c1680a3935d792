"""Experiments on a round of refinement of noisy captions, measured against the drawn scenes before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.experiments.book import Experiment, Outcome, Table
from benchmarks.experiments.labels import stages
from benchmarks.experiments.rounds import Settings, copy_students, recipe_of, round_at_gate, run_to_refine, settings
from benchmarks.experiments.writers import OtherImages, SureOfOtherImages, facts
from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.running.graph import Node
from engine.storage.commits import TableReader
from engine.storage.files import Storage
from model.evaluate.texts import measure_captions
from pipelines.filter.kept_record import records
from pipelines.recipe import Recipe
from pipelines.refine.audit import dataset_of
from pipelines.stages.state import read_state
from specialists.synthetic.world import scene_at

Texts = Mapping[str, Sequence[str]]  # brief captions by image
_MEASURES = (
    "agreement",
    "texts changed",
    "brief CIDEr-D before",
    "brief CIDEr-D after",
    "F1@0.5 before",
    "F1@0.5 after",
)

CAPTIONED = (
    "annotate.captions={use: 'benchmarks.experiments.writers:NoisyCaptions'}",
    "annotate.parse={use: spacy_parse}",
    "annotate.grounder={use: label_grounder}",
    "emit.pairs.tasks=[<OD>, <CAPTION>]",
    "refine.tasks=[<OD>, <CAPTION>]",
    "refine.rounds=1",
    "refine.merge.max_briefs=1",
    "refine.max_new_tokens=64",
)


def texts(folder: Path, given: Settings) -> Outcome:
    """One round: the captions and boxes of all training images before it, by its students, and after it."""
    recipe = recipe_of(folder / "set", given, f"annotate.captions.seed={given['seed']}")
    notes = run_to_refine(recipe).notes
    return Outcome({"captions": captions(recipe), "boxes": stages(recipe)}, notes)


def captions(recipe: Recipe) -> Table:
    """Figures of the captioner's texts, of the students' texts, and of the texts kept after the round."""
    storage = Storage(recipe.dataset)
    state = read_state(storage, recipe)
    truth = _truth(Dataset.open(recipe.dataset))
    table = {"captioner": figures(truth, _kept(storage, state.annotators, state.judge, set(truth)))}
    now = state.rounds
    if now.accepted:
        dataset = dataset_of(storage, now.nodes, now.judge)
        table["students of round 1"] = figures(truth, _written(dataset, now.nodes, "round-1-propose"))
        table["round 1"] = figures(truth, _kept(storage, now.nodes, now.judge, set(truth)))
    return table


def figures(truth: Texts, texts: Texts) -> dict[str, Any]:
    """Figures of captions.

    all facts right: the share of images whose first caption counts exactly the drawn objects. facts F1: of counted
    objects. An image without a caption counts as 0.
    """
    first = {name: texts[name][0] for name in truth if texts.get(name)}
    right = wrong = missed = whole = 0
    for name, (true, *_) in truth.items():
        there, counted = facts(true), facts(first.get(name, ""))
        both = (there & counted).total()
        right, wrong, missed = right + both, wrong + counted.total() - both, missed + there.total() - both
        whole += there == counted
    return {
        "captions": sum(len(some) for some in texts.values()),
        "all facts right": whole / len(truth),
        "facts F1": 2 * right / max(2 * right + wrong + missed, 1),
        "CIDEr-D": float(np.mean(measure_captions(truth, first).cider)),
    }


def _truth(dataset: Dataset) -> dict[str, list[str]]:
    answer = {}
    for path in dataset.files(IMAGES).values():
        for row in TableReader(dataset.storage, path).read().to_pylist():
            if row["split"] == "train":
                written = scene_at(row["sources"][0]["uri"]).truth.texts
                answer[row["image_id"]] = [text.text for text in written if text.granularity == "brief"]
    return answer


def _kept(storage: Storage, nodes: Sequence[Node], judge: Node, wanted: set[str]) -> dict[str, list[str]]:
    kept = records(dataset_of(storage, nodes, judge), wanted)[1]
    return {name: _brief(row) for name, row in kept.items()}


def _written(dataset: Dataset, nodes: Sequence[Node], name: str) -> dict[str, list[str]]:
    folder = next(node.folder for node in nodes if node.name == name)
    rows = (
        row for path in dataset.files(folder).values() for row in TableReader(dataset.storage, path).read().to_pylist()
    )
    return {row["image_id"]: _brief(row) for row in rows}


def _brief(row: Mapping[str, Any]) -> list[str]:
    return [text["text"] for text in row["texts"] if text["granularity"] == "brief"]


# --- the gate --------------------------------------------------------------------------------

_STUDENTS = {
    "captions of other images": OtherImages,
    "captions of other images, certain of them": SureOfOtherImages,
}


def nonsense(folder: Path, given: Settings) -> Outcome:
    """Trained students that write fluent captions of other images: what the merge and the gate do with them."""
    table: Table = {}
    notes: list[str] = []
    for number, (name, student) in enumerate(_STUDENTS.items()):
        dataset = folder / f"student-{number}"
        recipe = recipe_of(dataset, given, f"annotate.captions.seed={given['seed']}")
        copy_students(folder.parent / given["trained"] / "set", dataset)
        record, table[name], new_notes = round_at_gate(recipe, student, name)
        notes += new_notes
        table[name] |= {key: record.measures.get(key) for key in _MEASURES}
        now = captions(recipe)
        table[name] |= {"all facts right before": now["captioner"]["all facts right"]}
        table[name] |= {"after": now.get("round 1", now["captioner"])["all facts right"]}
    return Outcome({"students at the gate": table}, notes)


_STEPS = "train.steps=3000"

TEXTS = (
    Experiment("texts-0", "captions before and after a round, seed 0", settings(*CAPTIONED, _STEPS), texts),
    Experiment("texts-1", "the same, seed 1", settings(*CAPTIONED, _STEPS, seed=1), texts),
    Experiment(
        "nonsense",
        "students that write captions of other images",
        settings(*CAPTIONED, _STEPS) | {"trained": "texts-0"},
        nonsense,
        after=("texts-0",),
    ),
)
