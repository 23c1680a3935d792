"""The tokens that Florence-2 adds to a tokenizer, and the conversion of token ids to lexemes for the parser.

Released checkpoints have BART's 50,265 tokens, then these 1,024 (ids 50265 to 51288), then <image>. This code requires
only that the 1,000 locations have consecutive ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import ConfigError
from model.pairs.locations import BINS
from model.pairs.parsing import Lexeme

# Spelt as in the released checkpoints, including the misspelt "desciption".
ADDED: tuple[str, ...] = (
    *("<od>", "</od>", "<ocr>", "</ocr>"),
    *(f"<loc_{number}>" for number in range(BINS)),
    *("<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>", "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>"),
    "<sep>",
    *("<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>"),
    *("<proposal>", "</proposal>", "<poly>", "</poly>", "<and>"),
)
IMAGE = "<image>"
MARKS = ("<sep>", "<poly>", "</poly>", "<and>")


class Vocabulary:
    """The special ids of a tokenizer. Raises ConfigError if the tokenizer lacks tokens of Florence-2."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        ids: dict[str, int] = tokenizer.get_vocab()
        missing = [token for token in (*ADDED, IMAGE) if token not in ids]
        if missing:
            raise ConfigError(
                f"The tokenizer lacks {len(missing)} tokens of Florence-2, such as {missing[0]}: "
                "give one of a Florence-2 checkpoint."
            )
        self.first_location = ids["<loc_0>"]
        if ids[f"<loc_{BINS - 1}>"] != self.first_location + BINS - 1:
            raise ConfigError(
                "The locations of the tokenizer do not have consecutive ids: give one of a Florence-2 checkpoint."
            )
        self.marks = {mark: ids[mark] for mark in MARKS}
        self.bos, self.eos, self.pad = (
            int(tokenizer.bos_token_id),
            int(tokenizer.eos_token_id),
            int(tokenizer.pad_token_id),
        )
        self.image = ids[IMAGE]
        self.added = frozenset(ids[token] for token in (*ADDED, IMAGE))
        self.size = len(tokenizer)
        self._skipped = frozenset((self.bos, self.eos, self.pad))
        self._mark_of = {number: mark for mark, number in self.marks.items()}

    def is_location(self, token: int) -> bool:
        return self.first_location <= token < self.first_location + BINS

    def lex_ids(self, ids: Sequence[int]) -> list[Lexeme]:
        """Splits generated ids into lexemes, like `model.pairs.parsing.lex`. `start` and `end` are positions in `ids`.

        <s>, </s> and padding are skipped everywhere, because released checkpoints write <s> more than once.
        """
        return list(self._lexemes(list(ids)))

    def _lexemes(self, ids: list[int]) -> Iterator[Lexeme]:
        position = 0
        while position < len(ids):
            token = ids[position]
            if token in self._skipped:
                position += 1
            elif self.is_location(token):
                yield Lexeme(
                    "loc", f"<loc_{token - self.first_location}>", token - self.first_location, position, position + 1
                )
                position += 1
            elif token in self._mark_of:
                yield Lexeme("mark", self._mark_of[token], -1, position, position + 1)
                position += 1
            else:
                end = position
                while end < len(ids) and not self._ends_text(ids[end]):
                    end += 1
                yield Lexeme("text", self._text(ids[position:end]), -1, position, end)
                position = end

    def _ends_text(self, token: int) -> bool:
        return token in self._skipped or token in self._mark_of or self.is_location(token)

    def _text(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text
