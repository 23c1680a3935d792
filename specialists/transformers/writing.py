"""Writes short texts about images with a checkpoint. hf_captioner and region_captioner use it.

Decoding is greedy or by beams, never sampled. The score of a text is the geometric mean of its tokens' probabilities,
as for `florence2`. They come from the plain softmax, before rules of the checkpoint such as a penalty for repetition.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import StartError
from engine.schema import ImageScore
from model.decoding.likelihood import SCORE_KIND
from specialists.pixels import Pixels
from specialists.transformers.checkpoint import Checkpoint, Dtype

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SCORE_KIND", "Decoding", "Writer", "Written", "malformed"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How texts are decoded. max_new_tokens: length of the longest text in tokens. beams: number of beams; 1 is
    greedy.
    """

    max_new_tokens: int
    beams: int


@dataclass(frozen=True, slots=True)
class Written:
    """A text with its score. `fault`: why the text cannot be used: "cut" if it was not finished, "empty" if it is
    empty; '' if it can be used.
    """

    text: str
    score: float
    fault: str = ""


class Writer:
    """A network that writes texts, with its processor. Each worker loads one."""

    def __init__(self, source: Checkpoint, decoding: Decoding, *, dtype: Dtype, cpus: float, gpus: float) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.decoding = decoding
        self.processor: Any = source.load(AutoProcessor)
        self.model: Any = source.load_model(AutoModelForImageTextToText, gpus=gpus, dtype=dtype, cpus=cpus)
        self.tokenizer: Any = getattr(self.processor, "tokenizer", None)
        self.kind = str(self.model.config.model_type)
        if self.tokenizer is None or self.kind == "florence2":
            other = "use the specialist florence2" if self.kind == "florence2" else "give another checkpoint"
            raise StartError(f"'{source.name}' is a {type(self.model).__name__}, which is not read here: {other}.")
        self.tokenizer.padding_side = "left"  # so that each text starts directly after its prompt
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        self.ends = _ends(self.model, self.tokenizer)

    @property
    def chats(self) -> bool:
        """Whether the checkpoint has a chat template. Such a checkpoint cannot be used without a prompt."""
        return bool(getattr(self.processor, "chat_template", None))

    def write(self, images: Sequence[Pixels], prompt: str) -> list[Written]:
        """One text for each image, in the same order."""
        import torch

        with torch.inference_mode():
            inputs = self._on_device(self._inputs(images, prompt))
            found = self.model.generate(
                **inputs,
                do_sample=False,
                num_beams=self.decoding.beams,
                max_new_tokens=self.decoding.max_new_tokens,
                return_dict_in_generate=True,
                output_logits=True,
            )
            tokens, log_probs = new_tokens(found)
        rows = zip(tokens.tolist(), log_probs.tolist(), strict=True)
        written = [self._written(*row) for row in rows]
        if len(written) != len(images):
            raise ValueError(f"{len(written)} texts for {len(images)} images")
        return written

    def _inputs(self, images: Sequence[Pixels], prompt: str) -> Mapping[str, Any]:
        from PIL import Image

        # PIL images are used, because transformers would read an array with 3 rows as 3 channels.
        pictures = [Image.fromarray(image) for image in images]
        if self.chats:
            question = {"type": "text", "text": prompt}
            given: Mapping[str, Any] = self.processor.apply_chat_template(
                [[{"role": "user", "content": [{"type": "image", "image": one}, question]}] for one in pictures],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
            return given
        if self.kind == "git" and prompt:  # GIT's processor would end the prompt with the token that ends a text
            ids = [self.tokenizer.cls_token_id, *self.tokenizer(prompt, add_special_tokens=False)["input_ids"]]
            return {**self.processor(images=pictures, return_tensors="pt"), "input_ids": _repeated(ids, len(pictures))}
        text = {"text": [prompt] * len(pictures), "padding": True} if prompt else {}
        return dict(self.processor(images=pictures, return_tensors="pt", **text))

    def _on_device(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        device, dtype = self.model.device, self.model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in inputs.items()
        }

    def _written(self, tokens: Sequence[int], log_probs: Sequence[float]) -> Written:
        length = next((at for at, token in enumerate(tokens) if token in self.ends), None)
        text = self.tokenizer.decode(tokens[:length], skip_special_tokens=True).strip()
        if length is None:
            return Written(text, 0.0, "cut")
        if not text:
            return Written("", 0.0, "empty")
        return Written(text, math.exp(sum(log_probs[:length]) / length))


def new_tokens(found: Any) -> tuple[Tensor, Tensor]:
    """The tokens that `generate` wrote after the prompts, and the log-probability of each. Both are images x tokens.
    After the end of a text, both contain filler values.
    """
    import torch

    rows = getattr(found, "beam_indices", None)  # images x steps: the row of the logits that each token comes from
    if rows is None:
        count = len(found.sequences)
        rows = torch.arange(count, device=found.sequences.device)[:, None].expand(count, len(found.logits))
    steps = int((rows >= 0).sum(dim=1).max())
    tokens = found.sequences[:, -steps:]
    log_probs = [
        torch.log_softmax(logits[rows[:, step].clamp(min=0)].float(), dim=-1).gather(1, tokens[:, step, None])[:, 0]
        for step, logits in enumerate(found.logits[:steps])
    ]
    return tokens, torch.stack(log_probs, dim=1)


def malformed(faults: Counter[str]) -> list[ImageScore]:
    """Image scores that count the texts which cannot be used, by reason."""
    return [
        ImageScore("malformed", count, reason, score=1.0, score_kind="measured")
        for reason, count in sorted(faults.items())
    ]


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text. The tokenizers of BLIP and GIT use the separator token for this."""
    found = getattr(model.generation_config, "eos_token_id", None)
    ends = {*(found if isinstance(found, list) else [found]), tokenizer.eos_token_id, tokenizer.sep_token_id}
    return frozenset(int(end) for end in ends if end is not None)


def _repeated(ids: Sequence[int], count: int) -> Tensor:
    import torch

    return torch.tensor([list(ids)] * count)
