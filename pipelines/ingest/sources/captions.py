"""Captions that come with a source: a person's, which nobody judges, or alt-text of the web, which the rules judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from engine.errors import unknown
from engine.records.answers import HUMAN
from engine.schema import Answer, Text

WEB = "web"
CUSTOMARY = ("caption", "captions", "text")


NO_TEXT, NO_UNICODE = "a caption that is no text", "a caption that is no Unicode"


def texts_of(said: Any) -> tuple[list[str], list[str]]:
    """The texts of a caption, which may be a list of texts, and a reason for each part that is none.

    Null and white space are no caption, and nothing is said of them.
    """
    texts, reasons = [], []
    for one in _flat(said):
        if not isinstance(one, str):
            reasons.append(NO_TEXT)
        elif text := one.strip():
            if text == text.encode("utf-8", "replace").decode():
                texts.append(text)
            else:
                reasons.append(NO_UNICODE)
    return texts, reasons


def _flat(said: Any) -> Iterator[Any]:
    """Lists in lists too, whatever their depth."""
    rest = [said]
    while rest:
        one = rest.pop()
        if isinstance(one, list):
            rest += reversed(one)
        elif one is not None:
            yield one


class Captions:
    """Makes texts of what a source says. `left_out` counts what could not be told."""

    def __init__(self, by: str) -> None:
        if by not in (WEB, HUMAN):
            raise unknown("captions_by", by, (WEB, HUMAN))
        self.by = by
        self.left_out: Counter[str] = Counter()

    def labels(self, said: Iterable[Any]) -> Answer | None:
        """Each text once, whether it comes alone or in a list. None if there is none."""
        found = [texts_of(one) for one in said]
        self.left_out.update(reason for _, reasons in found for reason in reasons)
        texts = dict.fromkeys(text for texts, _ in found for text in texts)
        return Answer(texts=[self._text(text, number) for number, text in enumerate(texts)]) if texts else None

    def _text(self, text: str, number: int) -> Text:
        name = f"{self.by}/{number}"
        if self.by == HUMAN:
            return Text(text, "brief", id=name, producer=HUMAN)
        return Text(text, "brief", id=name, producer=WEB, score=1.0, score_kind="given")
