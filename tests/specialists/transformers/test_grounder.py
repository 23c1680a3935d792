"""What hf_grounder makes of texts, chunks and labels. Its scores and boxes are in test_grounder_by_hand.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import ConfigError, ImageError, StartError
from engine.records.answers import check_answer
from engine.running.graph import build
from engine.schema import Answer, Sample
from specialists import CATALOG
from specialists.transformers.grounder import HfGrounder
from tests.specialists.transformers.parsed import photo
from tests.specialists.transformers.tiny_grounders import GROUNDERS

CheckpointOf = Callable[[str], str]
DOGS = ("a dog and the black cat on a street", ["a dog", "the black cat", "a street"])


@pytest.fixture(scope="module", params=GROUNDERS)
def grounder(request: pytest.FixtureRequest, checkpoint_of: CheckpointOf) -> HfGrounder:
    return loaded(checkpoint_of(request.param))


def loaded(checkpoint: str, **options: Any) -> HfGrounder:
    made = HfGrounder(checkpoint=checkpoint, **options)
    made.load()
    return made


def spans(sample: Sample, answer: Answer) -> list[tuple[str, str]]:
    """(id of the text, words) of each phrase."""
    texts = {text.id: text.text for text in sample.texts}
    return [(phrase.text_id, texts[phrase.text_id][phrase.char_start : phrase.char_end]) for phrase in answer.phrases]


STRANGE = [
    ("Die Straße İstanbuls: ein 🐕‍🦺 und 猫.", ["Die Straße İstanbuls", "ein 🐕‍🦺", "猫"]),
    ("Mr. Smith? U.S. flag\nand\nthe  black\ncat", ["Mr. Smith", "U.S. flag", "the  black\ncat"]),
    ("the [SEP] of <|endoftext|> [CLS]", ["the [SEP]", "<|endoftext|> [CLS]"]),
    ("... and ?", ["...", "?"]),
]


def test_phrases_are_the_chunks_of_the_text(grounder: HfGrounder) -> None:
    sample = photo(64, 48, DOGS, *STRANGE)
    answer = grounder.annotate([sample])[0]
    wanted = [(f"w/{number}", words) for number, (_, chunks) in enumerate((DOGS, *STRANGE)) for words in chunks]
    assert spans(sample, answer) == wanted
    assert check_answer(answer, sample, grounder.gives) == ""


def test_a_chunk_without_words_names_no_region(grounder: HfGrounder) -> None:
    phrase = grounder.annotate([photo(64, 48, STRANGE[3])])[0].phrases[0]
    assert (phrase.region_ids, phrase.score) == ([], 0.0)


def test_what_ends_a_prompt_is_not_read_as_an_end(grounder: HfGrounder) -> None:
    """The words around the name are asked as one name, as they are without it."""
    end = grounder.special[0]
    odd, plain = (grounder.annotate([photo(64, 48, (words, [words]))])[0] for words in (f"a.dog?{end} on", "A dog on"))
    assert odd.phrases[0].score == pytest.approx(plain.phrases[0].score)


@pytest.mark.parametrize("most", [0, 1, 7])
def test_a_text_of_eighty_chunks_has_eighty_phrases(checkpoint_of: CheckpointOf, most: int) -> None:
    colours = ("black", "white", "red", "big", "old", "hot", "two", "some")
    things = ("dog", "cat", "man", "car", "tree", "house", "ball", "hat", "sky", "street")
    chunks = [f"{colour} {thing}" for colour in colours for thing in things]
    sample = photo(64, 48, (", ".join(chunks), chunks))
    answer = loaded(checkpoint_of("mm_grounding_dino"), names_per_prompt=most).annotate([sample])[0]
    assert spans(sample, answer) == [("w/0", words) for words in chunks]
    assert sum(bool(phrase.region_ids) for phrase in answer.phrases) > 40


def test_names_that_do_not_affect_each_other_are_grounded_alike_in_one_prompt_and_in_many(
    checkpoint_of: CheckpointOf,
) -> None:
    sample = photo(64, 48, DOGS, ("two people in a house", ["two people", "a house"]))
    one, many = (loaded(checkpoint_of("owlv2"), names_per_prompt=most).annotate([sample])[0] for most in (0, 1))
    assert [phrase.region_ids for phrase in one.phrases] == [phrase.region_ids for phrase in many.phrases]
    scores = [phrase.score for phrase in many.phrases]
    assert [phrase.score for phrase in one.phrases] == pytest.approx(scores, abs=1e-5)


def test_a_text_of_a_thousand_words_and_a_chunk_of_a_thousand(grounder: HfGrounder) -> None:
    words = " ".join(["big dog", "black cat"] * 250)
    sample = photo(64, 48, (words, ["big dog", "black cat"] * 250), (f"a {words}", [f"a {words}"]))
    answer = grounder.annotate([sample])[0]
    assert len(answer.phrases) == 501
    assert check_answer(answer, sample, grounder.gives) == ""


def test_a_chunk_too_long_for_a_prompt_is_asked_by_its_last_words(checkpoint_of: CheckpointOf) -> None:
    """OWL-ViT reads 16 tokens, and those of the tiny checkpoint are letters."""
    model = loaded(checkpoint_of("owlvit"))
    long, short = model.annotate(
        [photo(64, 48, (words, [words])) for words in ("an old white street dog", "street dog")]
    )
    assert long.phrases[0].score != short.phrases[0].score
    assert model.family.fit("an old white street dog") == "white street dog"


def test_the_same_words_in_a_text_name_the_same_regions(grounder: HfGrounder) -> None:
    phrases = grounder.annotate([photo(64, 48, ("a dog, A  dog", ["a dog", "A  dog"]))])[0].phrases
    assert phrases[0].region_ids == phrases[1].region_ids != []


def test_the_same_words_in_two_texts_name_the_same_regions(grounder: HfGrounder) -> None:
    answer = grounder.annotate([photo(64, 48, ("a dog", ["a dog"]), ("a dog!", ["a dog"]))])[0]
    assert answer.phrases[0].region_ids == answer.phrases[1].region_ids != []
    assert [phrase.parents for phrase in answer.phrases] == [["w/0"], ["w/1"]]
    assert all(region.parents == ["w/0", "w/1"] for region in answer.regions)


def test_regions_and_phrases_name_what_they_were_made_from(grounder: HfGrounder) -> None:
    answer = grounder.annotate([photo(64, 48, DOGS)])[0]
    assert all(phrase.parents == ["w/0"] for phrase in answer.phrases)
    assert answer.regions
    assert all((region.kind, region.label, region.parents) == ("phrase", "", ["w/0"]) for region in answer.regions)
    by_tokens = "grounding" in grounder.source.name
    assert {phrase.score_kind for phrase in answer.phrases} == {"token_mean" if by_tokens else "confidence"}
    assert {region.score_kind for region in answer.regions} == {"token_max" if by_tokens else "confidence"}


def test_a_text_without_a_parse_is_passed_over(grounder: HfGrounder) -> None:
    sample = photo(64, 48, DOGS, ("two people", ["two people"]))
    del sample.parse[sample.texts[0].text_key]  # type: ignore[attr-defined]
    assert {phrase.text_id for phrase in grounder.annotate([sample])[0].phrases} == {"w/1"}


def test_an_image_without_texts_has_an_empty_answer(grounder: HfGrounder) -> None:
    assert grounder.annotate([photo(64, 48)]) == [Answer()]


def test_only_the_wanted_granularities_are_grounded(checkpoint_of: CheckpointOf) -> None:
    model = loaded(checkpoint_of("owlvit"), granularities=["detailed"])
    samples = [photo(64, 48, DOGS, granularity=granularity) for granularity in ("brief", "detailed")]
    assert [len(answer.phrases) for answer in model.annotate(samples)] == [0, 3]


def test_short_chunks_can_be_left_out(checkpoint_of: CheckpointOf) -> None:
    sample = photo(64, 48, DOGS)
    answer = loaded(checkpoint_of("owlvit"), min_words=3).annotate([sample])[0]
    assert spans(sample, answer) == [("w/0", "the black cat")]


def test_labels_keep_their_spelling(checkpoint_of: CheckpointOf) -> None:
    model = loaded(checkpoint_of("mm_grounding_dino"), labels=["Two Dogs", "Sky"], box_floor=0.1)
    sample = photo(64, 48)
    answer = model.annotate([sample])[0]
    assert {region.label for region in answer.regions} == {"Two Dogs", "Sky"}
    assert {region.score_kind for region in answer.regions} == {"token_mean"}
    assert (model.needs, model.gives, check_answer(answer, sample, model.gives)) == (("pixels",), ("boxes",), "")


def test_more_labels_than_a_prompt_holds(checkpoint_of: CheckpointOf) -> None:
    labels = [f"dog {number}" for number in range(150)]
    model = loaded(checkpoint_of("grounding_dino"), labels=labels)
    assert len(list(model._questions(0, []))) == 3
    assert model.annotate([photo(64, 48)])[0].regions


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": ["dog", "?"]}, "cannot look for the label '\\?'"),
        ({"labels": ["dog", "Dog."]}, "cannot tell the labels 'dog' and 'Dog.' apart"),
        ({"granularities": ["breef"]}, "breef.*brief"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        HfGrounder(checkpoint="owner/model", **options)


def test_a_model_of_another_kind_is_refused(checkpoint_of: CheckpointOf) -> None:
    with pytest.raises(StartError, match="cannot be loaded as AutoModelForZeroShotObjectDetection"):
        loaded(checkpoint_of("detr"))


def test_an_answer_that_is_not_a_number_fails_the_image(checkpoint_of: CheckpointOf) -> None:
    import torch

    model = loaded(checkpoint_of("omdet_turbo"))
    for weights in model.model.decoder.decoder_class_head.parameters():
        torch.nn.init.constant_(weights, float("nan"))
    with pytest.raises(ImageError, match="in float32 holds NaN"):
        model.annotate([photo(64, 48, DOGS)])


def test_half_of_a_batch_has_the_same_answers(grounder: HfGrounder) -> None:
    """As when the engine halves a batch that does not fit into memory: each call of the model is smaller, too."""
    samples = [photo(64, 48, DOGS), photo(64, 48, STRANGE[0]), photo(64, 48)]
    whole = grounder.annotate(samples)
    parts = [*grounder.annotate(samples[:1]), *grounder.annotate(samples[1:])]
    assert [[phrase.region_ids for phrase in answer.phrases] for answer in whole] == [
        [phrase.region_ids for phrase in answer.phrases] for answer in parts
    ]


def test_in_a_recipe_it_reads_texts_and_their_parse(checkpoint_of: CheckpointOf) -> None:
    use = {"use": "hf_grounder", "checkpoint": checkpoint_of("owlvit")}
    nodes = build(
        {"captions": {"use": "fake_captioner"}, "parse": {"use": "spacy_parse"}, "phrases": use}
        | {"objects": use | {"labels": ["dog"]}},
        CATALOG,
    )
    inputs = {node.name: (dict(node.inputs), node.gives) for node in nodes}
    assert inputs["phrases"] == (
        {"captions": ("texts",), "parse-captions": ("parse",)},
        ("phrases", "phrase_regions"),
    )
    assert inputs["objects"] == ({}, ("boxes",))
