"""The table of tasks. Prompts are exactly those of the released checkpoints."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError
from model.florence2_tasks import TASKS, input_of, prompt_of, task_of
from tests.model.golden import golden

REGION = "<loc_0><loc_10><loc_999><loc_20>"
GIVEN = {"": "", "caption": "a cat and {a} dog", "names": "a cat and {a} dog", "region": REGION}


def test_the_prompts_are_the_golden_ones() -> None:
    found = "".join(f"{name}\t{prompt_of(name, GIVEN[task.input])}\n" for name, task in TASKS.items())
    assert found == golden("prompts.tsv", found)


@pytest.mark.parametrize("name", TASKS)
def test_the_input_of_a_prompt_is_read_back(name: str) -> None:
    given = GIVEN[TASKS[name].input]
    assert input_of(name, prompt_of(name, given)) == given


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean '<OCR_WITH_REGION>'"):
        task_of("<OCR_WITH_REGIONS>")


def test_input_for_a_task_without_input_is_refused() -> None:
    with pytest.raises(ValueError, match="<OD> takes no input"):
        prompt_of("<OD>", "a cat")


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.input])
def test_a_prompt_without_its_input_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="was given none"):
        prompt_of(name)


@pytest.mark.parametrize(
    "region", ["10 20 30 40", "<loc_1><loc_2><loc_3>", REGION + "<loc_1>", "<loc_1><loc_2><loc_3><loc_1000>", "a cat"]
)
def test_a_region_is_four_locations_and_nothing_else(region: str) -> None:
    with pytest.raises(ValueError, match="as four"):
        prompt_of("<REGION_TO_CATEGORY>", region)
    with pytest.raises(ValueError, match="has none"):
        input_of("<REGION_TO_CATEGORY>", f"What is the region {region}?")


@pytest.mark.parametrize("prompt", ["Locate in the image.", "Locate  in the image.", "Locate a cat", "locate a cat in"])
def test_a_prompt_of_another_task_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match="is not a prompt of"):
        input_of("<OPEN_VOCABULARY_DETECTION>", prompt)
