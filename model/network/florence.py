"""A Florence-2: the network with its tokenizer and image processor.

`load` reads any checkpoint, whether released or trained here. `build` makes one from a preset with random weights. The
classes are those of plain transformers, and weights are stored as safetensors. The encoder's input is [image tokens,
<s> prompt </s>].
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from model.network.fourier import use_fourier_features
from model.network.model_folder import check_model
from model.network.presets import Preset, check_size, preset_of
from model.network.vocabulary import Vocabulary

Pixels = npt.NDArray[np.uint8]  # height x width x 3, RGB, upright

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PARSE_TYPES = (
    *("ocr", "pure_text", "description_with_bboxes", "description_with_polygons", "polygons", "bboxes"),
    *("description_with_bboxes_or_polygons", "phrase_grounding"),
)


@dataclass(slots=True)
class Florence:
    """A loaded model, in eval mode. `size`: images are resized to size x size pixels. `name`: checkpoint or preset."""

    model: Any  # Florence2ForConditionalGeneration
    processor: Any  # Florence2Processor
    vocabulary: Vocabulary
    size: int
    image_tokens: int
    name: str = ""

    @property
    def tokenizer(self) -> Any:
        return self.vocabulary.tokenizer

    @property
    def device(self) -> Any:
        return self.model.device

    @property
    def max_tokens(self) -> int:
        """The longest input of the encoder (image and prompt), and also of the decoder (a target with <s> and </s>)."""
        return int(self.model.config.text_config.max_position_embeddings)

    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def to(self, device: str) -> Florence:
        self.model.to(device)
        return self

    def pixel_values(self, images: Sequence[Pixels]) -> Any:
        """n x 3 x size x size float32, made by the checkpoint's own image processor. Images are stretched to a
        square.
        """
        values = self.processor.image_processor(
            images=list(images), return_tensors="pt", input_data_format="channels_last"
        )
        return values["pixel_values"]

    def prompt_ids(self, prompt: str) -> list[int]:
        """Placeholders for the image tokens, followed by <s> prompt </s>."""
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return [self.vocabulary.image] * self.image_tokens + [self.vocabulary.bos, *ids, self.vocabulary.eos]

    def target_ids(self, target: str) -> list[int]:
        """<s> target </s>, without the start token of the decoder's input."""
        ids = self.tokenizer(target, add_special_tokens=False)["input_ids"]
        return [self.vocabulary.bos, *ids, self.vocabulary.eos]

    def save(self, folder: str | Path) -> None:
        """Writes a checkpoint that plain transformers can load with from_pretrained."""
        self.model.save_pretrained(folder, safe_serialization=True)
        self.processor.save_pretrained(folder)


def load(checkpoint: str, *, revision: str = "", device: str = "cpu", dtype: str = "float32") -> Florence:
    """Loads a checkpoint by folder or hub id. `revision`: revision of a hub id; '' for its default branch. Raises
    ConfigError if it cannot be loaded, and DamageError if one of its files was changed (see `check_model`).
    """
    import torch
    from transformers import AutoConfig, AutoProcessor, Florence2ForConditionalGeneration

    _silence_transformers()
    check_checkpoint(checkpoint)
    check_model(checkpoint)
    processors: Any = AutoProcessor
    at: dict[str, Any] = {"revision": revision} if revision else {}
    try:
        _require_florence(checkpoint, AutoConfig.from_pretrained(checkpoint, **at).model_type)
        model = Florence2ForConditionalGeneration.from_pretrained(checkpoint, dtype=getattr(torch, dtype), **at)
        processor = processors.from_pretrained(checkpoint, **at)
    except (OSError, ValueError, KeyError) as error:
        hub = "" if os.path.isdir(checkpoint) else " (there is no such folder, so it was looked up on the hub)"
        raise ConfigError(f"The checkpoint '{checkpoint}'{hub} cannot be loaded: {_first_line(error)}") from error
    return _ready(model, processor, checkpoint).to(device)


def check_checkpoint(checkpoint: str) -> None:
    """Raises ConfigError if this cannot be a checkpoint, judged by its name, config.json and file names. The hub is not
    contacted.
    """
    if os.path.isdir(checkpoint):
        try:
            kind = json.loads(Path(checkpoint, "config.json").read_bytes()).get("model_type")
        except (OSError, ValueError, AttributeError):
            raise ConfigError(
                f"'{checkpoint}' holds no config.json of a model: give the folder of a Florence-2 checkpoint."
            ) from None
        _require_florence(checkpoint, kind)
        if not any(name.endswith((".safetensors", ".bin")) for name in os.listdir(checkpoint)):
            raise ConfigError(f"'{checkpoint}' holds no weights: give the folder of a complete Florence-2 checkpoint.")
    elif os.path.exists(checkpoint) or checkpoint.startswith((".", "/")) or checkpoint.count("/") != 1:
        raise ConfigError(
            f"No checkpoint at '{checkpoint}': give a folder, or a hub id such as 'florence-community/Florence-2-base'."
        )


def _require_florence(checkpoint: str, kind: str | None) -> None:
    if kind != "florence2":
        raise ConfigError(f"'{checkpoint}' is a '{kind}', expected a native 'florence2' checkpoint.")


def _ready(model: Any, processor: Any, name: str) -> Florence:
    model.eval()
    size = processor.image_processor.size
    side = int(size["height"] if "height" in size else size["shortest_edge"])
    return Florence(model, processor, Vocabulary(processor.tokenizer), side, int(processor.num_image_tokens), name)


def _silence_transformers() -> None:
    """Turns off progress bars, and the advice to install torchvision, which cannot be imported with this torch."""
    from transformers import utils

    logging: Any = utils.logging
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def build(preset: str, tokenizer: Any, *, size: int = 0, seed: int = 0, fourier: bool = False) -> Florence:
    """A model with random weights and the shape of a preset (presets.py). `size`: side of its images in pixels; 0 for
    the preset's. `fourier`: whether the embeddings of locations and image positions start as Fourier features
    (fourier.py).
    """
    import torch

    _silence_transformers()
    shape = preset_of(preset)
    side = size or shape.size
    check_size(shape, side)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vocabulary = Vocabulary(tokenizer)
        model = _network(shape, vocabulary)
        if fourier:
            use_fourier_features(model, vocabulary.first_location, shape.grid(side))
    return _ready(model, _processor(tokenizer, side, shape.image_tokens(side)), preset)


def _network(shape: Preset, vocabulary: Vocabulary) -> Any:
    from transformers import Florence2Config, Florence2ForConditionalGeneration

    ids: dict[str, Any] = {
        "pad_token_id": vocabulary.pad,
        "bos_token_id": vocabulary.bos,
        "eos_token_id": vocabulary.eos,
    }
    text = _text_config(shape, vocabulary, ids)
    vision = _vision_config(shape)
    config = Florence2Config(
        text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_id=vocabulary.image, **ids
    )
    return Florence2ForConditionalGeneration(config)


def _vision_config(shape: Preset) -> Any:
    from transformers import Florence2VisionConfig

    return Florence2VisionConfig(
        depths=list(shape.depths),
        embed_dim=list(shape.widths),
        num_heads=list(shape.heads),
        num_groups=list(shape.heads),
        patch_size=list(shape.patches),
        patch_stride=list(shape.strides),
        patch_padding=list(shape.paddings),
        patch_prenorm=list(shape.prenorm),
        window_size=shape.window,
        mlp_ratio=shape.mlp_ratio,
        drop_path_rate=shape.drop_path,
        projection_dim=shape.d_model,
        initializer_range=shape.vision_std,
    )


def _text_config(shape: Preset, vocabulary: Vocabulary, ids: dict[str, Any]) -> Any:
    from transformers import BartConfig

    return BartConfig(
        vocab_size=-(-vocabulary.size // 64) * 64,  # a multiple of 64, as released: faster on a GPU
        d_model=shape.d_model,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.attention_heads,
        decoder_attention_heads=shape.attention_heads,
        encoder_ffn_dim=(2 if shape.mlp_ratio == 2 else 4) * shape.d_model,
        decoder_ffn_dim=(2 if shape.mlp_ratio == 2 else 4) * shape.d_model,
        max_position_embeddings=1024,
        dropout=shape.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        init_std=shape.text_std,
        decoder_start_token_id=vocabulary.eos,
        forced_eos_token_id=vocabulary.eos,
        **ids,
    )


def _processor(tokenizer: Any, size: int, image_tokens: int) -> Any:
    from transformers import CLIPImageProcessor, Florence2Processor

    images: Any = CLIPImageProcessor(
        size={"height": size, "width": size},
        do_center_crop=False,
        resample=3,
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    images.image_seq_length = image_tokens
    rules: dict[str, Any] = {name: {} for name in _PARSE_TYPES}
    return Florence2Processor(image_processor=images, tokenizer=tokenizer, post_processor_config=rules)
