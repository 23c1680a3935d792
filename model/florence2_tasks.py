"""The tasks of Florence-2, with everything that differs between them. To add a task, add an entry to TASKS.

The prompts are the sentences that the released checkpoints were trained with. The model gets only the sentence, not the
name of the task (such as <OD>). So a sentence with other words is another task for the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from engine.errors import unknown

Form = Literal["text", "boxes", "labelled_boxes", "repeated_boxes", "phrases", "quads", "polygons"]
Input = Literal["", "caption", "names", "region"]
Reads = Literal["texts", "labels", "descriptions", "printed", "boxes", "masks", "phrases", "names", "masks_of_names"]

AND = "<and>"  # between the names in one prompt
OBJECT_DETECTION = "<OD>"
GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
DESCRIPTION = "<REGION_TO_DESCRIPTION>"
_INPUT = "{input}"
_REGION = re.compile(r"(?:<loc_(?:0|[1-9][0-9]{0,2})>){4}")


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    form: how a target is written (model/pairs/parsing.py has the grammar of each form).
    reads: the part of a record from which its pairs are made. `texts`: texts of `granularity`. `boxes`, `masks`,
        `labels`: those of objects. `descriptions`: region texts of `granularity` of objects. `printed`: printed text.
        `phrases`: captions with their grounded phrases. `names`: labels and phrases that name objects.
        `masks_of_names`: the same, if the objects have masks.
    input: what replaces {input} in the prompt: a caption, names of objects joined by <and>, or four locations.
    granularity: the granularity of the texts and region texts that it reads, and of those made from its answers.
    makes: the resources (engine/component.py) that its answers give as annotations; empty if they give none.
    """

    name: str
    prompt: str
    form: Form
    reads: Reads
    input: Input = ""
    granularity: str = ""
    makes: tuple[str, ...] = ()

    @property
    def region_kind(self) -> Literal["object", "text"]:
        """The kind of the regions that the task is about."""
        return "text" if self.reads == "printed" else "object"

    @property
    def has_text_labels(self) -> bool:
        """Whether the labels in a target are sentences or printed text, not names of objects."""
        return self.reads in ("descriptions", "printed")


_ALL = (
    Task("<CAPTION>", "What does the image describe?", "text", "texts", granularity="brief", makes=("texts",)),
    Task(
        "<DETAILED_CAPTION>",
        "Describe in detail what is shown in the image.",
        form="text",
        reads="texts",
        granularity="detailed",
        makes=("texts",),
    ),
    Task(
        "<MORE_DETAILED_CAPTION>",
        "Describe with a paragraph what is shown in the image.",
        form="text",
        reads="texts",
        granularity="more_detailed",
        makes=("texts",),
    ),
    Task(
        OBJECT_DETECTION,
        "Locate the objects with category name in the image.",
        form="labelled_boxes",
        reads="labels",
        makes=("boxes",),
    ),
    Task(
        "<DENSE_REGION_CAPTION>",
        "Locate the objects in the image, with their descriptions.",
        form="labelled_boxes",
        reads="descriptions",
        granularity="brief",
        makes=("boxes", "region_texts"),
    ),
    Task(
        "<REGION_PROPOSAL>",
        "Locate the region proposals in the image.",
        form="boxes",
        reads="boxes",
        makes=("boxes",),
    ),
    # Its answers make no annotations, because a record has no place for printed text without a region.
    Task("<OCR>", "What is the text in the image?", "text", "printed", granularity="ocr"),
    Task(
        "<OCR_WITH_REGION>",
        "What is the text in the image, with regions?",
        form="quads",
        reads="printed",
        granularity="ocr",
        makes=("ocr",),
    ),
    Task(
        GROUNDING,
        "Locate the phrases in the caption: {input}",
        form="phrases",
        reads="phrases",
        input="caption",
        makes=("phrases", "phrase_regions"),
    ),
    Task(
        "<REFERRING_EXPRESSION_SEGMENTATION>",
        "Locate {input} in the image with mask",
        form="polygons",
        reads="masks_of_names",
        input="names",
        makes=("boxes",),
    ),
    Task(
        "<REGION_TO_SEGMENTATION>",
        "What is the polygon mask of region {input}",
        form="polygons",
        reads="masks",
        input="region",
        makes=("masks",),
    ),
    # Referring expression comprehension has no task of its own. It is this task with one name and one box.
    Task(
        "<OPEN_VOCABULARY_DETECTION>",
        "Locate {input} in the image.",
        form="repeated_boxes",
        reads="names",
        input="names",
        makes=("boxes",),
    ),
    Task(
        "<REGION_TO_CATEGORY>",
        "What is the region {input}?",
        form="text",
        reads="labels",
        input="region",
        granularity="candidate",
        makes=("region_texts",),
    ),
    Task(
        DESCRIPTION,
        "What does the region {input} describe?",
        form="text",
        reads="descriptions",
        input="region",
        granularity="brief",
        makes=("region_texts",),
    ),
    Task(
        "<REGION_TO_OCR>",
        "What text is in the region {input}?",
        form="text",
        reads="printed",
        input="region",
        granularity="ocr",
        makes=("region_texts",),
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
CAPTIONS: dict[str, str] = {task.name: task.granularity for task in _ALL if task.reads == "texts"}


def task_of(name: str) -> Task:
    """The task with this name. Raises ConfigError for an unknown name, naming the most similar task."""
    try:
        return TASKS[name]
    except KeyError:
        raise unknown("task", name, TASKS) from None


def prompt_of(name: str, input_: str = "") -> str:
    """The prompt of a task. Raises ValueError if `input_` is not the input that the task takes (Task.input)."""
    task = task_of(name)
    if not task.input:
        if input_:
            raise ValueError(f"{name} takes no input, but was given '{input_}'.")
        return task.prompt
    if not input_:
        raise ValueError(f"{name} takes {_ARTICLES[task.input]} as input, but was given none.")
    if task.input == "region" and not _REGION.fullmatch(input_):
        raise ValueError(f"{name} takes a region as four <loc_0>..<loc_999>, but was given '{input_}'.")
    return task.prompt.replace(_INPUT, input_)


def input_of(name: str, prompt: str) -> str:
    """The input that `prompt_of` made this prompt from. Raises ValueError if the prompt is not one of the task."""
    task = task_of(name)
    before, _, after = task.prompt.partition(_INPUT)
    input_ = prompt[len(before) : len(prompt) - len(after)] if task.input else ""
    if prompt != (before + input_ + after) or bool(input_) != bool(task.input):
        raise ValueError(f"'{prompt}' is not a prompt of {name}, which is '{task.prompt}'.")
    if task.input == "region" and not _REGION.fullmatch(input_):
        raise ValueError(f"{name} takes a region as four <loc_0>..<loc_999>, but '{prompt}' has none.")
    return input_


_ARTICLES: dict[Input, str] = {"caption": "a caption", "names": "names of objects", "region": "a region"}
