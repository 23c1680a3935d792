"""Checkpoints that embed images and texts in one space, such as SigLIP 2 and CLIP.

Vectors have unit length, so the product of two vectors is their cosine. Images are resized by the checkpoint's own
processor, which changes wide images. CLIP keeps only the centre square. SigLIP 2 squeezes the whole image into a
square. Only the `naflex` checkpoints of SigLIP 2 keep the proportions.
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
    """Embeds images: with the image half of a checkpoint such as CLIP, or with a checkpoint that embeds only images,
    such as DINOv2.
    """

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
        if compiled:  # compile in place: torch.compile(model) would wrap only `forward`, which is not called here
            for part in ("vision_model", "text_model"):
                getattr(self.model, part, self.model).compile()
        self._embed: Callable[..., Any] = getattr(self.model, "get_image_features", self.model)
        try:
            self.size = self.images([np.zeros((2, 2, 3), np.uint8)]).shape[1]
        except (TypeError, ValueError, AttributeError) as error:  # the model wants more than an image
            raise self._no_vector() from error

    def images(self, images: Sequence[Pixels]) -> Floats:
        """Unit vectors, one row for each image."""
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
                raise self._no_vector()
            vectors: Floats = torch.nn.functional.normalize(pooled.float(), dim=1).cpu().numpy()
        return vectors

    def _no_vector(self) -> StartError:
        return StartError(
            f"'{self.source.name}' ({type(self.model).__name__}) gives no vector for a whole image: give a "
            "checkpoint such as google/siglip2-base-patch16-224 or facebook/dinov2-base."
        )


class DualEncoder(ImageEncoder):
    """Embeds both images and texts. `sigmoid`: whether the model was trained to give a probability for each pair of
    image and text, as SigLIP was.
    """

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
        """The model's probability that text and image belong together. Needs a model with `sigmoid`."""
        import torch

        with torch.inference_mode():
            return float((cosine * self.model.logit_scale.exp() + self.model.logit_bias).float().sigmoid())

    def texts(self, texts: Sequence[str]) -> Floats:
        """Unit vectors, one row for each text. Only the beginning of a text that is too long is used; `pieces` avoids
        this.
        """
        return self._in_batches(texts, self._texts)

    def _texts(self, texts: Sequence[str]) -> Floats:
        # SigLIP was trained on lower-case texts that were padded to the full length, without an attention mask. Not all
        # of its tokenizers convert texts to lower case. Those of CLIP do.
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
        """Splits a text into as few pieces of whole sentences as fit the model. Returns each piece with its number of
        tokens.

        A sentence that is too long is a piece of its own, and the model reads only its beginning.
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
