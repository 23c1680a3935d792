"""Turns images and questions into the encoder states that the decoder reads.

The vision tower runs once for each image, no matter how many questions there are about it. The text encoder reads an
image together with a prompt, so it runs once for each question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.florence2_tasks import prompt_of
from model.network.florence import Florence, Pixels


class Question(NamedTuple):
    """A question about one image. `image`: index of the image in the list that is passed along. `prompt`: from
    `prompt_of`.
    """

    image: int
    task: str
    prompt: str


def make_question(image: int, task: str, input_: str = "") -> Question:
    """A question with the prompt of its task. Raises ValueError if `input_` is not the input that the task takes
    (Task.input).
    """
    return Question(image, task, prompt_of(task, input_))


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """The output of the vision tower. `features`: images x image tokens x width. `sizes`: (width, height) of each image
    in pixels.
    """

    features: Tensor
    sizes: list[tuple[int, int]]


@torch.inference_mode()
def encode_images(florence: Florence, images: Sequence[Pixels]) -> EncodedImages:
    """Runs the vision tower on all images in one batch. The batch must fit into the memory of the device."""
    pixels = florence.pixel_values(images).to(florence.device, florence.model.dtype)
    features = florence.model.get_image_features(pixels).pooler_output
    return EncodedImages(features, [(pixels.shape[1], pixels.shape[0]) for pixels in images])


def encoded_batches(
    florence: Florence, images: Sequence[Pixels] | EncodedImages, size: int
) -> Iterator[tuple[int, EncodedImages]]:
    """(index of the first image, images) in batches of `size`. Images that are already encoded form one batch."""
    if isinstance(images, EncodedImages):
        yield 0, images
        return
    for start in range(0, len(images), size):
        yield start, encode_images(florence, images[start : start + size])


def prompt_tokens(florence: Florence, prompt: str) -> list[int]:
    """The tokens <s> prompt </s>. Raises ValueError if image and prompt together are longer than the encoder's
    input.
    """
    ids = florence.prompt_ids(prompt)[florence.image_tokens :]
    if len(ids) + florence.image_tokens > florence.max_tokens:
        raise ValueError(
            f"A prompt of {len(ids)} tokens after {florence.image_tokens} image tokens is too long: the encoder reads "
            f"{florence.max_tokens}."
        )
    return ids


@dataclass(frozen=True, slots=True)
class EncodedQuestions:
    """`states`: the encoder states, questions x tokens x width. `mask`: 0 for padding."""

    states: Tensor
    mask: Tensor


@torch.inference_mode()
def encode_questions(
    florence: Florence, images: EncodedImages, questions: Sequence[tuple[int, Sequence[int]]]
) -> EncodedQuestions:
    """Runs the text encoder. `questions`: for each, (index of its image, tokens of its prompt)."""
    model, vocabulary = florence.model, florence.vocabulary
    ids, mask = padded([tokens for _, tokens in questions], vocabulary.pad, florence.device)
    features = images.features[[image for image, _ in questions]]
    words = model.get_input_embeddings()(ids)
    inputs = torch.cat([features.to(words.dtype), words], dim=1)
    mask = torch.cat([mask.new_ones(features.shape[:2]), mask], dim=1)
    states = model.model.language_model.encoder(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
    return EncodedQuestions(states, mask)


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Token ids, rows x longest row, padded on the right, and a mask that is 0 for padding."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, (torch.arange(longest, device=device) < lengths[:, None]).long()
