"""Tiny checkpoints of the models for masks and captions; tiny.py explains the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SAM2_IMAGES = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_SAM3_IMAGES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def scrambled(model: Any, strength: float = 1.5) -> Any:
    """The model with larger random weights, so that its answers differ from image to image and from box to box."""
    import torch

    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(std=strength * weights[0].numel() ** -0.5)
    return model


def _save_masks(folder: Path, model: Any, images: dict[str, Any]) -> None:
    """Writes the settings by hand: the image processors of these models need torchvision."""
    scrambled(model).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(images), encoding="utf-8")


def _sam_parts(side: int, patch: int) -> dict[str, Any]:
    prompts = {"hidden_size": 32, "image_size": side, "patch_size": patch, "mask_input_channels": 4}
    decoder = {"mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    # Otherwise an untrained network, whose masks are unstable, always takes the best of three.
    decoder["dynamic_multimask_via_stability"] = False
    return {"prompt_encoder_config": prompts, "mask_decoder_config": {"hidden_size": 32, **decoder}}


def _sam2_vision() -> dict[str, Any]:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [64, 64],
        "window_positional_embedding_background_size": [2, 2],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 4, 4],
        "global_attention_blocks": [3],
    }
    return {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    }


def sam2(folder: Path) -> None:
    from transformers import Sam2Config, Sam2Model

    config = Sam2Config(vision_config=_sam2_vision(), **_sam_parts(64, 16))
    _save_masks(folder, Sam2Model(config), _SAM2_IMAGES)


def sam2_video(folder: Path) -> None:
    """As the released checkpoints of SAM 2 are: those of the video model, which contain the model for images."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig(vision_config=_sam2_vision(), **_sam_parts(64, 16))
    _save_masks(folder, Sam2VideoModel(config), _SAM2_IMAGES)


def sam3_tracker(folder: Path) -> None:
    from transformers import Sam3TrackerConfig, Sam3TrackerModel

    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": 28,
    }
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    }
    model = Sam3TrackerModel(Sam3TrackerConfig(vision_config=vision, **_sam_parts(56, 14)))
    _save_masks(folder, model, _SAM3_IMAGES)


def sam1(folder: Path) -> None:
    """The first SAM, which is not supported."""
    from transformers import SamConfig, SamModel

    vision = {"hidden_size": 8, "output_channels": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "mlp_dim": 8}
    vision |= {"image_size": 32, "window_size": 2, "num_pos_feats": 4}
    parts = {name: part | {"hidden_size": 8} for name, part in _sam_parts(32, 16).items()}
    SamModel(SamConfig(vision_config=vision, **parts)).save_pretrained(folder)


WORDS = (
    "a",
    "red",
    "blue",
    "green",
    "ball",
    "ring",
    "cat",
    "dog",
    "man",
    "on",
    "the",
    "grass",
    "street",
    "in",
    "front",
)
WORDS += ("of", "two", "big", "small")


def _bert_words(special: dict[str, str]) -> Any:
    """A tokenizer of whole words, as BLIP and GIT have one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([*special.values(), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if "cls_token" in special:
        ends = [(special[name], vocabulary[special[name]]) for name in ("sep_token", "cls_token")]
        tokenizer.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


_BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
_SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def that_ends(model: Any, end: int, strength: float) -> Any:
    """The model with a bias for the token `end` and strong positions: most texts then end, and do not go in circles."""
    import torch

    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "position_embeddings.weight" in name:
                weights.normal_(std=0.7)
        model.get_output_embeddings().bias[end] = strength
    return model


def blip(folder: Path) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil, BlipProcessor

    tokenizer = _bert_words(_BERT)
    ids = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3}
    text = {
        **_SIZES,
        **ids,
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "encoder_hidden_size": 32,
        "max_position_embeddings": 64,
    }
    vision = {**_SIZES, "image_size": 32, "patch_size": 8}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, tie_word_embeddings=False)
    model = BlipForConditionalGeneration(config)
    images = BlipImageProcessorPil(size={"height": 32, "width": 32})
    that_ends(scrambled(model).text_decoder, 3, 2.5)
    _save(folder, model, BlipProcessor(images, tokenizer))


def git(folder: Path) -> None:
    from transformers import CLIPImageProcessorPil, GitConfig, GitForCausalLM, GitProcessor

    tokenizer = _bert_words(_BERT)
    ids = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
    vision = {**_SIZES, "image_size": 32, "patch_size": 8}
    config = GitConfig(vision_config=vision, **_SIZES, **ids, vocab_size=len(tokenizer), max_position_embeddings=64)
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    _save(folder, that_ends(scrambled(GitForCausalLM(config)), 3, 1.0), GitProcessor(images, tokenizer))


_CHAT = (
    "{% for message in messages %}user {% for one in message['content'] %}{% if one['type'] == 'image' %}<image>"
    "{% else %}{{ one['text'] }}{% endif %}{% endfor %}<end_of_utterance>{% endfor %}man "
)


def idefics3(folder: Path) -> None:
    """The class of SmolVLM-256M: it answers messages, and cuts an image into as many tiles as its shape needs."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
    )

    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    tokenizer = _bert_words({"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "<s>", "eos_token": "</s>"})
    tiles = [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<global-img>", *tiles]})
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=_CHAT)
    ids = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}
    text = {"model_type": "llama", **_SIZES, **ids, "vocab_size": len(tokenizer), "num_key_value_heads": 2}
    vision = {**_SIZES, "image_size": 32, "patch_size": 8}
    config = Idefics3Config(
        text_config=text, vision_config=vision, scale_factor=2, image_token_id=processor.image_token_id, **ids
    )
    model = scrambled(Idefics3ForConditionalGeneration(config))
    # An untrained network seldom writes </s>: so some words end a text, too, and special tokens are not written.
    model.generation_config.eos_token_id = list(range(3, 11))
    model.generation_config.suppress_tokens = [0, 1, 2, *range(len(WORDS) + 4, len(tokenizer))]
    _save(folder, model, processor)


def _save(folder: Path, model: Any, processor: Any) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


WORD_MAKERS: dict[str, Callable[[Path], None]] = {
    "blip": blip,
    "git": git,
    "idefics3": idefics3,
    "sam1": sam1,
    "sam2": sam2,
    "sam2_video": sam2_video,
    "sam3_tracker": sam3_tracker,
}
