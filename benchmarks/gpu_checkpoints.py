"""Random checkpoints for benchmarks/gpu.py: of the size of the released ones, so that their speed is meaningful, and
tiny ones. Nothing is downloaded: tokenizers are made from word lists, so texts have no meaning.

Each function writes model, config and processor into an empty folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specialists.onnx.coco_labels import COCO_80
from tests.specialists.onnx.tiny import fastestdet
from tests.specialists.transformers import tiny, tiny_grounders, tiny_scorers, tiny_words

Maker = Callable[[Path], None]
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def d_fine(folder: Path) -> None:
    from transformers import DFineConfig, DFineForObjectDetection, RTDetrImageProcessorPil

    config = DFineConfig(id2label=dict(enumerate(COCO_80)), label2id={name: n for n, name in enumerate(COCO_80)})
    tiny.save(folder, tiny.spread(DFineForObjectDetection(config), "class_embed"), RTDetrImageProcessorPil())


def rf_detr_masks(folder: Path) -> None:
    from transformers import DeformableDetrImageProcessorPil, RfDetrForInstanceSegmentation
    from transformers.models.rf_detr.configuration_rf_detr import RfDetrConfig

    config = RfDetrConfig(id2label=dict(enumerate(COCO_80)), label2id={name: n for n, name in enumerate(COCO_80)})
    model = tiny.spread(RfDetrForInstanceSegmentation(config), "class_embed")
    tiny.save(folder, model, DeformableDetrImageProcessorPil(size={"height": 560, "width": 560}))


def mm_grounding_dino(folder: Path) -> None:
    from transformers import (
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
        MMGroundingDinoConfig,
        MMGroundingDinoForObjectDetection,
    )

    make_processor: Any = GroundingDinoProcessor
    processor = make_processor(GroundingDinoImageProcessorPil(), tiny_grounders.bert_tokenizer())
    tiny.save(folder, MMGroundingDinoForObjectDetection(MMGroundingDinoConfig()), processor)


def sam2(folder: Path) -> None:
    from transformers import Sam2Config, Sam2Model

    Sam2Model(Sam2Config()).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_IMAGENET), encoding="utf-8")


def blip(folder: Path) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil, BlipProcessor

    tokenizer = tiny_grounders.bert_tokenizer()
    ids = {"bos_token_id": 101, "eos_token_id": 102, "sep_token_id": 102, "pad_token_id": 0}
    config = BlipConfig(text_config={"vocab_size": len(tokenizer), **ids}, vision_config={"image_size": 384})
    model = BlipForConditionalGeneration(config)
    # Untrained, it would repeat one token until it is cut off. These strengths were found by trial.
    tiny_words.that_ends(tiny_words.scrambled(model, 6.0).text_decoder, 102, 13.0)
    make_processor: Any = BlipProcessor
    tiny.save(folder, model, make_processor(BlipImageProcessorPil(), tokenizer))


def siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

    tokenizer = tiny_scorers.siglip_tokenizer()
    tokenizer.model_max_length = 64
    make_processor: Any = SiglipProcessor
    config = SiglipConfig(text_config={"bos_token_id": 2, "eos_token_id": 1})
    tiny.save(folder, SiglipModel(config), make_processor(SiglipImageProcessorPil(), tokenizer))


def florence2(folder: Path, preset: str = "base") -> None:
    from benchmarks.prediction import untrained

    untrained(preset).save(folder)


def tiny_florence2(folder: Path) -> None:
    florence2(folder, "tiny")


def one_convolution(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(fastestdet("batch"))


TINY: dict[str, Maker] = {
    "d_fine": tiny.d_fine,
    "rf_detr_masks": tiny.rf_detr_masks,
    "mm_grounding_dino": tiny_grounders.mm_grounding_dino,
    "sam2": tiny_words.sam2,
    "blip": tiny_words.blip,
    "siglip": tiny_scorers.siglip,
    "florence2": tiny_florence2,
    "onnx": one_convolution,
}
SIZED: dict[str, Maker] = {
    "d_fine": d_fine,
    "rf_detr_masks": rf_detr_masks,
    "mm_grounding_dino": mm_grounding_dino,
    "sam2": sam2,
    "blip": blip,
    "siglip": siglip,
    "florence2": florence2,
    "onnx": one_convolution,
}


def make(maker: Maker, folder: Path) -> str:
    """The folder with a new checkpoint, always with the same weights."""
    folder.mkdir(parents=True)
    with tiny.seeded():
        maker(folder)
    return str(folder)


def parameters(folder: str) -> int:
    """Numbers in the safetensors of a folder; 0 if it has none."""
    from safetensors import safe_open

    total = 0
    for file in Path(folder).glob("*.safetensors"):
        with safe_open(str(file), "pt") as tensors:
            total += sum(_size(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return total


def _size(shape: list[int]) -> int:
    answer = 1
    for side in shape:
        answer *= side
    return answer
