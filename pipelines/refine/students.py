"""The students of a round: one model for each fold, trained on the pairs of the other folds.

They are folders of the data set, `models/round-<number>-fold-<fold>-<key>`. A finished student is found by its key and
not trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.errors import ConfigError
from engine.keys import stable_hash
from engine.storage.commits import Commits
from model.network.presets import PRESETS, preset_of
from model.training.options import TrainOptions
from pipelines.annotate.run_nodes import run_nodes
from pipelines.annotate.runtime import Runtime
from pipelines.ingest.probe_node import limits_of
from pipelines.recipe import Recipe
from pipelines.refine.nodes import given_node, pairs_node
from pipelines.refine.standing import Standing


def train_students(runtime: Runtime, now: Standing, number: int, before: Sequence[str]) -> list[str]:
    """Makes the training pairs of a round and trains its students. Returns their folders, one for each fold.

    `before`: the students of the previous round, from which training continues. Raises ConfigError if there are no
    pairs.
    """
    from pipelines.training.train import fit, training_key

    recipe, storage = runtime.recipe, runtime.storage
    files, content = _training_files(runtime, now, number)
    folds, students = recipe.refine.folds, []
    for fold in range(folds):
        options = _student_options(recipe, fold, before)
        only = {"fold": [other for other in range(folds) if other != fold or folds == 1]}
        key = training_key(storage, options, content, only)
        name = f"round {number}, fold {fold + 1} of {folds}"
        result = fit(
            storage,
            options.model_copy(update={"name": f"round-{number}-fold-{fold}-{key[:8]}"}),
            files,
            content,
            runner=runtime.runner,
            address=runtime.address,
            on_progress=runtime.on_training(name) if runtime.on_training else None,
            limits=limits_of(recipe),
            only=only,
            base=storage.url,
        )
        students.append(result.folder)
    return students


def _training_files(runtime: Runtime, now: Standing, number: int) -> tuple[list[str], str]:
    """The files with the training pairs of a round, and a hash of their content."""
    recipe, storage = runtime.recipe, runtime.storage
    given = given_node(now.judge, number)
    node = pairs_node(recipe, now.nodes, given, number)
    _, line = run_nodes(runtime, "refine", [node], [*now.nodes, *now.earlier_judges, given])
    now.tallies |= {name: tally for name, tally in line.tallies.items() if tally.units}
    records = list(Commits(storage, node.folder).latest_records())
    if not sum(record.counts["pairs"] for record in records):
        raise ConfigError(
            f"There is nothing to learn from: no image that is kept to train on has a pair of {recipe.refine.tasks}."
        )
    files = [record.files["data"] for record in records]
    return [f"{storage.url}/{file.path}" for file in files], stable_hash([file.sha256 for file in files])


def _student_options(recipe: Recipe, fold: int, before: Sequence[str]) -> TrainOptions:
    """The options of `train`.

    After the first round, a fold's student starts from that fold's student of the previous round.
    """
    refine, train = recipe.refine, recipe.train
    changes: dict[str, Any] = {"release": "", "tasks": list(refine.tasks), "seed": train.seed + fold}
    if before:
        changes |= {"init": before[fold], "size": 0, "vocabulary": 0, "steps": refine.steps_later or train.steps}
        preset = preset_of(train.init).learning_rate if train.init in PRESETS else 0.0
        changes["learning_rate"] = refine.learning_rate_later or train.learning_rate or preset
    return train.model_copy(update=changes)
