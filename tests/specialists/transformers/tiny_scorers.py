"""Tiny checkpoints of the models that embed images and texts, as tiny.py makes those of other kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.specialists.transformers.tiny_grounders import LETTERS, clip_tokenizer
from tests.specialists.transformers.tiny_words import scrambled

_LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_ENDS = {"bos_token_id": 2, "eos_token_id": 1}
LONGEST = 16  # tokens that these models read


def siglip_tokenizer() -> Any:
    """Single letters. Padded on the right and without attention mask, as the real ones."""
    from transformers import GemmaTokenizer

    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS, *"!,'-."]
    vocab = {token: number for number, token in enumerate(tokens)}
    return GemmaTokenizer(
        vocab=vocab, merges=[], padding_side="right", model_input_names=["input_ids"], model_max_length=LONGEST
    )


def _scaled(model: Any) -> Any:
    """With a scale and a bias of the logits, as training leaves them."""
    import torch

    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.5)
    return scrambled(model)


def clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    config = CLIPConfig(
        text_config={
            "vocab_size": 514,
            "max_position_embeddings": LONGEST,
            "bos_token_id": 512,
            "eos_token_id": 513,
            **_LAYERS,
        },
        vision_config={"image_size": 32, "patch_size": 8, **_LAYERS},
        projection_dim=12,
    )
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    scrambled(CLIPModel(config)).save_pretrained(folder)
    CLIPProcessor(images, clip_tokenizer(LONGEST)).save_pretrained(folder)


def siglip(folder: Path) -> None:
    """Of the class that the SigLIP 2 checkpoints of fixed size have too."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

    config = SiglipConfig(
        text_config={"vocab_size": 64, "max_position_embeddings": LONGEST, "projection_size": 16, **_ENDS, **_LAYERS},
        vision_config={"image_size": 32, "patch_size": 8, **_LAYERS},
    )
    _scaled(SiglipModel(config)).save_pretrained(folder)
    images = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    SiglipProcessor(images, siglip_tokenizer()).save_pretrained(folder)


def siglip2(folder: Path) -> None:
    """Of the class that the `naflex` checkpoints of SigLIP 2 have. Patches have the size that its processor demands."""
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2Processor

    config = Siglip2Config(
        text_config={"vocab_size": 64, "max_position_embeddings": LONGEST, "projection_size": 16, **_ENDS, **_LAYERS},
        vision_config={"num_patches": 16, "patch_size": 16, **_LAYERS},
    )
    _scaled(Siglip2Model(config)).save_pretrained(folder)
    Siglip2Processor(Siglip2ImageProcessorPil(), siglip_tokenizer()).save_pretrained(folder)


def dinov2(folder: Path) -> None:
    """It has no texts."""
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    scrambled(Dinov2Model(Dinov2Config(image_size=32, patch_size=8, mlp_ratio=2, **_LAYERS))).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    BitImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)


SCORERS: dict[str, Callable[[Path], None]] = {"clip": clip, "siglip": siglip, "siglip2": siglip2, "dinov2": dinov2}
