"""Captions equal those of the network called by hand, and each belongs to its own image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import StartError
from engine.images.decode import image_id
from engine.records.answers import check_answer
from engine.schema import Answer, Sample
from pipelines import open_dataset, query
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from specialists.transformers.captioner import PROMPTS, HfCaptioner
from specialists.transformers.writing import new_tokens
from tests.runs import failures

KINDS = ("blip", "git", "idefics3")
SIZES = [(96, 64), (64, 96), (5, 3), (2000, 20), (64, 64), (40, 300), (3, 5), (1, 1)]  # width, height
Made = Callable[..., HfCaptioner]


@pytest.fixture
def made(checkpoint_of: Callable[[str], str]) -> Made:
    def make(kind: str, **options: Any) -> HfCaptioner:
        captioner = HfCaptioner(checkpoint=checkpoint_of(kind), **{"max_new_tokens": 12, **options})
        captioner.load()
        return captioner

    return make


def photos(count: int = 16) -> list[Sample]:
    sizes = [SIZES[number % len(SIZES)] for number in range(count)]
    return [photo(number, *size) for number, size in enumerate(sizes)]


def photo(number: int, width: int, height: int) -> Sample:
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Sample(f"{number:032x}", width, height, pixels)


def texts(answers: Sequence[Answer]) -> list[str]:
    return [answer.texts[0].text if answer.texts else f"({answer.image_scores[0].code})" for answer in answers]


def by_hand(captioner: HfCaptioner, sample: Sample) -> tuple[list[int], list[float]]:
    """Tokens behind the prompt and the logarithms of their probabilities, by one call of the network for each token."""
    writer = captioner.writer
    assert sample.pixels is not None
    picture = Image.fromarray(sample.pixels)
    inputs: dict[str, Any] = dict(writer.processor(images=picture, return_tensors="pt")) if not writer.chats else {}
    ids = torch.tensor([[2]])  # [CLS], with which BLIP and GIT begin
    if writer.chats:
        talk = f"user <image>{captioner.prompt}<end_of_utterance>man "
        inputs = dict(writer.processor(images=[[picture]], text=[talk], return_tensors="pt"))
        ids = inputs.pop("input_ids")
        inputs.pop("attention_mask")
    forbidden = writer.model.generation_config.suppress_tokens or []
    tokens, log_probs = list[int](), list[float]()
    with torch.inference_mode():
        if writer.kind == "blip":
            inputs = {"encoder_hidden_states": writer.model.vision_model(**inputs)[0]}
        network = writer.model.text_decoder if writer.kind == "blip" else writer.model
        while len(tokens) < captioner.decoding.max_new_tokens and not writer.ends & set(tokens):
            logits = network(input_ids=ids, use_cache=False, **inputs).logits[0, -1]
            allowed = logits.clone()
            allowed[forbidden] = -math.inf
            tokens.append(int(allowed.argmax()))
            log_probs.append(float(logits.log_softmax(-1)[tokens[-1]]))
            ids = torch.cat([ids, torch.tensor([tokens[-1:]])], dim=1)
    return tokens, log_probs


@pytest.mark.parametrize("kind", KINDS)
def test_captions_of_a_batch_are_those_of_the_network_called_by_hand(made: Made, kind: str) -> None:
    captioner, batch = made(kind), photos()
    compared = set()
    for sample, answer in zip(batch, captioner.annotate(batch), strict=True):
        assert check_answer(answer, sample, HfCaptioner.gives) == ""
        tokens, log_probs = by_hand(captioner, sample)
        if not captioner.writer.ends & set(tokens):
            assert texts([answer]) == ["(cut)"]
        elif len(tokens) == 1:
            assert texts([answer]) == ["(empty)"]
        else:
            assert texts([answer]) == [captioner.writer.tokenizer.decode(tokens[:-1], skip_special_tokens=True)]
            assert answer.texts[0].score == pytest.approx(math.exp(np.mean(log_probs[:-1])), rel=1e-4)
            compared.add(answer.texts[0].text)
    assert len(compared) >= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 3])
def test_a_caption_does_not_depend_on_the_rest_of_the_batch(made: Made, kind: str, beams: int) -> None:
    captioner, batch = made(kind, num_beams=beams), photos()
    together, alone = captioner.annotate(batch), [captioner.annotate([sample])[0] for sample in batch]
    assert texts(together) == texts(alone) == texts(captioner.annotate(batch[::-1]))[::-1]
    assert len(set(texts(together))) > 3
    for one, other in zip(together, alone, strict=True):
        assert [text.score for text in one.texts] == pytest.approx([text.score for text in other.texts], rel=1e-4)


def test_scores_of_texts_by_beams_are_those_that_transformers_reckons(made: Made) -> None:
    captioner = made("git", num_beams=3)
    writer, pixels = captioner.writer, [sample.pixels for sample in photos()]
    with torch.inference_mode():
        inputs = writer.processor(images=[Image.fromarray(image) for image in pixels if image is not None])
        found = writer.model.generate(
            pixel_values=torch.as_tensor(np.asarray(inputs["pixel_values"])),
            num_beams=3,
            max_new_tokens=12,
            return_dict_in_generate=True,
            output_logits=True,
        )
    tokens, log_probs = new_tokens(found)
    expected = writer.model.compute_transition_scores(
        found.sequences, found.logits, found.beam_indices, normalize_logits=True
    )
    written = found.beam_indices[:, : tokens.shape[1]] >= 0
    assert not written.all()
    assert torch.equal(tokens, found.sequences[:, -tokens.shape[1] :])
    assert torch.allclose(log_probs[written], expected[written], atol=1e-5)


def test_texts_that_cannot_be_used_are_counted_and_left_out(made: Made) -> None:
    answers = made("git").annotate(photos())
    for code in ("cut", "empty"):
        without = [answer for answer in answers if [score.code for score in answer.image_scores] == [code]]
        assert without
        assert all(not answer.texts and answer.image_scores[0].value == 1 for answer in without)
    assert all(bool(answer.texts) != bool(answer.image_scores) for answer in answers)


def test_a_text_is_of_the_granularity_of_the_recipe(made: Made) -> None:
    found = [text for answer in made("git", granularity="detailed").annotate(photos()) for text in answer.texts]
    assert {(text.granularity, text.score_kind) for text in found} == {("detailed", "token_probability")}


def test_a_checkpoint_with_a_chat_template_is_asked_for_the_granularity(made: Made) -> None:
    assert made("idefics3", granularity="detailed").prompt == PROMPTS["detailed"]
    assert made("idefics3", prompt="a red ball").prompt == "a red ball"
    assert made("blip").prompt == ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_what_the_network_writes_behind_the_prompt(made: Made, kind: str) -> None:
    batch = photos()
    captioner = made(kind, prompt="a red ball")
    asked = captioner.annotate(batch)
    assert texts(asked) != texts(made(kind).annotate(batch))
    assert texts(asked) == texts([captioner.annotate([sample])[0] for sample in batch])
    assert not any(text.startswith("a red ball") for text in texts(asked))


@pytest.mark.parametrize("kind", ["blip", "git"])
def test_a_prompt_is_the_beginning_of_the_text_that_the_network_goes_on_with(made: Made, kind: str) -> None:
    """The words of a caption, given as the prompt, are continued with the rest of that caption."""
    batch = photos()
    captioner = made(kind)
    for sample, answer in zip(batch, captioner.annotate(batch), strict=True):
        words = answer.texts[0].text.split() if answer.texts else []
        if len(words) > 1:
            captioner.prompt = words[0]
            (rest,) = captioner.annotate([sample])
            assert texts([rest]) == [" ".join(words[1:])]
            return
    raise AssertionError("no caption of two words to continue")


def test_a_checkpoint_that_writes_no_texts_is_refused(checkpoint_of: Callable[[str], str]) -> None:
    with pytest.raises(StartError, match="cannot be loaded as"):
        HfCaptioner(checkpoint=checkpoint_of("sam2")).load()


class Choosy(HfCaptioner):
    """A captioner that fails on square images."""

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        if any(sample.width == sample.height for sample in batch):
            raise RuntimeError("a square image")
        return super().annotate(batch)


def test_around_images_that_fail_each_caption_belongs_to_its_own_image(
    tmp_path: Path, checkpoint_of: Callable[[str], str]
) -> None:
    """Two of the eight images make their batch fail; the others are then captioned one by one."""
    (tmp_path / "photos").mkdir()
    batch = photos(8)
    for number, sample in enumerate(batch):
        assert sample.pixels is not None
        path = tmp_path / "photos" / f"{number}.png"
        Image.fromarray(sample.pixels).save(path)
        sample.image_id = image_id(path.read_bytes())
    options = {"checkpoint": checkpoint_of("git"), "max_new_tokens": 12, "batch_size": 16}
    data = {
        "dataset": str(tmp_path / "set"),
        "ingest": {"sources": [{"folder": str(tmp_path / "photos")}]},
        "annotate": {"captions": {"use": f"{__name__}:Choosy", **options}},
    }
    for stage in ("ingest", "annotate"):
        stages.run(parse_recipe(data), stage=stage, runner="inline")
    squares = {sample.image_id for sample in batch if sample.width == sample.height}
    assert {row["image_id"] for row in failures(tmp_path / "set", "captions")} == squares
    captioner = HfCaptioner(**options)
    captioner.load()
    alone = {sample.image_id: texts(captioner.annotate([sample]))[0] for sample in batch}
    written = {name: text for name, text in alone.items() if name not in squares and not text.startswith("(")}
    rows = query(open_dataset(str(tmp_path / "set")), "SELECT image_id, text FROM texts").to_pylist()
    assert len(set(written.values())) > 2
    assert {row["image_id"]: row["text"] for row in rows} == written
