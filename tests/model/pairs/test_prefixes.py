"""A prefix expands to exactly the prompt of its pair, in transformers and by the rule of the released processor."""

from __future__ import annotations

from typing import Any

import pytest

from model.florence2_tasks import GROUNDING, TASKS, prompt_of
from model.pairs.prefixes import expand, prefix_of
from tests.model.tiny import GIVEN, tiny

CAPTIONS = ("a cat on a mat", "{input} {0} {{", "Zwei Kätzchen, 35 °C\nund ein Hund", "<odd> and <caption>", "貓")


def of_transformers(prefix: str) -> str:
    processor: Any = tiny().processor
    (prompt,) = processor._construct_prompts(prefix)
    return str(prompt)


@pytest.mark.parametrize("task", TASKS)
def test_a_prefix_is_the_task_with_its_input_and_expands_to_the_prompt(task: str) -> None:
    given = GIVEN[TASKS[task].input]
    prompt = prompt_of(task, given)
    prefix = prefix_of(task, prompt)
    assert prefix == task + given
    assert expand(prefix) == of_transformers(prefix) == prompt


@pytest.mark.parametrize("caption", CAPTIONS)
def test_a_caption_with_braces_or_foreign_letters_expands_to_itself(caption: str) -> None:
    prompt = prompt_of(GROUNDING, caption)
    prefix = prefix_of(GROUNDING, prompt)
    assert prefix == GROUNDING + caption
    assert expand(prefix) == of_transformers(prefix) == prompt


@pytest.mark.parametrize("caption", [" a cat", "a cat\n", "\u2003a cat"])
def test_a_caption_that_some_processors_would_strip_is_written_out(caption: str) -> None:
    prompt = prompt_of(GROUNDING, caption)
    prefix = prefix_of(GROUNDING, prompt)
    assert prefix == prompt
    assert expand(prefix) == of_transformers(prefix) == prompt
    with pytest.raises(ValueError, match="white space around its input"):
        expand(GROUNDING + caption)


@pytest.mark.parametrize("caption", ["the sign says <OD>", f"{GROUNDING} is a task", "<REGION_TO_OCR>"])
def test_a_caption_with_the_name_of_a_task_has_no_prefix(caption: str) -> None:
    prompt = prompt_of(GROUNDING, caption)
    assert prefix_of(GROUNDING, prompt) == ""
    refused = "<OD>" in caption
    if refused:
        with pytest.raises(ValueError, match="should be the only content"):
            of_transformers(prompt)
    else:
        assert of_transformers(prompt) != prompt


def test_a_task_that_takes_no_input_must_stand_alone() -> None:
    with pytest.raises(ValueError, match="more than <OD>, which must stand alone"):
        expand("<OD>cats")
    with pytest.raises(ValueError, match="should be the only content"):
        of_transformers("<OD>cats")


def test_a_prompt_of_another_task_has_no_prefix() -> None:
    with pytest.raises(ValueError, match="is not a prompt of <CAPTION>"):
        prefix_of("<CAPTION>", TASKS["<OD>"].prompt)
