"""Images and prompts as what the decoder reads: the vision tower sees an image once, however much is asked of it.

The encoder reads an image together with a prompt, so that part runs for each question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.network.florence import Florence, Pixels
from model.pairs.tasks import prompt_of


class Ask(NamedTuple):
    """A question to one of the images that are given along. `prompt`: the sentence, as `prompt_of` makes it."""

    image: int
    task: str
    prompt: str


def ask(image: int, task: str, given: str = "") -> Ask:
    """`given`: a caption, names joined by <and>, or a region as its four locations. ValueError if that is not due."""
    return Ask(image, task, prompt_of(task, given))


@dataclass(frozen=True, slots=True)
class Seen:
    """Images after the vision tower: images x image tokens x width; and their sizes as (width, height)."""

    features: Tensor
    sizes: list[tuple[int, int]]


@torch.inference_mode()
def see(florence: Florence, images: Sequence[Pixels]) -> Seen:
    """All at once: give no more of them than the device holds."""
    pixels = florence.pixel_values(images).to(florence.device, florence.model.dtype)
    features = florence.model.get_image_features(pixels).pooler_output
    return Seen(features, [(pixels.shape[1], pixels.shape[0]) for pixels in images])


def prompt_tokens(florence: Florence, prompt: str) -> list[int]:
    """<s> prompt </s>. ValueError where image and prompt together are more than the encoder reads."""
    ids = florence.prompt_ids(prompt)[florence.image_tokens :]
    if len(ids) + florence.image_tokens > florence.places:
        raise ValueError(
            f"A prompt of {len(ids)} tokens behind an image of {florence.image_tokens}: "
            f"the encoder reads {florence.places}."
        )
    return ids


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoder states, questions x tokens x width, and which of them are no padding."""

    states: Tensor
    mask: Tensor


@torch.inference_mode()
def encode(florence: Florence, seen: Seen, asks: Sequence[tuple[int, Sequence[int]]]) -> Encoded:
    """`asks`: of each question the image's place in `seen`, and the tokens of its prompt."""
    model, vocabulary = florence.model, florence.vocabulary
    ids, mask = padded([tokens for _, tokens in asks], vocabulary.pad, florence.device)
    features = seen.features[[image for image, _ in asks]]
    words = model.get_input_embeddings()(ids)
    inputs = torch.cat([features.to(words.dtype), words], dim=1)
    mask = torch.cat([mask.new_ones(features.shape[:2]), mask], dim=1)
    states = model.model.language_model.encoder(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
    return Encoded(states, mask)


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Rows x longest row of ids, and 1 where they are no padding, which is on the right."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, (torch.arange(longest, device=device) < lengths[:, None]).long()


def windows(florence: Florence, images: Sequence[Pixels] | Seen, size: int) -> Iterator[tuple[int, Seen]]:
    """Some images at a time through the vision tower, with the place of the first of them."""
    if isinstance(images, Seen):
        yield 0, images
        return
    for start in range(0, len(images), size):
        yield start, see(florence, images[start : start + size])
