"""Names as the prompts of open-vocabulary detectors take them: cleaned, shortened, and grouped into prompts.

A name is a noun chunk of a text or a label of the recipe. Spans of phrases are those of the chunks in their text and
not of the names in a prompt, so nothing done here moves a phrase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

NAME_ENDS = str.maketrans(".?", "  ")  # Grounding DINO takes both for the end of a name


def prompt_name(words: str, special: Iterable[str] = ()) -> str:
    """The words in lower case, without `special` tokens and characters that end a name. '' if none are left."""
    name = words.lower().translate(NAME_ENDS)
    for token in special:
        name = name.replace(token.lower(), " ")
    return " ".join(name.split())


def shortened(name: str, tokenizer: Any, most: int) -> str:
    """The name, without its first words if it has more than `most` tokens: a noun chunk has its noun at the end."""
    starts = token_starts(name, tokenizer)
    while len(starts) > most:
        name = name[max(1, starts[-most]) :].lstrip()
        starts = token_starts(name, tokenizer)
    return name


def token_starts(name: str, tokenizer: Any) -> list[int]:
    """Where the tokens of a name begin, in code points."""
    offsets = tokenizer(name, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    return [start for start, _ in offsets]


def in_groups(names: Sequence[str], size: Callable[[str], int], room: int, most: int = 0) -> Iterator[list[str]]:
    """The names in prompts: each takes the next names whose sizes sum to `room` at most, one at least.

    `most`: at most so many names in a prompt; 0: any number.
    """
    group: list[str] = []
    left = room
    for name in names:
        needed = size(name)
        if group and (len(group) == most or needed > left):
            yield group
            group, left = [], room
        group.append(name)
        left -= needed
    if group:
        yield group
