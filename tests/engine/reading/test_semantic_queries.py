"""The named queries on labels, nouns, attributes, verbs and lengths, compared with numbers counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.reading.dataset import Dataset
from tests.builders import Row, failure, parsed, record, region, row, text
from tests.engine.reading.one_shard import write
from tests.engine.reading.tables import table, values
from tests.handmade import handmade

CAPTION = "Two young men ride a big red bus."
OTHER = "A man rides a red bus."
OLD = "Men."  # parsed by an earlier engine
BROKEN = "?"
QUERIES = (
    *("label_ranks", "label_tail", "noun_ranks", "noun_tail", "attributes_per_noun"),
    *("verb_noun_pairs", "parsed_texts", "tokens_per_text"),
)


def chunk(words: str, caption: str, *, plural: bool = False) -> Row:
    start = caption.index(words)
    head = words.split()[-1].lower()
    return {"char_start": start, "char_end": start + len(words), "head": head, "plural": plural, "text": words}


def link(verb: str, role: str, noun: str) -> Row:
    return {"verb": verb, "role": role, "noun": noun}


PARSES = [
    parsed(
        CAPTION,
        tokens=8,
        objects=["men", "bus"],
        attributes=["two", "young", "big", "red"],
        chunks=[chunk("Two young men", CAPTION, plural=True), chunk("a big red bus", CAPTION)],
        relations=[link("ride", "subject", "man"), link("ride", "object", "bus")],
    ),
    parsed(
        OTHER,
        tokens=6,
        objects=["man", "bus"],
        attributes=["red"],
        chunks=[chunk("A man", OTHER), chunk("a red bus", OTHER)],
        relations=[link("ride", "subject", "man"), link("ride", "object", "bus")],
    ),
    parsed(OLD, tokens=1, objects=["men"], chunks=[chunk("Men", OLD, plural=True)], relations=None),
    parsed(BROKEN, tokens=0, failures=[failure()]),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two images: CAPTION twice and OTHER, OLD, BROKEN, one unparsed text, and a text that a rule drops."""
    first = row(
        texts=[text(CAPTION, id="t/0"), text(OTHER, id="t/1"), text(OLD, id="t/2"), text(OTHER, id="t/3")],
        regions=[region(id=f"r/{n}", label=label) for n, label in enumerate(("bus", "bus", "man", "dog", ""))],
    )
    second = row(
        texts=[text(CAPTION, "detailed", id="t/4"), text(BROKEN, "detailed", id="t/5"), text("New", id="t/6")],
        regions=[
            region(id="r/5", label="bus"),
            region(id="r/6", kind="text", label="bus"),
            region(id="r/7", label="x"),
        ],
    )
    dropped = {"t/3": "text_length", "r/7": "min_score"}
    return write(tmp_path_factory.mktemp("semantic"), record(first, second), PARSES, dropped)


def test_labels_by_rank(dataset: Dataset) -> None:
    rows = table(dataset, "label_ranks")
    assert values(rows, "rank", "label", "regions", "images", "share", "share_so_far") == [
        (1, "bus", 3, 2, 0.6, 0.6),
        (2, "dog", 1, 1, 0.2, 0.8),
        (3, "man", 1, 1, 0.2, 1.0),
    ]


def test_the_tail_of_labels(dataset: Dataset) -> None:
    assert table(dataset, "label_tail") == [
        {
            "labels": 3,
            "regions": 5,
            "share_of_ten_commonest": 1.0,
            "labels_with_half": 1,
            "labels_with_one": 2,
            "share_of_labels_with_one": 0.6667,
            "share_beyond_rank_100": None,
        }
    ]


def test_nouns_are_counted_in_every_kept_text(dataset: Dataset) -> None:
    rows = table(dataset, "noun_ranks")
    assert values(rows, "rank", "noun", "times") == [(1, "bus", 3), (2, "men", 3), (3, "man", 1)]
    (tail,) = table(dataset, "noun_tail")
    assert (tail["nouns"], tail["times"], tail["nouns_with_half"], tail["nouns_with_one"]) == (3, 7, 2, 1)


def test_attributes_of_nouns_are_those_in_their_phrases(dataset: Dataset) -> None:
    rows = table(dataset, "attributes_per_noun")
    assert values(rows, "noun", "phrases", "attributes", "attribute", "times", "share") == [
        ("bus", 3, 2, "red", 3, 1.0),
        ("bus", 3, 2, "big", 2, 0.6667),
        ("men", 3, 2, "two", 2, 0.6667),
        ("men", 3, 2, "young", 2, 0.6667),
        ("man", 1, 0, None, 0, 0.0),
    ]


def test_verbs_with_their_nouns(dataset: Dataset) -> None:
    rows = table(dataset, "verb_noun_pairs")
    assert values(rows, "role", "verb", "noun", "times", "share", "pairs") == [
        ("subject", "ride", "man", 3, 1.0, 1),
        ("object", "ride", "bus", 3, 1.0, 1),
    ]


def test_texts_that_an_earlier_engine_parsed_are_counted(dataset: Dataset) -> None:
    columns = ("texts", "parsed", "failed", "not_parsed", "with_relations", "without_relations")
    assert values(table(dataset, "parsed_texts"), "granularity", *columns) == [
        ("brief", 4, 3, 0, 1, 2, 1),
        ("detailed", 2, 1, 1, 0, 1, 0),
    ]


def test_lengths_of_texts(dataset: Dataset) -> None:
    rows = table(dataset, "tokens_per_text")
    brief = [row for row in rows if row["granularity"] == "brief"]
    assert values([row for row in brief if row["texts"]], "tokens_from", "tokens_to", "texts", "share") == [
        (1, 2, 1, 0.333333),
        (6, 7, 1, 0.333333),
        (8, 9, 1, 0.333333),
    ]
    assert [row["tokens_from"] for row in brief] == list(range(1, 9))
    assert {(row["mean_tokens"], row["fld5b_tokens"]) for row in brief} == {(5.0, 7.95)}
    detailed = [row for row in rows if row["granularity"] == "detailed"]
    assert values(detailed, "tokens_from", "tokens_to", "texts", "mean_tokens") == [(8, 12, 1, 8.0)]


def test_the_last_bin_has_all_longer_texts(tmp_path: Path) -> None:
    words = ("a", "b", "c")
    shard = record(row(texts=[text(word, id=f"t/{word}") for word in words]))
    parses = [parsed(word, tokens=tokens) for word, tokens in zip(words, (38, 39, 4000), strict=True)]
    rows = table(write(tmp_path, shard, parses, {}), "tokens_per_text")
    assert values(rows, "tokens_from", "tokens_to", "texts") == [(38, 39, 1), (39, None, 2)]


def test_long_tails_are_sampled_by_rank(tmp_path: Path) -> None:
    regions = [region(id=f"r/{n}-{k}", label=f"label{n:03}") for n in range(150) for k in range(150 - n)]
    dataset = write(tmp_path, record(row(regions=regions)), [], {})
    ranks = [row["rank"] for row in table(dataset, "label_ranks")]
    assert ranks[:20] == list(range(1, 21))
    assert ranks[-1] == 150
    assert len(ranks) < 45
    rows = {row["rank"]: row for row in table(dataset, "label_ranks")}
    assert (rows[100]["label"], rows[100]["regions"]) == ("label099", 51)
    (tail,) = table(dataset, "label_tail")
    assert tail["share_beyond_rank_100"] == round(sum(range(1, 51)) / sum(range(1, 151)), 4)
    assert tail["labels_with_half"] == 45  # 44 labels have 150 + .. + 107 = 5,654 of 11,325, which is less than half


@pytest.mark.parametrize("name", QUERIES)
def test_data_that_is_not_judged_yet_gives_no_rows_or_zeros(tmp_path: Path, name: str) -> None:
    rows = table(handmade(tmp_path, judged=False), name)
    assert not any(value for row in rows for value in row.values())


@pytest.mark.parametrize("name", QUERIES)
def test_a_data_set_without_a_parse(tmp_path: Path, name: str) -> None:
    dataset = write(tmp_path, record(row(texts=[text(CAPTION)], regions=[region()])), [], {})
    rows = table(dataset, name)
    expected = {"label_ranks": 1, "label_tail": 1, "parsed_texts": 1}
    assert len(rows) == expected.get(name, 0)
    if name == "parsed_texts":
        assert rows[0]["not_parsed"] == 1
