"""Pairs to train on: what is asked of an image and what is to be answered, from one image's kept record.

Nothing is changed to fit: what a target cannot hold is left out and counted by (task, reason), and a pair is given
only where its target, parsed back, says what its source says (model/pairs/proof.py).

left out            what is counted
empty, angle_bracket, new_line, white_space, not_unicode, reserved_token
                    a label, phrase or text that the grammar cannot carry (model/pairs/parsing.py)
outside_image       a region of which nothing lies in the image
crowd               a region that stands for many objects
unread              a printed region whose words nobody gave
no_outline          a mask of nothing, or a name of which some regions have masks and others none
ambiguous           words that name other regions elsewhere in the same image
outvoted            a second text of a region where there is room for one: people's, then the highest score, stays
too_long            a region dropped from a target over the limit, the smallest first; or a text over it
duplicate           the same question with the same answer
same_as             words that differ from others by case, article or number word alone and name the same regions
unproven            a pair that does not parse back to its source
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from engine.errors import ConfigError, unknown
from engine.schema import STRINGS, required
from model.pairs.targets import ORDERS, Order
from model.pairs.tasks import TASKS, task_of

# One row a pair, in the order of TASKS inside an image.
PAIRS = pa.schema(
    [
        required("image_id", pa.string()),
        required("width", pa.int32()),  # upright, after EXIF
        required("height", pa.int32()),
        required("uri", pa.string()),  # of a release the tar's name, relative to the folder of the pairs
        required("offset", pa.int64()),
        required("length", pa.int64()),  # -1: the whole file
        required("split", pa.string()),
        required("task", pa.string()),
        required("prompt", pa.string()),
        required("target", pa.string()),
        required("annotation_ids", STRINGS),  # every annotation that prompt and target are made of
        required("tokens", pa.int32()),  # of the target, by whatever counted them
        required("truncated", pa.bool_()),  # regions are missing, for it would have been too long
    ]
)

_NO_WORD = re.compile(r"<loc_[0-9]+>|<sep>|</?poly>")


def estimated_tokens(target: str) -> int:
    """An estimate that needs no tokenizer: right for locations and marks; a word is a token for every four bytes.

    English and most labels need fewer (a BART vocabulary has `photograph` as one); strings of digits, rare scripts
    and runs of punctuation can need more, so leave room under the model's own limit where there are many.
    """
    if "<" not in target:
        return 2 + sum([_tokens_of(word) for word in target.split(" ")])
    words, marks = _NO_WORD.subn(" ", target)
    return 2 + marks + sum([_tokens_of(word) for word in words.split(" ") if word])


def _tokens_of(word: str) -> int:
    return max(1, (len(word) if word.isascii() else len(word.encode("utf-8", "replace"))) + 3 >> 2)


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for. ConfigError for what is no task, no order, or no limit."""

    tasks: Sequence[str] = tuple(TASKS)
    order: Order = "area"
    max_tokens: int = 1024
    max_points: int = 50  # corners of each part of an outline
    masks: bool = False  # open-vocabulary detection answers with outlines where there are masks, instead of boxes
    count: Callable[[str], int] = estimated_tokens

    def __post_init__(self) -> None:
        for name in self.tasks:
            task_of(name)
        if self.order not in ORDERS:
            raise unknown("order", self.order, ORDERS)
        if self.max_tokens < 8 or self.max_points < 4:
            raise ConfigError(f"A target of {self.max_tokens} tokens, an outline of {self.max_points} points: too few.")


@dataclass(frozen=True, slots=True)
class Pair:
    task: str
    prompt: str
    target: str
    annotation_ids: list[str]
    tokens: int
    truncated: bool


@dataclass(slots=True)
class Compiled:
    """`left_out` counts by (task, reason)."""

    pairs: list[Pair] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def proven(self) -> Counter[str]:
        """How many there are of each task: whatever is here is proven."""
        return Counter(pair.task for pair in self.pairs)


def pair_row(pair: Pair, image: Mapping[str, Any]) -> dict[str, Any]:
    """A row of PAIRS. `image`: its image_id, width, height, uri, offset, length and split."""
    place = {name: image[name] for name in PAIRS.names[:7]}
    answer = {name: getattr(pair, name) for name in PAIRS.names[7:]}
    return place | answer
