"""A recipe: YAML in, frozen models out. Unknown keys are refused with the nearest right one.

Strings may hold ${package:NAME} (the folder of an installed package) and ${env:NAME}.
Paths are relative to where the command runs, not to the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from engine.config.overrides import apply_setting
from engine.config.section import Section
from engine.config.values import WrongKind, check_kinds, expand, explain
from engine.config.yaml_file import KeyPath, read_recipe_file
from engine.errors import ConfigError, unknown
from engine.running.run_options import RunOptions
from model.florence2_tasks import OBJECT_DETECTION, task_of
from model.training.options import TrainOptions
from pipelines.release_options import Emit
from refinement.options import GateOptions, MergeOptions, held


class Audit(Section):
    """Images that are used only to measure: their human labels go to truth/, and no release contains them."""

    fraction: float = Field(
        default=0.0, ge=0, lt=1, description="share of new images; near-duplicates are drawn together"
    )
    list: str = Field(
        default="", description="file with the ids, URIs or file names of further audit images, one on each line"
    )
    seed: int = Field(default=0, description="another seed draws other images")

    @property
    def wanted(self) -> bool:
        return self.fraction > 0 or self.list != ""


class Ingest(Section):
    """Where the images come from and how they are cut into shards."""

    sources: list[dict[str, Any] | str] = Field(
        default=[], description="such as folder: or coco:, read in this order; docs/reference.md lists the kinds"
    )
    shard_size: int = Field(
        default=1000, ge=1, description="images per shard; it cannot change once the data set has shards"
    )
    audit: Audit = Audit()
    pack: bool = Field(default=False, description="whether to copy the original bytes into shard tars")
    max_pixels: int = Field(default=64_000_000, ge=1, description="larger images are quarantined")
    max_bytes: int = Field(default=64 * 2**20, ge=1, description="larger files are quarantined")
    max_seconds: float = Field(default=10.0, gt=0, description="longest time for decoding one image")


class Refine(Section):
    """Rounds of refinement: students are trained on the kept annotations and correct them (see also `train`)."""

    rounds: int = Field(
        default=0, ge=0, description="most rounds; 0: no refinement. Lowering it undoes the latest rounds"
    )
    folds: int = Field(
        default=2,
        ge=1,
        description="number of parts of the images, with a student each; it judges only the images of its part",
    )
    stop_when_changed_below: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="no further round after one that changes a smaller share of regions (moves do not count)",
    )
    tasks: list[str] = Field(
        default=["<OD>"],
        description="tasks that students are trained on, <OD> among them; with caption tasks or "
        "<REGION_TO_DESCRIPTION> they also rewrite texts",
    )
    steps_later: int = Field(
        default=0,
        ge=0,
        description="training steps from round 2 on, when training starts from the last students; 0: train.steps",
    )
    learning_rate_later: float = Field(default=0.0, ge=0, description="learning rate from round 2 on; 0: as in round 1")
    location: Literal["argmax", "median"] = Field(
        default="median", description="a location is the most probable one (argmax) or the median of the distribution"
    )
    max_new_tokens: int = Field(default=512, ge=16, description="longest answer of a student")
    hold_labels: list[list[str]] = Field(
        default=[], description="pairs of labels that students may not exchange, such as [[ball, ring]]"
    )
    merge: MergeOptions = MergeOptions()
    gate: GateOptions = GateOptions()

    @field_validator("tasks")
    @classmethod
    def _corrects_boxes(cls, tasks: list[str]) -> list[str]:
        if OBJECT_DETECTION not in tasks:
            raise ConfigError(
                f"refine.tasks is {tasks}: rounds correct boxes, so {OBJECT_DETECTION} must be among them."
            )
        for task in tasks:
            task_of(task)
        return tasks

    @field_validator("hold_labels")
    @classmethod
    def _are_pairs(cls, pairs: list[list[str]]) -> list[list[str]]:
        held(pairs)
        return pairs


class Analyse(Section):
    """The report that the stage `analyse` writes into the data set. `engine report` writes the same on its own."""

    every_run: bool = Field(
        default=False, description="whether a run of all stages ends with it; otherwise only --stage analyse writes it"
    )
    images: int = Field(default=60, ge=0, description="most images in the gallery; 0: no gallery")
    compare: str = Field(
        default="", description="what to show beside it: judge/KEY, releases/NAME, or the folder of another data set"
    )


class Recipe(Section):
    dataset: str = Field(pattern=r"\S", description="folder or URL of the data set")
    ingest: Ingest = Ingest()
    annotate: dict[str, dict[str, Any]] = Field(
        default={},
        description="node name: {use: component, option: value}; every node also takes where: {sql, needs}, "
        "code_licence and weights_licence",
    )
    filter: list[dict[str, Any] | str] = Field(default=[], description="rules in order: name, or {name: {options}}")
    emit: Emit = Emit()
    train: TrainOptions = TrainOptions()
    refine: Refine = Refine()
    analyse: Analyse = Analyse()
    run: RunOptions = RunOptions()


def load_recipe(path: str | Path, settings: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """Reads a recipe and changes some of its keys: `load_recipe("recipe.yaml", {"filter.min_score.floor": 0.5})`.

    `settings`: the changes, as a mapping, or as texts in the form of `--set` ("filter.min_score.floor=0.5"). Raises
    ConfigError if a key or a value is wrong.
    """
    data, lines = read_recipe_file(path)
    if isinstance(settings, Mapping):
        settings = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    for setting in settings:
        apply_setting(data, setting)
    return parse_recipe(data, str(path), {} if settings else lines)


def parse_recipe(
    data: Mapping[str, Any], where: str = "recipe", lines: Mapping[tuple[str, ...], int] | None = None
) -> Recipe:
    """The checked recipe. `where`: the name of the file for error messages.

    `lines`: the line of each value in the file.
    """
    expanded = expand(data)
    try:
        recipe = Recipe.model_validate(expanded)
        check_kinds(expanded, recipe.model_dump())
    except ValidationError as error:
        raise _in_sentence(error, expanded, where, lines or {}) from error
    except WrongKind as error:
        raise ConfigError(f"{_place(error.path, where, lines or {})} is {error}.") from error
    return recipe


def _in_sentence(error: ValidationError, given: Any, where: str, lines: Mapping[KeyPath, int]) -> ConfigError:
    place, kind, told = explain(error, given)
    if kind == "missing":
        return ConfigError(f"{where} lacks '{'.'.join(place)}': add it.")
    if kind == "extra_forbidden":
        section: Any = Recipe
        for part in place[:-1]:
            section = section.model_fields[part].annotation
        known = [".".join([*place[:-1], key]) for key in section.model_fields]
        return unknown(f"key in {where}{_line(place, lines)}", ".".join(place), known)
    if place == ("dataset",) and kind == "string_pattern_mismatch":
        told = "empty: give a folder or URL"
    return ConfigError(f"{_place(place, where, lines)} is {told}.")


def _place(place: KeyPath, where: str, lines: Mapping[KeyPath, int]) -> str:
    return f"'{'.'.join(place)}' in {where}{_line(place, lines)}"


def _line(place: KeyPath, lines: Mapping[KeyPath, int]) -> str:
    return f", line {lines[place]}," if place in lines else ""
