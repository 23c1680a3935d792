"""Checkpoints saved here work in plain transformers, and those saved by plain transformers work here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoProcessor,
    BartConfig,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
)

from model.decoding.predict import predict
from model.florence2_tasks import TASKS
from model.network.encoding import Question
from model.network.florence import Pixels, load
from model.network.tokenizer import train_tokenizer
from tests.model.tiny import noise, saved

TOKENS = 20
# What the config of released checkpoints sets, and what we set instead.
RELEASED = {"num_beams": 3, "no_repeat_ngram_size": 3, "early_stopping": False, "forced_bos_token_id": 0}
GREEDY = {"num_beams": 1, "no_repeat_ngram_size": 0, "do_sample": False, "max_new_tokens": TOKENS}


def theirs(folder: str, images: list[Pixels], task: str) -> list[list[int]]:
    """The new tokens for each image. The processor gets the name of the task, as in its documentation."""
    model = Florence2ForConditionalGeneration.from_pretrained(folder).eval()
    processor: Any = AutoProcessor.from_pretrained(folder)
    inputs = processor(text=[task] * len(images), images=images, return_tensors="pt", padding=True)
    written = model.generate(
        **{name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values")}, **GREEDY
    )
    return [row[1:] for row in written.tolist()]


def ours(folder: str, images: list[Pixels], task: str) -> list[list[int]]:
    questions = [Question(number, task, TASKS[task].prompt) for number in range(len(images))]
    florence = load(folder)
    answers = predict(florence, images, questions, constrained=False, max_new_tokens=TOKENS)
    return [answer.ids for answer in answers]


def save_by_transformers(folder: Path) -> str:
    """Save a random checkpoint of a different shape, without our code except for the tokenizer."""
    tokenizer = train_tokenizer(["a red square", *(task.prompt for task in TASKS.values())], size=300)
    torch.manual_seed(0)
    model = Florence2ForConditionalGeneration(small_config(tokenizer))
    with torch.no_grad():
        model.get_input_embeddings().weight[2] = 0  # otherwise it only writes </s>, its start token
    model.save_pretrained(folder)
    images: Any = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False, resample=3)
    images.image_seq_length = 5
    kinds = ("ocr", "pure_text", "description_with_bboxes", "description_with_polygons", "polygons", "bboxes")
    kinds += ("description_with_bboxes_or_polygons", "phrase_grounding")
    rules: dict[str, Any] = {kind: {} for kind in kinds}
    Florence2Processor(image_processor=images, tokenizer=tokenizer, post_processor_config=rules).save_pretrained(folder)
    return str(folder)


def small_config(tokenizer: Any) -> Florence2Config:
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    vision = Florence2VisionConfig(
        depths=[1] * 4,
        embed_dim=[16, 32, 48, 64],
        num_heads=[1, 2, 3, 4],
        num_groups=[1, 2, 3, 4],
        window_size=4,
        projection_dim=64,
        drop_path_rate=0.0,
    )
    text = BartConfig(
        vocab_size=len(tokenizer),
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=64,
        init_std=0.3,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        **ids,
    )
    return Florence2Config(
        text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_id=tokenizer.image_token_id, **ids
    )


@pytest.mark.parametrize("task", ["<OD>", "<CAPTION>"])
def test_a_checkpoint_saved_here_generates_the_same_in_plain_transformers(tmp_path: Path, task: str) -> None:
    folder = saved(tmp_path)
    answers = ours(folder, noise(3), task)
    assert sum(map(len, answers)) > 20
    assert same(theirs(folder, noise(3), task), answers)


def test_a_checkpoint_written_by_plain_transformers_loads_and_generates_the_same(tmp_path: Path) -> None:
    folder = save_by_transformers(tmp_path)
    florence = load(folder)
    assert (florence.size, florence.image_tokens, florence.max_tokens) == (64, 5, 64)
    assert same(theirs(folder, noise(3), "<OD>"), ours(folder, noise(3), "<OD>"))
    questions = [Question(0, task.name, task.prompt) for task in TASKS.values() if not task.input]
    answers = predict(florence, noise(1), questions)
    assert not any(answer.parsed.faults for answer in answers)
    assert max(len(answer.ids) for answer in answers) <= 64


def test_of_a_released_generation_config_only_the_forced_first_token_is_used(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    florence = load(folder)
    florence.model.generation_config.update(**RELEASED)
    florence.model.generation_config.save_pretrained(folder)
    answers = ours(folder, noise(3), "<OD>")
    assert {ids[0] for ids in answers} == {0}
    assert same(theirs(folder, noise(3), "<OD>"), answers)


def same(theirs: list[list[int]], ours: list[list[int]]) -> bool:
    """Whether the answers are equal; theirs are padded to the longest one."""
    return all(row[: len(ids)] == ids and set(row[len(ids) :]) <= {1} for row, ids in zip(theirs, ours, strict=True))
