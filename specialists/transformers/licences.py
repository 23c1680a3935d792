"""The licences of the checkpoints that the documentation and the recipes name, as their model cards state them.

A specialist gives the licence of its checkpoint as `weights_licence`. For a checkpoint that is not in the table, the
recipe can state `weights_licence`.
"""

from __future__ import annotations

import os

from engine.layout import TRAINED
from engine.licences import OWN, UNKNOWN

LICENCES: dict[str, str] = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": "apache-2.0",
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": "apache-2.0",
    "IDEA-Research/grounding-dino-tiny": "apache-2.0",
    "Qwen/Qwen3-VL-4B-Instruct": "apache-2.0",
    "Roboflow/rf-detr-base": "apache-2.0",
    "Salesforce/blip-image-captioning-base": "bsd-3-clause",
    "Salesforce/blip-image-captioning-large": "bsd-3-clause",
    "facebook/dinov2-base": "apache-2.0",
    "facebook/sam2.1-hiera-base-plus": "apache-2.0",
    "facebook/sam2.1-hiera-large": "apache-2.0",
    "facebook/sam2.1-hiera-small": "apache-2.0",
    "facebook/sam2.1-hiera-tiny": "apache-2.0",
    "florence-community/Florence-2-base": "mit",
    "florence-community/Florence-2-base-ft": "mit",
    "florence-community/Florence-2-large": "mit",
    "florence-community/Florence-2-large-ft": "mit",
    "google/owlv2-base-patch16-ensemble": "apache-2.0",
    "google/siglip2-base-patch16-224": "apache-2.0",
    "google/siglip2-so400m-patch14-384": "apache-2.0",
    "google/siglip2-so400m-patch16-naflex": "apache-2.0",
    "microsoft/git-base-coco": "mit",
    "microsoft/git-large-coco": "mit",
    "openai/clip-vit-large-patch14": "mit",
    "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det": "apache-2.0",
    "ustc-community/dfine-large-coco": "apache-2.0",
    "ustc-community/dfine-medium-coco": "apache-2.0",
    "ustc-community/dfine-nano-coco": "apache-2.0",
    "ustc-community/dfine-small-coco": "apache-2.0",
    "ustc-community/dfine-xlarge-coco": "apache-2.0",
}


def licence_of(checkpoint: str) -> str:
    """The licence of a hub id in the table. For the folder of a model that this engine trained, OWN. For others,
    UNKNOWN.

    OWN covers only the training. The licence of the checkpoint that the training started from is not looked up.
    """
    if os.path.isfile(os.path.join(checkpoint, TRAINED)):
        return OWN
    return LICENCES.get(checkpoint, UNKNOWN)
