"""Checkpoints that embed images and texts in one space: SigLIP 2, CLIP and their like.

Vectors have unit length, so a product of two is their cosine. Images are resized as the checkpoint's own processor
does it, which loses part of a wide image: CLIP sees its centre square, SigLIP 2 all of it but squeezed to a square, and
only the `naflex` checkpoints of SigLIP 2 keep its proportions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import StartError
from specialists.pixels import Pixels
from specialists.transformers.checkpoint import Checkpoint, Dtype

Floats = npt.NDArray[np.float32]

_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class ImageEncoder:
    """The image half of a checkpoint, or one that has no other, such as DINOv2."""

    def __init__(
        self,
        source: Checkpoint,
        *,
        dtype: Dtype,
        gpus: float,
        cpus: float,
        compiled: bool,
        at_once: int,
    ) -> None:
        from transformers import AutoImageProcessor, AutoModel

        self.source, self.at_once = source, at_once
        self.processor: Any = source.load(AutoImageProcessor)
        self.model: Any = source.load_model(AutoModel, gpus=gpus, dtype=dtype, cpus=cpus)
        if compiled:  # in place: the methods that are called here are not those that torch.compile would wrap
            for part in ("vision_model", "text_model"):
                getattr(self.model, part, self.model).compile()
        self._embed: Callable[..., Any] = getattr(self.model, "get_image_features", self.model)
        self.size = self.images([np.zeros((2, 2, 3), np.uint8)]).shape[1]

    def images(self, images: Sequence[Pixels]) -> Floats:
        """One row for each image."""
        return self._in_batches(images, self._images)

    def _images(self, images: Sequence[Pixels]) -> Floats:
        made = self.processor(images=list(images), input_data_format="channels_last", return_tensors="pt")
        return self._vectors(self._embed, made)

    def _in_batches(self, items: Sequence[Any], embed: Callable[[Sequence[Any]], Floats]) -> Floats:
        parts = [embed(items[at : at + self.at_once]) for at in range(0, len(items), self.at_once)]
        return np.concatenate(parts) if parts else np.zeros((0, self.size), np.float32)

    def _vectors(self, embed: Callable[..., Any], inputs: Any) -> Floats:
        import torch

        moved = {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        with torch.inference_mode():
            pooled = getattr(embed(**moved), "pooler_output", None)
            if pooled is None:
                raise StartError(
                    f"'{self.source.name}' ({type(self.model).__name__}) gives no vector for a whole image: give a "
                    "checkpoint such as google/siglip2-base-patch16-224 or facebook/dinov2-base."
                )
            vectors: Floats = torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()
        return vectors


class DualEncoder(ImageEncoder):
    """Both halves. `sigmoid`: whether the model was trained to give a probability for each pair, as SigLIP was."""

    def __init__(self, source: Checkpoint, **settings: Any) -> None:
        from transformers import AutoTokenizer

        super().__init__(source, **settings)
        if not hasattr(self.model, "get_text_features"):
            raise StartError(
                f"'{source.name}' ({type(self.model).__name__}) embeds no texts: give a checkpoint such as "
                "google/siglip2-base-patch16-224."
            )
        self.tokenizer: Any = source.load(AutoTokenizer)
        self.longest = int(self.model.config.text_config.max_position_embeddings)
        self.sigmoid = hasattr(self.model, "logit_bias")

    def probability(self, cosine: float) -> float:
        """The model's own probability that text and image belong together; only if `sigmoid`."""
        import torch

        with torch.inference_mode():
            return float((cosine * self.model.logit_scale.exp() + self.model.logit_bias).float().sigmoid())

    def texts(self, texts: Sequence[str]) -> Floats:
        """One row for each text. Of a text that is too long, only the beginning counts; `pieces` avoids that."""
        return self._in_batches(texts, self._texts)

    def _texts(self, texts: Sequence[str]) -> Floats:
        # SigLIP was trained on lower case, padded to the full length, without an attention mask. Not every tokenizer
        # of its checkpoints makes the letters small; that of CLIP always does.
        made = self.tokenizer(
            [text.lower() for text in texts],
            padding="max_length" if self.sigmoid else "longest",
            return_attention_mask=not self.sigmoid,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        )
        return self._vectors(self.model.get_text_features, made)

    def pieces(self, text: str) -> list[tuple[str, int]]:
        """The text in as few pieces of whole sentences as fit the model, each with its number of tokens.

        A sentence that does not fit is a piece of its own, and the model reads only its beginning.
        """
        pieces: list[tuple[str, int]] = []
        for sentence in [text] if self._tokens(text) <= self.longest else _SENTENCE.split(text):
            joined = f"{pieces[-1][0]} {sentence}" if pieces else sentence
            if pieces and (tokens := self._tokens(joined)) <= self.longest:
                pieces[-1] = (joined, tokens)
            else:
                pieces.append((sentence, min(self._tokens(sentence), self.longest)))
        return pieces

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer(text.lower(), verbose=False)["input_ids"])
