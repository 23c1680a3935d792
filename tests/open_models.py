"""Tiny checkpoints in place of the released ones that the recipes for open models name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.florence2_tasks import TASKS
from model.network.florence import build
from model.network.tokenizer import train_tokenizer
from specialists.transformers.licences import licence_of
from tests.specialists.transformers.tiny import MAKERS, seeded
from tests.specialists.transformers.tiny_grounders import GROUNDERS
from tests.specialists.transformers.tiny_scorers import SCORERS
from tests.specialists.transformers.tiny_words import WORD_MAKERS

# {checkpoint in a recipe: the kind of tiny checkpoint that stands in for it}
KINDS = {
    "Roboflow/rf-detr-base": "rf_detr",
    "ustc-community/dfine-xlarge-coco": "d_fine",
    "Salesforce/blip-image-captioning-large": "git",
    "google/siglip2-base-patch16-224": "siglip2",
    "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det": "mm_grounding_dino",
    "facebook/sam2.1-hiera-tiny": "sam2",
    "florence-community/Florence-2-base": "florence2",
}

CAPTION = "a red ball and two blue rings on the grass"


def florence2(folder: Path) -> None:
    """A random Florence-2 that answers CAPTION: its positions, not its input, decide the words that it writes."""
    import torch

    torch.set_num_threads(1)
    texts = [CAPTION] * 9 + [task.prompt for task in TASKS.values()]
    florence = build("tiny", train_tokenizer(texts, size=400), size=64, seed=0)
    words = florence.model.get_input_embeddings().weight
    positions = florence.model.model.language_model.decoder.embed_positions
    with torch.no_grad():
        for place, token in enumerate(florence.target_ids(CAPTION)):
            positions.weight[place + positions.offset] = 50 * words[token]
    florence.save(folder)


MAKERS_OF: dict[str, Callable[[Path], object]] = {
    **MAKERS,
    **WORD_MAKERS,
    **GROUNDERS,
    **SCORERS,
    "florence2": florence2,
}


@dataclass(frozen=True)
class StandIns:
    folder: Path

    def replace(self, options: dict[str, Any]) -> None:
        """Put the stand-in of the node's checkpoint in its place, and run it on the CPU. Its licence stays that of the
        released checkpoint.
        """
        checkpoint = options.get("checkpoint", "")
        if checkpoint in KINDS:
            options |= {"checkpoint": self.of(checkpoint), "gpus": 0, "weights_licence": licence_of(checkpoint)}
            options.pop("dtype", None)

    def of(self, checkpoint: str) -> str:
        """The folder of the stand-in, made when it is needed first."""
        kind = KINDS[checkpoint]
        folder = self.folder / kind
        if not folder.exists():
            folder.mkdir(parents=True)
            with seeded():
                MAKERS_OF[kind](folder)
        return str(folder)
