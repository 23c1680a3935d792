"""Chooses the text that matches the crop of a region best. In the paper Florence-1 does this (section 4.3).

The candidates are the region's label, its texts, and the noun chunks of these texts. A label or a chunk often wins over
a whole sentence, which is why the brief texts of regions in the paper have only 2.55 tokens on average.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.records.labels import plain_words
from engine.schema import Region, RegionText
from specialists.spacy_parse.specialist import MAX_UNBROKEN, SpacyParse

_ARTICLE = re.compile(r"^(an?|the) ")
_LONGEST = MAX_UNBROKEN // 2  # characters; longer texts are not split into chunks


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may become the brief text of a region. `source`: id of the region text that contains it; '' for the
    label. `whole`: whether it is that whole text, not a chunk of it.
    """

    text: str
    source: str = ""
    whole: bool = False


class Chunker:
    """Finds the noun chunks of texts with spaCy, leaving out pronouns."""

    def __init__(self, pipeline: str) -> None:
        self.parser = SpacyParse(pipeline=pipeline)
        self.packages = self.parser.packages

    def load(self) -> None:
        self.parser.load()

    def chunks(self, texts: Iterable[str]) -> dict[str, list[str]]:
        """{text: its noun chunks}. Texts of more than _LONGEST characters are left out."""
        short = [text for text in dict.fromkeys(texts) if len(text) <= _LONGEST]
        return {
            text: [chunk.text for chunk in parse.chunks if chunk.head in parse.objects]
            for text, parse in zip(short, self.parser.parse(short), strict=True)
        }


def candidates(region: Region, texts: Sequence[RegionText], chunks: Mapping[str, Sequence[str]]) -> list[Candidate]:
    """The distinct candidates of a region. Of candidates that differ only in case, in an article or in the full stop at
    the end, the first is kept.
    """
    found = [Candidate(region.label)] if region.label.strip() else []
    found += [Candidate(text.text, text.id, whole=True) for text in texts]
    found += [Candidate(chunk, text.id) for text in texts for chunk in chunks.get(text.text, ())]
    kept: dict[str, Candidate] = {}
    for candidate in found:
        kept.setdefault(_ARTICLE.sub("", plain_words(candidate.text).rstrip(".")), candidate)
    return list(kept.values())


def best(cosines: Mapping[Candidate, float]) -> Candidate:
    """The candidate with the highest cosine; of equal ones, the one with the shortest text."""
    return min(cosines, key=lambda one: (-cosines[one], len(one.text)))
