"""The query semantic_coverage beside a count with plain spaCy, written from the definitions in docs/statistics.md.

The parser of the engine works on columns of many texts; the count here looks at one token after another.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.schema import as_row, text_key
from specialists.spacy_parse.specialist import PACKAGED_PIPELINE, SpacyParse
from specialists.spacy_parse.word_classes import WORD_SETS
from tests.builders import record, row, text
from tests.engine.reading.one_shard import write
from tests.engine.reading.tables import table
from tests.shared_data import shared

FILES = {  # captions of about the length of each granularity
    "brief": ("coco_val2017.jsonl",),
    "detailed": ("iiw400_object_phrases.jsonl",),
    "more_detailed": ("iiw-400.jsonl", "docci_test.jsonl", "dci_test.jsonl", "cm_3600.jsonl", "locnar_eval.jsonl"),
}
INDEFINITE = {some + one for some in ("some", "any", "every", "no") for one in ("thing", "body", "one")}
BEING = {"be", "am", "is", "are", "was", "were", "been", "being", *(m + w for m in "'\u2019" for w in ("s", "re", "m"))}
PROPER, ADJECTIVES = ("NNP", "NNPS"), ("JJ", "JJR", "JJS", "AFX", "CD")
PRONOUNS, DETERMINERS = ("PRP", "PRP$", "WP", "WP$", "EX"), ("DT", "PDT", "WDT")
COLUMNS = ("objects", "objects_paper", "attributes", "attributes_paper", "actions", "proper_nouns")


def classes(doc: Any) -> dict[int, set[str]]:
    """The classes of each token, by its position in the text."""
    found = {token.i: _classes(token) for token in doc}
    for verb in filter(_is_verb_tagged_as_noun, doc):
        found[verb.i] = found[verb.i] - {"objects", "objects_paper"} | {"actions"}
        found[verb.i - 1] = found[verb.i - 1] - {"attributes", "attributes_paper"} | {"objects", "objects_paper"}
    return found


def _classes(token: Any) -> set[str]:
    tag, dep, word = token.tag_, token.dep_, token.lower_
    noun = tag in PROPER or (tag in ("NN", "NNS") and word not in INDEFINITE)
    determiner = tag in DETERMINERS and (dep in ("det", "predet") or word in ("a", "an", "the"))
    pronoun = tag in PRONOUNS or (tag in DETERMINERS and not determiner) or (word in INDEFINITE and tag not in PROPER)
    beside = tag in ("VBG", "VBN") and dep in ("amod", "acl")
    rules = {
        "tokens": not (token.is_punct or token.is_space),
        "objects": noun,
        "objects_paper": noun or pronoun,
        "attributes": tag in ADJECTIVES or beside,
        "attributes_paper": tag in ADJECTIVES or determiner,
        "actions": tag.startswith("VB") and dep not in ("aux", "auxpass") and word not in BEING,
        "proper_nouns": tag in PROPER,
    }
    return {name for name, holds in rules.items() if holds}


def _is_verb_tagged_as_noun(token: Any) -> bool:
    left = token.left_edge
    if token.tag_ not in ("NNS", "NNPS") or token.i - left.i < 2 or left.lower_ not in ("a", "an"):
        return False
    before = token.nbor(-1)
    inside = token.doc[left.i : token.i]
    plural = any(word.tag_ in ("CC", "CD", ",") or word.lower_ in WORD_SETS["of_plural"] for word in inside)
    likely = before.tag_ in ("NN", "NNP") or token.lower_ in WORD_SETS["verb_form"]
    return left.head in (token, before) and before.head == token and not plural and likely


def counted(doc: Any) -> dict[str, float]:
    """The counts and complexities of one text."""
    found = classes(doc)
    counts: dict[str, float] = dict(Counter(name for names in found.values() for name in names))
    sentences = [sentence for sentence in doc.sents if any("tokens" in found[token.i] for token in sentence)]
    for name, kind in (("object", "objects"), ("action", "actions")):
        degrees = {token.i: _degree(token) for token in doc if kind in found[token.i]}
        peaks = [max((degrees.get(token.i, 0) for token in sentence), default=0) for sentence in sentences]
        counts[f"{name}_mean"] = mean(degrees.values() or [0])
        counts[f"{name}_paper"] = mean(peaks or [0])
    return counts


def _degree(token: Any) -> int:
    return sum(not child.is_space for child in token.children) + int(token.head != token)


def captions(most: int) -> Iterator[tuple[str, str]]:
    """(granularity, text) of at most this many distinct captions of each granularity."""
    for granularity, names in FILES.items():
        found: dict[str, None] = {}
        for name in names:
            lines = (shared("captions") / "dev" / name).read_text(encoding="utf-8").splitlines()
            found |= dict.fromkeys(json.loads(line)["text"] for line in lines)
        texts = list(found)
        for words in texts[:: max(1, len(texts) // most)][:most]:
            yield granularity, words


def captioned(folder: Path, texts: Sequence[tuple[str, str]]) -> Dataset:
    """A data set of these texts, parsed by the engine."""
    parser = SpacyParse()
    parser.load()
    distinct = list(dict.fromkeys(words for _, words in texts))
    parses = [
        as_row(parse) | {"text_key": text_key(words)}
        for words, parse in zip(distinct, parser.parse(distinct), strict=True)
    ]
    rows = (row(texts=[text(words, granularity)]) for granularity, words in texts)
    return write(folder, record(*rows), parses, {})


def test_coverage_equals_a_count_with_spacy(tmp_path: Path) -> None:
    compare(tmp_path, most=60)


def compare(folder: Path, most: int) -> None:
    """Compares the counts of at most this many captions of each granularity. benchmarks/slow compares more."""
    if importlib.util.find_spec(PACKAGED_PIPELINE) is None:
        pytest.skip(f"{PACKAGED_PIPELINE} is not installed")
    import spacy

    texts = list(captions(most))
    dataset = captioned(folder, texts)
    sums = ", ".join(f"sum(len(p.{name}))::BIGINT AS {name}" for name in COLUMNS)
    sql = f"SELECT granularity, sum(p.tokens)::BIGINT AS tokens, {sums} FROM kept.texts t JOIN parse p USING (text_key)"
    ours = {row["granularity"]: row for row in query(dataset, f"{sql} GROUP BY granularity").to_pylist()}
    table_rows = {(row["granularity"], row["measure"]): row for row in table(dataset, "semantic_coverage")}
    nlp = spacy.load(PACKAGED_PIPELINE, exclude=["ner", "lemmatizer", "attribute_ruler"])
    for granularity in FILES:
        lines = [words for kind, words in texts if kind == granularity]
        counts = [counted(doc) for doc in nlp.pipe(lines, batch_size=64)]
        for name in ("tokens", *COLUMNS):
            assert ours[granularity][name] == sum(count.get(name, 0) for count in counts), (granularity, name)
        _same_table({measure: row for (kind, measure), row in table_rows.items() if kind == granularity}, counts)


def _same_table(rows: Mapping[str, Mapping[str, float]], counts: Sequence[Mapping[str, float]]) -> None:
    assert rows["image annotations"]["strict"] == len(counts)
    measures = {name: (name.replace(" ", "_"),) * 2 for name in ("tokens", "actions", "proper nouns")}
    measures |= {name: (name, f"{name}_paper") for name in ("objects", "attributes")}
    measures |= {f"{name} complexity": (f"{name}_mean", f"{name}_paper") for name in ("object", "action")}
    for measure, names in measures.items():
        for column, name in zip(("strict", "paper_like"), names, strict=True):
            expected = mean(count.get(name, 0) for count in counts)
            assert rows[measure][column] == pytest.approx(expected, abs=0.00501), (measure, column)
