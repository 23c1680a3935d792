"""A training pair: the prompt and the target of one task for one image.

Annotations are never changed to fit. Whatever a target cannot hold is left out and counted by (task, reason). A pair is
made only if its target parses back to the annotations it was made from (model/pairs/proof.py).

reason              what was left out
empty, angle_bracket, new_line, white_space, not_unicode, reserved_token
                    a label, phrase or text that cannot be written in a target (model/pairs/parsing.py)
outside_image       a region that lies outside the image
crowd               a region that covers many objects
unread              a region of printed text without its text
no_outline          an empty mask, or a name of several regions of which some have no mask
ambiguous           words that name different regions in different places of the record
outvoted            the other texts of a region, if a task takes one: it takes a human text or the best score
too_long            what exceeds the token limit: a text, or regions, smallest first
duplicate           a pair equal to an earlier one
same_as             a name that differs from another name of the same regions only by case, article or number word
unproven            a pair that does not parse back to its annotations
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from engine.schema import STRINGS, required
from model.pairs.targets import Item

# One row for each pair. Pairs of an image are in the order of TASKS.
PAIRS = pa.schema(
    [
        required("image_id", pa.string()),
        required("width", pa.int32()),  # upright, after EXIF
        required("height", pa.int32()),
        required("uri", pa.string()),  # in a release: the path of the tar, relative to the folder of the pairs
        required("offset", pa.int64()),
        required("length", pa.int64()),  # -1: the whole file
        required("split", pa.string()),
        required("task", pa.string()),
        required("prompt", pa.string()),
        required("target", pa.string()),
        required("annotation_ids", STRINGS),  # every annotation that the prompt and the target were made from
        required("tokens", pa.int32()),  # of the target, by the `count` of the compiler
        required("truncated", pa.bool_()),  # some regions did not fit into the token limit
    ]
)

_MARK = re.compile(r"<loc_[0-9]+>|<sep>|</?poly>")


def estimated_tokens(target: str) -> int:
    """Estimates the number of tokens of a target without a tokenizer. Locations and marks are exact; words count 4
    bytes a token.

    English text needs fewer tokens: BART has a single token for `photograph`. Digits, rare scripts and runs of
    punctuation can need more. If targets contain many of them, use a lower limit than the model's.
    """
    if "<" not in target:
        return 2 + sum([_tokens_of(word) for word in target.split(" ")])
    words, marks = _MARK.subn(" ", target)
    return 2 + marks + sum([_tokens_of(word) for word in words.split(" ") if word])


def _tokens_of(word: str) -> int:
    return max(1, (len(word) if word.isascii() else len(word.encode("utf-8", "replace"))) + 3 >> 2)


@dataclass(frozen=True, slots=True)
class Pair:
    task: str
    prompt: str
    target: str
    annotation_ids: list[str]
    tokens: int
    truncated: bool
    items: Sequence[Item] = ()  # of the target, with exact boxes; empty if the answer is a text


@dataclass(slots=True)
class Compiled:
    """The pairs of one record. `left_out`: counts by (task, reason)."""

    pairs: list[Pair] = field(default_factory=list)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def proven(self) -> Counter[str]:
        """The number of pairs of each task. Every pair was proven when it was made."""
        return Counter(pair.task for pair in self.pairs)


def pair_row(pair: Pair, image: Mapping[str, Any]) -> dict[str, Any]:
    """A row of PAIRS. `image`: a mapping with image_id, width, height, uri, offset, length and split."""
    locator = {name: image[name] for name in PAIRS.names[:7]}
    answer = {name: getattr(pair, name) for name in PAIRS.names[7:]}
    return locator | answer
