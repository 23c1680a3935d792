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


WORD_MAKERS: dict[str, Callable[[Path], None]] = {
    "sam1": sam1,
    "sam2": sam2,
    "sam2_video": sam2_video,
    "sam3_tracker": sam3_tracker,
}
