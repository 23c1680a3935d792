"""Captions that come with a source: a person's, which nobody judges, or alt-text of the web, which the rules judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from engine.answers import HUMAN
from engine.errors import unknown
from engine.schema import Answer, Text

WEB = "web"
CUSTOMARY = ("caption", "captions", "text")


class Captions:
    """Makes texts of what a source says. `left_out` counts what could not be told."""

    def __init__(self, by: str) -> None:
        if by not in (WEB, HUMAN):
            raise unknown("captions_by", by, (WEB, HUMAN))
        self.by = by
        self.left_out: Counter[str] = Counter()

    def labels(self, said: Iterable[Any]) -> Answer | None:
        """Each text once, whether it comes alone or in a list. None if there is none."""
        texts = dict.fromkeys(text for one in said for text in self._texts(one))
        return Answer(texts=[self._text(text, number) for number, text in enumerate(texts)]) if texts else None

    def _texts(self, said: Any) -> Iterator[str]:
        if isinstance(said, list):
            for one in said:
                yield from self._texts(one)
        elif isinstance(said, str) and (text := said.strip()):
            if text == text.encode("utf-8", "replace").decode():
                yield text
            else:
                self.left_out["a caption that is no Unicode"] += 1

    def _text(self, text: str, number: int) -> Text:
        name = f"{self.by}/{number}"
        if self.by == HUMAN:
            return Text(text, "brief", id=name, producer=HUMAN)
        return Text(text, "brief", id=name, producer=WEB, score=1.0, score_kind="given")
