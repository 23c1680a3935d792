"""Tiny checkpoints of the models that hf_grounder runs, as tiny.py makes those of other kinds.

The tokenizers are made from word lists. That of Grounding DINO has its special tokens and its "." and "?" where the
model expects them, because it finds the ends of names by these numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = (
    "a an the two some black white red big old dog cat man woman people car tree house street sky ball hat hot stand "
    "it of in on with"
)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def bert_tokenizer() -> Any:
    """Words, then single letters. [CLS] 101, [SEP] 102, "." 1012 and "?" 1029, as in bert-base-uncased."""
    from transformers import BertTokenizer

    fixed = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    words = [*WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS), *"!,'-[]<>|&"]
    free = [number for number in range(1030) if number not in set(fixed.values())]
    vocab = fixed | dict(zip(words, free, strict=False))
    vocab |= {f"[unused{number}]": number for number in free[len(words) :]}
    return BertTokenizer(vocab=dict(sorted(vocab.items(), key=lambda item: item[1])), model_max_length=512)


def clip_tokenizer(longest: int) -> Any:
    """Single letters. The token that ends a text has the highest number, as in CLIP, which reads the text there."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = ["!", *(letter for letter in letters if letter != "!"), *(f"{letter}</w>" for letter in letters)]
    vocab = {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=[], pad_token="!", model_max_length=longest)


def _swin(**given: Any) -> Any:
    from transformers import SwinConfig

    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2], "window_size": 4}
    return SwinConfig(out_indices=[2, 3, 4], **sizes, **given)


def _grounding_dino_sizes() -> dict[str, Any]:
    from transformers import BertConfig

    text = BertConfig(vocab_size=1030, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    layers = {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    return {"backbone_config": _swin(), "text_config": text, "d_model": 64, "num_queries": 20, **layers, **heads}


def _save_dino(folder: Path, model: Any) -> None:
    from transformers import GroundingDinoImageProcessorPil, GroundingDinoProcessor

    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    model.save_pretrained(folder)
    GroundingDinoProcessor(images, bert_tokenizer()).save_pretrained(folder)


def grounding_dino(folder: Path) -> None:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    _save_dino(folder, _lively(GroundingDinoForObjectDetection(GroundingDinoConfig(**_grounding_dino_sizes()))))


def mm_grounding_dino(folder: Path) -> None:
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    _save_dino(folder, _lively(MMGroundingDinoForObjectDetection(MMGroundingDinoConfig(**_grounding_dino_sizes()))))


def _owl(folder: Path, kind: str) -> None:
    import transformers

    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = getattr(transformers, f"{kind}Config")(
        text_config={"vocab_size": 514, "hidden_size": 16, "max_position_embeddings": 16, **layers},
        vision_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, **layers},
        projection_dim=16,
    )
    images = getattr(transformers, f"{kind}ImageProcessorPil")(size={"height": 64, "width": 64})
    _lively(getattr(transformers, f"{kind}ForObjectDetection")(config)).save_pretrained(folder)
    getattr(transformers, f"{kind}Processor")(images, clip_tokenizer(16)).save_pretrained(folder)


def owlv2(folder: Path) -> None:
    _owl(folder, "Owlv2")


def owlvit(folder: Path) -> None:
    _owl(folder, "OwlViT")


def omdet_turbo(folder: Path) -> None:
    """Its image processor and tokenizer are written one by one: the processor that joins them needs torchvision."""
    from transformers import CLIPTextConfig, DetrImageProcessorPil, OmDetTurboConfig, OmDetTurboForObjectDetection

    text = CLIPTextConfig(
        vocab_size=514, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    layers = {"encoder_dim_feedforward": 32, "decoder_dim_feedforward": 32, "decoder_num_layers": 2}
    config = OmDetTurboConfig(
        backbone_config=_swin(image_size=64),
        text_config=text,
        image_size=64,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        task_encoder_hidden_dim=32,
        class_embed_dim=16,
        encoder_hidden_dim=32,
        decoder_hidden_dim=32,
        vision_features_channels=[32] * 3,
        encoder_in_channels=[16, 32, 64],
        apply_layernorm_after_vision_backbone=False,  # that is for the backbone of timm, whose channels are last
        num_queries=20,
        encoder_attention_heads=4,
        decoder_num_heads=4,
        **layers,
    )
    _lively(OmDetTurboForObjectDetection(config)).save_pretrained(folder)
    DetrImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    clip_tokenizer(77).save_pretrained(folder)


def _lively(model: Any) -> Any:
    """The model with larger random weights, so that boxes and scores differ: untrained ones are nearly equal."""
    import torch

    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.3)
        elif weights.dim() == 0:  # of MM-Grounding-DINO, where it makes all scores small
            torch.nn.init.zeros_(weights)
    return model


GROUNDERS: dict[str, Callable[[Path], None]] = {
    "grounding_dino": grounding_dino,
    "mm_grounding_dino": mm_grounding_dino,
    "owlv2": owlv2,
    "owlvit": owlvit,
    "omdet_turbo": omdet_turbo,
}
