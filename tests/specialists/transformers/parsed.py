"""Samples with texts and their noun chunks, for tests of what reads both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.schema import Chunk, Complexity, Parse, Sample, Text, text_key


def photo(width: int, height: int, *texts: tuple[str, Sequence[str]], granularity: str = "brief") -> Sample:
    """Random pixels, and texts given as (text, its noun chunks in their order), with the ids w/0, w/1, ..."""
    pixels = np.random.default_rng(width * 10_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    sample = Sample(f"{width}x{height}", width, height, pixels=pixels, parse={})
    sample.texts = [Text(text, granularity, text_key(text), id=f"w/{number}") for number, (text, _) in enumerate(texts)]
    sample.parse = {text_key(text): parse_of(text, chunks) for text, chunks in texts}
    return sample


def parse_of(text: str, chunks: Sequence[str]) -> Parse:
    found: list[Chunk] = []
    end = 0
    for words in chunks:
        start = text.index(words, end)
        end = start + len(words)
        found.append(Chunk(start, end, words.split()[-1].lower() if words.split() else "", False, words))
    return Parse(1, 1, 1, [], [], [], [], [], [], Complexity(), Complexity(), found)
