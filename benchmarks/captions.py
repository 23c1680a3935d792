"""What the text rules do to captions by people and by machines: the shares kept, and bounds that would keep 99 %.

    python -m benchmarks.captions --data FOLDER [--parse FILE.parquet] [--read 40 --seed 0]

FOLDER holds the caption corpora (JSON lines with `text`, some with `field`). Each rule alone judges every text with its
defaults, as if a machine had written it. --parse saves the parse of all texts for later runs. There is no corpus of
detailed captions by people: the first two sentences of their long ones stand in. `loops` and `keywords` are made from
machine captions and should be dropped. --read prints this many dropped and kept texts of each rule, for reading.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.records.columns import ImageScores, ParsedTexts, Shard
from engine.records.shard import Floats
from engine.schema import PARSE, ImageScore, Parse, Text, as_row, record_table, text_key
from filters.min_complexity import min_complexity
from filters.text_language import text_language
from filters.text_length import text_length
from filters.text_repetition import text_repetition
from filters.too_many_objects import too_many_objects
from filters.verdict import Rule, Verdict, reads
from specialists.language import Language
from specialists.spacy_parse.specialist import SpacyParse

MADE = ("loops", "keywords")  # kinds
RULES: tuple[Rule, ...] = (text_length, too_many_objects, min_complexity, text_repetition, text_language)


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    granularity: str
    texts: Sequence[str]


LONG_HUMAN = (
    ("iiw-400.jsonl", "IIW"),
    ("docci_test.jsonl", "DOCCI"),
    ("docci_test.jsonl", "IIW"),
    ("dci_test.jsonl", "IIW"),
)
LONG_MACHINE = (("cm_3600.jsonl", ""), ("locnar_eval.jsonl", ""), ("iiw-400.jsonl", "IIW-P5B"))


def kinds(folder: Path, limit: int = 0) -> list[Kind]:
    """The corpora, with at most `limit` texts of each (0: all)."""
    human, machine = (_first(_read(folder, *files), limit) for files in (LONG_HUMAN, LONG_MACHINE))
    brief = _first(_read(folder, ("coco_val2017.jsonl", "")), limit)
    drawn = _first(_read(folder, ("coco_fakecap_val2014.jsonl", "")), limit)
    return [
        Kind("brief, people", "brief", brief),
        Kind("brief, machine", "brief", drawn),
        Kind("two sentences, people", "detailed", [two_sentences(text) for text in human]),
        Kind("two sentences, machine", "detailed", [two_sentences(text) for text in machine]),
        Kind("long, people", "more_detailed", human),
        Kind("long, machine", "more_detailed", machine),
        Kind("loops, brief", "brief", [loop(text) for text in drawn]),
        Kind("loops, long", "more_detailed", [loop(text) for text in machine]),
        Kind("keywords", "brief", [keywords(drawn[k : k + 3]) for k in range(0, len(drawn), 3)]),
    ]


def _read(folder: Path, *files: tuple[str, str]) -> Iterator[str]:
    for name, field in files:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if not field or row["field"] == field:
                yield row["text"]


def _first(texts: Iterator[str], limit: int) -> list[str]:
    """A selection spread over all texts, so that a small one has texts of every corpus."""
    every = list(texts)
    return every[:: max(1, len(every) // limit)][:limit] if limit else every


def two_sentences(text: str) -> str:
    return " ".join(re.split(r"(?<=[.!?])\s+", text.strip())[:2])


def loop(text: str) -> str:
    """A model stuck in a loop: after two thirds of the text its last four words repeat, up to twice the length."""
    words = text.split()
    cut = max(4, len(words) * 2 // 3)
    return " ".join((words[:cut] + words[cut - 4 : cut] * len(words))[: 2 * len(words)])


def keywords(captions: Sequence[str]) -> str:
    """The longer words of three captions, like alt-text of the web."""
    return " ".join(word.strip(".,") for text in captions for word in text.split() if len(word) > 4)


# --- parsing and judging --------------------------------------------------------------------------


def parse_all(texts: Sequence[str], path: Path | None = None) -> pa.Table:
    """The parse of the distinct texts. Reads those that `path` already holds, and adds the others to it."""
    known = pq.read_table(path) if path and path.exists() else PARSE.empty_table()
    there = set(known["text_key"].to_pylist())
    missing = list({text_key(text): text for text in texts if text_key(text) not in there}.values())
    if not missing:
        return known
    parser = SpacyParse()
    parser.load()
    rows = [_keyed(text, parsed) for text, parsed in zip(missing, parser.parse(missing), strict=True)]
    table = pa.concat_tables([known.cast(PARSE), pa.Table.from_pylist(rows, schema=PARSE)])
    if path:
        pq.write_table(table, path)
    return table


def _keyed(text: str, parsed: Parse) -> dict[str, object]:
    parsed.text_key = text_key(text)
    return as_row(parsed)


def verdicts(kind: Kind, parse: pa.Table, languages: Mapping[str, tuple[str, float]]) -> list[Verdict]:
    """The verdict of each rule, with its defaults, on each text."""
    rows = [_row(number, text, kind.granularity, languages) for number, text in enumerate(kind.texts)]
    record = record_table(rows)
    shard = Shard(record, record, parse)
    views = {"texts": ParsedTexts(shard), "image_scores": ImageScores(shard)}
    found: list[Verdict] = []
    for rule in RULES:
        answer = rule(*(views[name] for name in reads(rule)))
        found += [answer] if isinstance(answer, Verdict) else answer
    return [verdict for verdict in found if verdict.rule != "text_language.unmeasured"]


def _row(number: int, words: str, granularity: str, languages: Mapping[str, tuple[str, float]]) -> dict[str, object]:
    text = Text(words, granularity, text_key(words), id="t", producer="captioner", score=1.0)
    code, value = languages[words]
    language = ImageScore("language", value, code, id="l", producer="language", score=1.0, parents=["t"])
    return {"image_id": f"{number:032x}", "texts": [as_row(text)], "image_scores": [as_row(language)]}


def tell_languages(texts: Sequence[str]) -> dict[str, tuple[str, float]]:
    language = Language()
    language.load()
    return {text: language.identify(text) for text in dict.fromkeys(texts)}


def kept(found: Sequence[Verdict]) -> dict[str, float]:
    """The share kept by each rule alone, and by all of them."""
    every = np.logical_and.reduce([verdict.keep for verdict in found])
    return {verdict.rule: float(verdict.keep.mean()) for verdict in found} | {"all": float(every.mean())}


def bound_for(verdict: Verdict, share: float) -> float:
    """The bound that keeps this share of the texts: a low quantile for floors, a high one for ceilings."""
    value: Floats = np.asarray(verdict.value, np.float64)
    value = value[np.isfinite(value)]
    floor = verdict.rule.endswith(("min", "object", "action", "floor"))
    return float(np.quantile(value, 1 - share if floor else share)) if len(value) else float("nan")


def sheet(chosen: Sequence[Kind], found: Mapping[str, Sequence[Verdict]], number: int, seed: int) -> None:
    """Random dropped and kept texts of each rule, alternating; texts that should be dropped come last."""
    random = np.random.default_rng(seed)
    for place, verdict in enumerate(found[chosen[0].name]):
        for keep in (False, True):
            rows = [(kind, np.flatnonzero(found[kind.name][place].keep == keep)) for kind in chosen]
            drawn = [(kind, random.permutation(of).tolist()) for kind, of in rows]
            every = [(kind, of[n]) for n in range(number) for kind, of in drawn if n < len(of)]
            every.sort(key=lambda one: one[0].name.startswith(MADE))
            print(f"\n## {verdict.rule}, {'kept' if keep else 'dropped'}: {sum(len(of) for _, of in rows)}")
            for kind, row in every[:number]:
                value = np.asarray(found[kind.name][place].value)[row]
                print(f"- {kind.name}, {value:.3g}: {' '.join(kind.texts[row].split())[:900]}")


# --- as tables ------------------------------------------------------------------------------------


def _table(title: str, chosen: Sequence[Kind], rows: Mapping[str, Sequence[str]]) -> str:
    lines = [f"| {title} | " + " | ".join(f"{kind.name} ({len(kind.texts)})" for kind in chosen) + " |"]
    lines += ["|---" * (len(chosen) + 1) + "|"]
    return "\n".join([*lines, *(f"| {rule} | " + " | ".join(cells) + " |" for rule, cells in rows.items())])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--parse", type=Path, help="keeps the parse of all texts")
    options.add_argument("--limit", type=int, default=0, help="texts of each kind; 0: all")
    options.add_argument("--examples", type=int, default=0, help="dropped texts to show of each kind and rule")
    options.add_argument("--read", type=int, default=0, help="drops and keeps of each rule to print")
    options.add_argument("--seed", type=int, default=0, help="of what --read prints")
    given = options.parse_args()
    chosen = kinds(given.data, given.limit)
    every = [text for kind in chosen for text in kind.texts]
    parse, languages = parse_all(every, given.parse), tell_languages(every)
    found = {kind.name: verdicts(kind, parse, languages) for kind in chosen}
    shares = [kept(found[kind.name]) for kind in chosen]
    print(_table("kept, %", chosen, {rule: [f"{100 * share[rule]:.2f}" for share in shares] for rule in shares[0]}))
    real = [kind for kind in chosen if not kind.name.startswith(MADE)]
    bounds = {
        verdict.rule: [f"{bound_for(found[kind.name][place], 0.99):.3g}" for kind in real]
        for place, verdict in enumerate(found[real[0].name])
        if verdict.rule != "text_language.other"
    }
    print("\n" + _table("bound that keeps 99 %", real, bounds))
    if given.read:
        sheet(chosen, found, given.read, given.seed)
    for kind in chosen if given.examples else ():
        for verdict in found[kind.name]:
            for row in np.flatnonzero(~verdict.keep)[: given.examples]:
                value = np.asarray(verdict.value)[row]
                print(f"\n{kind.name}: {verdict.rule} {value:.3g}: {kind.texts[row][:300]}")


if __name__ == "__main__":
    main()
