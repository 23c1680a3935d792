"""The text of a region that matches its crop best: the step that the paper gives to Florence-1 (section 4.3).

Candidates are the region's label, its texts, and the noun chunks of these texts. That is why the brief texts of regions
in the paper have 2.55 tokens on average: often the label or a chunk wins over a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.records.labels import plain_words
from engine.schema import Region, RegionText
from specialists.spacy_parse.specialist import MAX_UNBROKEN, SpacyParse

_ARTICLE = re.compile(r"^(an?|the) ")
_LONGEST = MAX_UNBROKEN // 2  # characters; the chunks of a longer text are not candidates


@dataclass(frozen=True, slots=True)
class Candidate:
    """`source`: id of the region text that it is or was cut from; '' for the label. `whole`: it is that text."""

    text: str
    source: str = ""
    whole: bool = False


class Chunker:
    """Noun chunks of texts by spaCy, without pronouns."""

    def __init__(self, pipeline: str) -> None:
        self.parser = SpacyParse(pipeline=pipeline)
        self.packages = self.parser.packages

    def load(self) -> None:
        self.parser.load()

    def chunks(self, texts: Iterable[str]) -> dict[str, list[str]]:
        """{text: its chunks}"""
        short = [text for text in dict.fromkeys(texts) if len(text) <= _LONGEST]
        return {
            text: [chunk.text for chunk in parse.chunks if chunk.head in parse.objects]
            for text, parse in zip(short, self.parser.parse(short), strict=True)
        }


def candidates(region: Region, texts: Sequence[RegionText], chunks: Mapping[str, Sequence[str]]) -> list[Candidate]:
    """The different ones: those that differ in case or article alone are one, and the first stays."""
    found = [Candidate(region.label)] if region.label.strip() else []
    found += [Candidate(text.text, text.id, whole=True) for text in texts]
    found += [Candidate(chunk, text.id) for text in texts for chunk in chunks.get(text.text, ())]
    kept: dict[str, Candidate] = {}
    for candidate in found:
        kept.setdefault(_ARTICLE.sub("", plain_words(candidate.text).rstrip(".")), candidate)
    return list(kept.values())


def best(cosines: Mapping[Candidate, float]) -> Candidate:
    """The highest cosine; of equal ones the shortest text."""
    return min(cosines, key=lambda one: (-cosines[one], len(one.text)))
