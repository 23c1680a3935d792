"""Prepares names for the prompts of open-vocabulary detectors: cleans, shortens and groups them.

A name is a noun chunk of a text or a label of the recipe. The span of a phrase is that of its chunk in the text, so
changes to the name in a prompt do not move the phrase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

NAME_ENDS = str.maketrans(".?", "  ")  # Grounding DINO reads both characters as the end of a name


def prompt_name(words: str, special: Iterable[str] = ()) -> str:
    """The words in lower case, without `special` tokens and without characters that end a name. '' if nothing
    is left.
    """
    name = words.lower().translate(NAME_ENDS)
    for token in special:
        name = name.replace(token.lower(), " ")
    return " ".join(name.split())


def shortened(name: str, tokenizer: Any, most: int) -> str:
    """The name, without its first words if it has more than `most` tokens. The last words are kept, because a noun
    chunk has its noun at the end.
    """
    starts = token_starts(name, tokenizer)
    while len(starts) > most:
        name = name[max(1, starts[-most]) :].lstrip()
        starts = token_starts(name, tokenizer)
    return name


def token_starts(name: str, tokenizer: Any) -> list[int]:
    """The positions at which the tokens of a name begin, in code points."""
    offsets = tokenizer(name, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    return [start for start, _ in offsets]


def in_groups(names: Sequence[str], size: Callable[[str], int], room: int, most: int = 0) -> Iterator[list[str]]:
    """Groups the names into prompts. Each prompt takes the next names until their sizes would exceed `room`, but at
    least one name. `most`: the most names in a prompt; 0 for any number.
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
