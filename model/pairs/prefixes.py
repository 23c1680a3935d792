"""The short form of a prompt, which processors of Florence-2 expand: the name of the task, followed by its input.

`<CAPTION_TO_PHRASE_GROUNDING>a cat` is short for `Locate the phrases in the caption: a cat`. Tools that fine-tune
Florence-2 read this form. There are two kinds of processor: the one released with the checkpoints, and the one in
transformers, which also strips the input. Both look for names of tasks anywhere in a text, so an input that contains
such a name has no short form.
"""

from __future__ import annotations

from model.florence2_tasks import TASKS, input_of


def prefix_of(task: str, prompt: str) -> str:
    """A text that every processor expands to this prompt; '' if there is none.

    It is the short form. If the input begins or ends with white space, it is the prompt itself, because processors
    leave a text without the name of a task as it is. Raises ValueError if the prompt is not one of the task.
    """
    input_ = input_of(task, prompt)
    if any(name in input_ for name in TASKS):
        return ""
    return f"{task}{input_}" if input_ == input_.strip() else prompt


def expand(prefix: str) -> str:
    """The prompt that every processor makes from a prefix.

    Raises ValueError if processors refuse the prefix, or make different prompts from it.
    """
    expanded = {_expand(prefix, strips=strips) for strips in (False, True)}
    if len(expanded) > 1:
        raise ValueError(f"'{prefix[:80]}' has white space around its input, which some processors strip.")
    return expanded.pop()


def _expand(prefix: str, *, strips: bool) -> str:
    """What one kind of processor makes of a prefix. Tasks without an input come first, as in the processors."""
    text = prefix
    for task in (task for task in TASKS.values() if not task.input):
        if task.name in text:
            if text != task.name:
                raise ValueError(f"'{prefix[:80]}' has more than {task.name}, which must stand alone.")
            text = task.prompt
            break
    for task in (task for task in TASKS.values() if task.input):
        if task.name in text:
            input_ = text.replace(task.name, "")
            return task.prompt.format(input=input_.strip() if strips else input_)
    return text
