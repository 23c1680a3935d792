"""The open-vocabulary detectors of transformers behind one interface: it takes names and images, and returns boxes and
probabilities.

The models differ in what a prompt is. Grounding DINO reads all names as one text and scores each token of it. OWL-ViT
reads each name separately, so the names in a prompt do not affect each other. OmDet-Turbo also reads each name
separately, and in addition a task sentence that lists all names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from engine.errors import ImageError, StartError
from specialists.pixels import Pixels
from specialists.transformers.phrase_prompts import in_groups, shortened, token_starts

Floats = npt.NDArray[np.float64]

# A Grounding DINO has 900 boxes, each at another place. It fails on an image so narrow that it has fewer places.
LONGEST_SIDE = 16  # largest allowed ratio of the longer to the shorter side
MEAN_COLOUR = (124, 116, 104)  # of ImageNet; about 0 once normalised


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a model to one prompt about one image. Rows are boxes, and columns are the names in the prompt.

    `boxes`: centre x and y, width and height, as shares of the frame (`OpenVocabulary.frame`). `phrase`: the
    probability that the box shows everything that the name says. `box`: the probability that it shows what any word of
    the name says. The two are equal unless the model scores single tokens.
    """

    boxes: Floats
    phrase: Floats
    box: Floats


class OpenVocabulary(Protocol):
    """One family of models.

    `independent`: whether the other names in a prompt never affect the answer for a name. `same_count`: whether all
    prompts of one call need the same number of names. Some models need it, because names that fill up a shorter prompt
    would change its answer.
    """

    independent: ClassVar[bool]
    same_count: ClassVar[bool]
    phrase_kind: ClassVar[str]  # score_kind of phrases
    box_kind: ClassVar[str]  # score_kind of their regions

    def fit(self, name: str) -> str:
        """The name, shortened to the length that a prompt can hold."""
        ...

    def groups(self, names: Sequence[str], most: int) -> Iterator[list[str]]:
        """Groups the names into prompts of up to `most` names each. If `most` is 0, each prompt gets all that fit."""
        ...

    def ask(self, images: Any, prompts: Sequence[Sequence[str]]) -> list[Found]:
        """The answers to one prompt for each image. `images`: the tensors from the image processor."""
        ...

    def prepare(self, pixels: Pixels) -> Pixels:
        """The pixels that are passed to the image processor."""
        ...

    def frame(self, width: int, height: int) -> tuple[int, int]:
        """The size in pixels that boxes of an image of this width and height are shares of. It includes any padding."""
        ...


class _Model:
    independent: ClassVar[bool] = False
    same_count: ClassVar[bool] = False
    phrase_kind: ClassVar[str] = "confidence"
    box_kind: ClassVar[str] = "confidence"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    def prepare(self, pixels: Pixels) -> Pixels:
        return pixels

    def frame(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def tokens(self, name: str) -> int:
        return len(token_starts(name, self.tokenizer))

    def tensors(self, encoded: Any) -> dict[str, Any]:
        return {name: tensor.to(self.model.device) for name, tensor in encoded.items()}


class GroundingDino(_Model):
    """Grounding DINO and MM-Grounding-DINO. All names form one prompt, such as "a cat. the black dog.", and there is a
    logit for each box and token.

    The score of a phrase is the mean probability of its tokens, as in both authors' own evaluation. The score of a box
    is the highest of these probabilities, as in transformers' `post_process_grounded_object_detection`.
    """

    phrase_kind: ClassVar[str] = "token_mean"
    box_kind: ClassVar[str] = "token_max"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        config = model.config
        positions = int(getattr(config.text_config, "max_position_embeddings", config.max_text_len))
        self.longest = min(int(config.max_text_len), positions, int(tokenizer.model_max_length))

    def prepare(self, pixels: Pixels) -> Pixels:
        """The image. If it is too narrow (LONGEST_SIDE), it gets a margin of the mean colour on the right or at the
        bottom.
        """
        height, width = pixels.shape[:2]
        across, down = self.frame(width, height)
        if (across, down) == (width, height):
            return pixels
        canvas: Pixels = np.empty((down, across, 3), np.uint8)
        canvas[:] = MEAN_COLOUR
        canvas[:height, :width] = pixels
        return canvas

    def frame(self, width: int, height: int) -> tuple[int, int]:
        return max(width, -(-height // LONGEST_SIDE)), max(height, -(-width // LONGEST_SIDE))

    def fit(self, name: str) -> str:
        return shortened(
            name, self.tokenizer, self.longest - 3
        )  # leaves room for the first and the last token, and for the "."

    def groups(self, names: Sequence[str], most: int) -> Iterator[list[str]]:
        return in_groups(names, lambda name: self.tokens(name) + 1, self.longest - 2, most)

    def ask(self, images: Any, prompts: Sequence[Sequence[str]]) -> list[Found]:
        text = [prompt_of(names) for names in prompts]
        kinds = {"return_token_type_ids": True, "return_offsets_mapping": True, "return_tensors": "pt"}
        encoded = self.tokenizer(text, padding=True, truncation=True, max_length=self.longest, **kinds)
        offsets = encoded.pop("offset_mapping").numpy()
        out = self.model(**images, **self.tensors(encoded))
        probabilities = as_array(out.logits.sigmoid())[..., : offsets.shape[1]]
        return [
            Found(boxes, *_by_name(own, tokens_of(names, spans)))
            for boxes, own, names, spans in zip(as_array(out.pred_boxes), probabilities, prompts, offsets, strict=True)
        ]


def prompt_of(names: Sequence[str]) -> str:
    return ". ".join(names) + "."


def tokens_of(names: Sequence[str], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which tokens of a prompt belong to which name: names x tokens. `offsets`: start and end of each token in the
    prompt.
    """
    ends = np.cumsum([len(name) + 2 for name in names]) - 2
    starts = ends - [len(name) for name in names]
    begin, end = offsets[:, 0], offsets[:, 1]
    owned: npt.NDArray[np.bool_] = (begin < ends[:, None]) & (end > starts[:, None]) & (begin < end)
    return owned


def _by_name(probabilities: Floats, owned: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The mean and the maximum of the probabilities over the tokens of each name; 0 for a name without tokens."""
    mean = probabilities @ owned.T / np.maximum(owned.sum(axis=1), 1)
    highest = np.stack([probabilities[:, own].max(axis=1, initial=0.0) for own in owned], axis=1)
    return mean, highest


class Owl(_Model):
    """OWL-ViT and OWLv2. A prompt is a list of names, and there is a logit for each box and name."""

    independent: ClassVar[bool] = True
    most_names: ClassVar[int] = 100

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self.longest = int(model.config.text_config.max_position_embeddings)
        self.square = model.config.model_type == "owlv2"

    def frame(self, width: int, height: int) -> tuple[int, int]:
        """OWLv2 puts the image into the top left of a square, so its frame is that square."""
        return (max(width, height),) * 2 if self.square else (width, height)

    def fit(self, name: str) -> str:
        return shortened(name, self.tokenizer, self.longest - 2)

    def groups(self, names: Sequence[str], most: int) -> Iterator[list[str]]:
        return in_groups(names, lambda _: 1, self.most_names, most)

    def ask(self, images: Any, prompts: Sequence[Sequence[str]]) -> list[Found]:
        count = max(map(len, prompts))
        filled = [name for names in prompts for name in (*names, *[names[0]] * (count - len(names)))]
        encoded = _encoded(self.tokenizer, filled, self.longest)
        out = self.model(**images, **self.tensors(encoded))
        return _by_box(out.pred_boxes, out.logits, prompts)


class OmDetTurbo(_Model):
    """OmDet-Turbo. A prompt is a list of names and a task, such as "Detect a cat, the black dog.". There is a logit for
    each box and name.
    """

    same_count: ClassVar[bool] = True

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self.longest = min(77, int(model.config.text_config.max_position_embeddings))
        self.room = self.longest - len(self.tokenizer(_task([""])).input_ids)

    def fit(self, name: str) -> str:
        return shortened(name, self.tokenizer, self.room)

    def groups(self, names: Sequence[str], most: int) -> Iterator[list[str]]:
        return in_groups(names, lambda name: self.tokens(name) + 1, self.room + 1, most)

    def ask(self, images: Any, prompts: Sequence[Sequence[str]]) -> list[Found]:
        import torch

        names = _encoded(self.tokenizer, [name for names in prompts for name in names], self.longest)
        tasks = _encoded(self.tokenizer, [_task(names) for names in prompts], self.longest)
        encoded = {f"classes_{key}": tensor for key, tensor in names.items()}
        encoded |= {f"tasks_{key}": tensor for key, tensor in tasks.items()}
        encoded["classes_structure"] = torch.tensor([len(names) for names in prompts])
        out = self.model(pixel_values=images["pixel_values"], **self.tensors(encoded))
        return _by_box(out.decoder_coord_logits, out.decoder_class_logits, prompts)


def _task(names: Sequence[str]) -> str:
    return f"Detect {', '.join(names)}."


def _encoded(tokenizer: Any, texts: Sequence[str], longest: int) -> Any:
    kinds = {"return_attention_mask": True, "return_token_type_ids": False, "return_tensors": "pt"}
    return tokenizer(list(texts), padding="max_length", truncation=True, max_length=longest, **kinds)


def _by_box(boxes: Any, logits: Any, prompts: Sequence[Sequence[str]]) -> list[Found]:
    scores = as_array(logits.sigmoid())
    answers = zip(as_array(boxes), scores, prompts, strict=True)
    return [Found(own, score[:, : len(names)], score[:, : len(names)]) for own, score, names in answers]


def as_array(tensor: Any) -> Floats:
    """The tensor as a float64 array. Raises ImageError if a value is NaN, as happens with OmDet-Turbo in float16."""
    array: Floats = tensor.float().cpu().numpy().astype(np.float64)
    if np.isnan(array).any():
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise ImageError("not_a_number", f"the model's answer in {dtype} holds NaN: set `dtype` to float32 or bfloat16")
    return array


FAMILIES: dict[str, type[GroundingDino] | type[Owl] | type[OmDetTurbo]] = {
    "grounding-dino": GroundingDino,
    "mm-grounding-dino": GroundingDino,
    "owlvit": Owl,
    "owlv2": Owl,
    "omdet-turbo": OmDetTurbo,
}


def family_of(checkpoint: str, model: Any, tokenizer: Any) -> OpenVocabulary:
    kind = str(model.config.model_type)
    if kind not in FAMILIES:
        raise StartError(
            f"'{checkpoint}' is a {kind}, whose prompts hf_grounder cannot write: give a checkpoint of "
            f"{', '.join(FAMILIES)}."
        )
    return FAMILIES[kind](model, tokenizer)
