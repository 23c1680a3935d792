"""Captions that come with a source: human captions, which no rule judges, or alt-text, which rules judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from engine.errors import unknown
from engine.records.answers import HUMAN
from engine.schema import Answer, Text

WEB = "web"
CAPTIONS_BY = "human: captions by people, which no rule drops; web: alt-texts, which the rules judge"
CUSTOMARY = ("caption", "captions", "text")  # usual names of columns and keys with captions

NO_TEXT, NO_UNICODE = "a caption that is no text", "a caption that is no Unicode"


def texts_of(value: Any) -> tuple[list[str], list[str]]:
    """The texts in a value of a source, and a reason for each part of the value that is not a text.

    Lists may be nested. Null and white space are skipped without a reason.
    """
    texts, reasons = [], []
    for part in _flat(value):
        if not isinstance(part, str):
            reasons.append(NO_TEXT)
        elif text := part.strip():
            if text == text.encode("utf-8", "replace").decode():
                texts.append(text)
            else:
                reasons.append(NO_UNICODE)
    return texts, reasons


def _flat(value: Any) -> Iterator[Any]:
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += reversed(part)
        elif part is not None:
            yield part


class Captions:
    """Makes texts from the captions of a source. `by`: HUMAN or WEB. `left_out` counts captions that are not texts."""

    def __init__(self, by: str) -> None:
        if by not in (WEB, HUMAN):
            raise unknown("captions_by", by, (WEB, HUMAN))
        self.by = by
        self.left_out: Counter[str] = Counter()

    def labels(self, values: Iterable[Any]) -> Answer | None:
        """An answer with each distinct text once. None if there is no text."""
        found = [texts_of(value) for value in values]
        self.left_out.update(reason for _, reasons in found for reason in reasons)
        texts = dict.fromkeys(text for texts, _ in found for text in texts)
        return Answer(texts=[self._text(text, number) for number, text in enumerate(texts)]) if texts else None

    def _text(self, text: str, number: int) -> Text:
        name = f"{self.by}/{number}"
        if self.by == HUMAN:
            return Text(text, "brief", id=name, producer=HUMAN)
        return Text(text, "brief", id=name, producer=WEB, score=1.0, score_kind="given")
