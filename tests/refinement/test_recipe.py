"""The sections refine.merge and refine.gate of a recipe are the options of refinement/."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import ConfigError
from engine.keys import stable_hash
from pipelines.recipe import parse_recipe
from refinement.options import GateOptions, MergeOptions


def test_the_recipe_has_the_defaults_of_the_options() -> None:
    refine = parse_recipe({"dataset": "x"}).refine
    assert refine.merge == MergeOptions()
    assert refine.gate == GateOptions()


def test_the_defaults_that_rounds_and_trainings_are_hashed_with_have_not_changed() -> None:
    """The hash is of commit a1a8a12. A different one makes every refined data set and every model out of date."""
    dumped = parse_recipe({"dataset": "x"}).model_dump(mode="json")
    sections = {name: dumped[name] for name in ("emit", "refine", "train")}
    # The other options of emit came later, and are in the content key of a release only if they are given.
    sections["emit"] = {name: dumped["emit"][name] for name in ("name", "licence", "allow_empty", "pairs")}
    assert stable_hash(sections) == "0636dcf420f30d973041494790f5f61d507fb091a9094273ebfb4159f16f9ff7"


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ("merge", {"match_iou": 0}),
        ("merge", {"geometry_weight": 1.1}),
        ("merge", {"drop": -0.1}),
        ("merge", {"max_briefs": 0}),
        ("merge", {"text_margin": -0.1}),
        ("gate", {"min_agreement": 1.1}),
        ("gate", {"max_added": -1}),
        ("gate", {"share_factor": 1}),
    ],
)
def test_the_recipe_refuses_what_the_options_refuse(section: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"'refine.{section}.{next(iter(wrong))}' in recipe is"):
        parse_recipe({"dataset": "x", "refine": {section: wrong}})
    with pytest.raises(ValidationError):
        {"merge": MergeOptions, "gate": GateOptions}[section](**wrong)


def test_an_unknown_key_gets_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'refine.merge.match_iou'\?"):
        parse_recipe({"dataset": "x", "refine": {"merge": {"match_iuo": 0.4}}})
