"""What Florence-2 can be asked, and in which sentence. The task's name is no token: the encoder sees the sentence.

The sentences are those the released checkpoints were trained with; another wording is another task to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from engine.errors import unknown

Form = Literal["text", "boxes", "labelled_boxes", "repeated_boxes", "phrases", "quads", "polygons"]
Takes = Literal["", "text", "region"]

GIVEN = "{input}"
AND = "<and>"  # between the names of one prompt
_REGION = re.compile(r"(?:<loc_(?:0|[1-9][0-9]{0,2})>){4}")


@dataclass(frozen=True, slots=True)
class Task:
    """`form` is how the answer is written (model/pairs/parsing.py); `takes` is what stands in the place of {input}."""

    name: str
    prompt: str
    form: Form
    takes: Takes = ""


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("<CAPTION>", "What does the image describe?", "text"),
        Task("<DETAILED_CAPTION>", "Describe in detail what is shown in the image.", "text"),
        Task("<MORE_DETAILED_CAPTION>", "Describe with a paragraph what is shown in the image.", "text"),
        Task("<OD>", "Locate the objects with category name in the image.", "labelled_boxes"),
        Task("<DENSE_REGION_CAPTION>", "Locate the objects in the image, with their descriptions.", "labelled_boxes"),
        Task("<REGION_PROPOSAL>", "Locate the region proposals in the image.", "boxes"),
        Task("<OCR>", "What is the text in the image?", "text"),
        Task("<OCR_WITH_REGION>", "What is the text in the image, with regions?", "quads"),
        Task("<CAPTION_TO_PHRASE_GROUNDING>", "Locate the phrases in the caption: {input}", "phrases", "text"),
        Task("<REFERRING_EXPRESSION_SEGMENTATION>", "Locate {input} in the image with mask", "polygons", "text"),
        Task("<REGION_TO_SEGMENTATION>", "What is the polygon mask of region {input}", "polygons", "region"),
        # Also of a referring expression, which has no task of its own: one name, one box.
        Task("<OPEN_VOCABULARY_DETECTION>", "Locate {input} in the image.", "repeated_boxes", "text"),
        Task("<REGION_TO_CATEGORY>", "What is the region {input}?", "text", "region"),
        Task("<REGION_TO_DESCRIPTION>", "What does the region {input} describe?", "text", "region"),
        Task("<REGION_TO_OCR>", "What text is in the region {input}?", "text", "region"),
    )
}


def task_of(name: str) -> Task:
    """ConfigError with the nearest right name."""
    try:
        return TASKS[name]
    except KeyError:
        raise unknown("task", name, TASKS) from None


def prompt_of(name: str, given: str = "") -> str:
    """The sentence sent to the encoder. `given`: a caption, names joined by <and>, or a region as its four locations.

    ValueError where something is given and none is taken, where it lacks, or is no region where one is due.
    """
    task = task_of(name)
    if not task.takes:
        if given:
            raise ValueError(f"{name} takes no input, but was given '{given}'.")
        return task.prompt
    if not given:
        raise ValueError(f"{name} takes a {task.takes}, but was given none.")
    if task.takes == "region" and not _REGION.fullmatch(given):
        raise ValueError(f"{name} takes a region as four <loc_0>..<loc_999>, but was given '{given}'.")
    return task.prompt.replace(GIVEN, given)


def given_of(name: str, prompt: str) -> str:
    """What `prompt_of` was given. ValueError for a sentence that is not the task's."""
    task = task_of(name)
    before, _, after = task.prompt.partition(GIVEN)
    given = prompt[len(before) : len(prompt) - len(after)] if task.takes else ""
    if prompt != (before + given + after) or bool(given) != bool(task.takes):
        raise ValueError(f"'{prompt}' is not what {name} asks: '{task.prompt}'.")
    if task.takes == "region" and not _REGION.fullmatch(given):
        raise ValueError(f"{name} takes a region as four <loc_0>..<loc_999>, but '{prompt}' names none.")
    return given
