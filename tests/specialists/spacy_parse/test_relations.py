"""Which noun is the subject or object of which verb, in sentences parsed by the real pipeline; and lemmas."""

from __future__ import annotations

import importlib.util

import pytest

from specialists.spacy_parse.lemmas import Lemmas
from specialists.spacy_parse.rules import Rules
from specialists.spacy_parse.specialist import PACKAGED_PIPELINE, SpacyParse

spacy = pytest.importorskip("spacy")


@pytest.fixture(scope="module")
def parser() -> SpacyParse:
    if importlib.util.find_spec(PACKAGED_PIPELINE) is None:
        pytest.skip(f"{PACKAGED_PIPELINE} is not installed")
    parser = SpacyParse()
    parser.load()
    return parser


def relations(parser: SpacyParse, sentence: str) -> list[str]:
    (parse,) = parser.parse([sentence])
    assert parse.relations is not None
    return [
        f"{link.noun} {link.verb}" if link.role == "subject" else f"{link.verb} {link.noun}" for link in parse.relations
    ]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Two men are riding waves.", ["man ride", "ride wave"]),
        ("A man riding a horse.", ["man ride", "ride horse"]),
        ("A horse ridden by two men.", ["ride horse", "man ride"]),
        ("A cat is held by a girl and a boy.", ["hold cat", "girl hold", "boy hold"]),
        ("The woman who is wearing a hat holds poles.", ["woman wear", "wear hat", "woman hold", "hold pole"]),
        ("A man and a dog sit and wait on a bench.", ["man sit", "dog sit", "man wait", "dog wait"]),
        ("A man sitting on a bench and reading a newspaper.", ["man sit", "man read", "read newspaper"]),
        ("A dog watches two cats.", ["dog watch", "watch cat"]),  # spaCy tags "watches" as a noun
        ("He rides a bike.", ["ride bike"]),
        ("A cat is on a red mat.", []),
        ("", []),
    ],
)
def test_relations_of_real_sentences(parser: SpacyParse, sentence: str, expected: list[str]) -> None:
    assert relations(parser, sentence) == expected


def test_relations_do_not_depend_on_the_other_texts_of_a_batch(parser: SpacyParse) -> None:
    sentences = ["A man riding a horse.", "", "Two dogs chase a ball and a cat sleeps.", "A bus."]
    together = [parse.relations for parse in parser.parse(sentences)]
    assert together == [parser.parse([sentence])[0].relations for sentence in sentences]
    assert [len(links or []) for links in together] == [2, 0, 3, 0]


def test_without_a_lemmatizer_words_stay_as_they_are() -> None:
    from spacy.tokens import Doc

    vocab = spacy.blank("en").vocab
    words, tags = ["Men", "ride", "Horses"], ["NNS", "VBP", "NNS"]
    doc = Doc(vocab, words=words, tags=tags, deps=["nsubj", "ROOT", "dobj"], heads=[1, 1, 1])
    (parse,) = Rules(vocab).read([doc], [doc.text])
    assert parse.relations is not None
    assert [(link.verb, link.role, link.noun) for link in parse.relations] == [
        ("ride", "subject", "men"),
        ("ride", "object", "horses"),
    ]


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        *(("riding", "ride"), ("hoping", "hope"), ("hopping", "hop"), ("staring", "stare"), ("singing", "sing")),
        *(("swinging", "swing"), ("bathing", "bathe"), ("waiting", "wait"), ("sat", "sit"), ("lying", "lie")),
        *(("watches", "watch"), ("carried", "carry"), ("skiing", "ski"), ("cutting", "cut"), ("dining", "dine")),
    ],
)
def test_lemmas_of_verbs(parser: SpacyParse, word: str, lemma: str) -> None:
    assert parser.rules.relations.lemmas(word, "verb") == lemma


@pytest.mark.parametrize(
    ("word", "lemma"), [("men", "man"), ("buses", "bus"), ("geese", "goose"), ("scissors", "scissors"), ("3s", "3s")]
)
def test_lemmas_of_plurals(parser: SpacyParse, word: str, lemma: str) -> None:
    assert parser.rules.relations.lemmas(word, "noun") == lemma


def test_remembered_lemmas_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specialists.spacy_parse.lemmas.MAX_REMEMBERED", 2)
    lemmas = Lemmas()
    for word in ("one", "two", "three", "one"):
        assert lemmas(word, "noun") == word
    assert len(lemmas._known) <= 2
