"""The words Florence-2 adds to a tokenizer, and token ids as the parser reads them.

Released checkpoints are BART's 50,265 words with these 1,024 behind them (ids 50265 to 51288), then <image>. Order
matters to nobody but a checkpoint; what matters here is that the thousand locations have consecutive ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import ConfigError
from model.pairs.locations import BINS
from model.pairs.parsing import Lexeme

# As released, a misspelt pair included.
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
    """What the ids of one tokenizer mean. ConfigError if it is none of Florence-2's."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        known: dict[str, int] = tokenizer.get_vocab()
        lacking = [token for token in (*ADDED, IMAGE) if token not in known]
        if lacking:
            raise ConfigError(
                f"This tokenizer lacks {len(lacking)} words of Florence-2, {lacking[0]} first: give its own."
            )
        self.first_location = known["<loc_0>"]
        if known[f"<loc_{BINS - 1}>"] != self.first_location + BINS - 1:
            raise ConfigError(
                "The locations of this tokenizer have no consecutive ids: give a checkpoint of Florence-2."
            )
        self.marks = {mark: known[mark] for mark in MARKS}
        self.bos, self.eos, self.pad = (
            int(tokenizer.bos_token_id),
            int(tokenizer.eos_token_id),
            int(tokenizer.pad_token_id),
        )
        self.image = known[IMAGE]
        self.added = frozenset(known[token] for token in (*ADDED, IMAGE))
        self.size = len(tokenizer)
        self._silent = frozenset((self.bos, self.eos, self.pad))
        self._mark_of = {number: mark for mark, number in self.marks.items()}

    def is_location(self, token: int) -> bool:
        return self.first_location <= token < self.first_location + BINS

    def lex_ids(self, ids: Sequence[int]) -> list[Lexeme]:
        """As `model.pairs.parsing.lex`, of generated ids; `start` and `end` are positions among them.

        Ends and padding are left out: released checkpoints write <s> more than once.
        """
        return list(self._lexemes(list(ids)))

    def _lexemes(self, ids: list[int]) -> Iterator[Lexeme]:
        position = 0
        while position < len(ids):
            token = ids[position]
            if token in self._silent:
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
                while end < len(ids) and not self._breaks(ids[end]):
                    end += 1
                yield Lexeme("text", self._text(ids[position:end]), -1, position, end)
                position = end

    def _breaks(self, token: int) -> bool:
        return token in self._silent or token in self._mark_of or self.is_location(token)

    def _text(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text
