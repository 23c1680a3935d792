"""Tiny checkpoints with random weights, written to disk as the real ones are: model, config and processor.

`MAKERS` has one function for each kind; it writes into an empty folder. Tests get the folder of a kind from the fixture
`checkpoint_of` of conftest.py, which makes each only once. A checkpoint must load in under a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = {0: "cat", 1: "dog", 2: "cup"}
_LABELS: dict[str, Any] = {"id2label": NAMES, "label2id": {name: number for number, name in NAMES.items()}}


@contextmanager
def seeded() -> Iterator[None]:
    """The same random weights each time, without changing torch's random state for other tests."""
    import torch

    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def save(folder: Path, model: Any, processor: Any) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def spread(model: Any, last_layer: str) -> Any:
    """The model with scores that differ from box to box: those of an untrained one are nearly equal."""
    import torch

    for name, weights in model.named_parameters():
        if last_layer in name and weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.5)
    return model


def _detr_sizes() -> dict[str, Any]:
    """The sizes that D-FINE, DEIMv2 and RT-DETRv2 have in common."""
    inner: dict[str, Any] = {
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [16] * 3,
        "encoder_ffn_dim": 32,
        "d_model": 32,
    }
    heads: dict[str, Any] = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    decoder: dict[str, Any] = {
        "decoder_in_channels": [32] * 3,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "num_queries": 20,
    }
    return {**inner, **heads, **decoder, "num_denoising": 0, **_LABELS}


def _stages(names: list[str]) -> dict[str, Any]:
    """The stages of a backbone that the detector reads, an option that transformers does not declare."""
    return {"out_features": names}


def _hgnet() -> Any:
    from transformers import HGNetV2Config

    stages: dict[str, Any] = {
        "stage_in_channels": [8, 16, 16, 16],
        "stage_mid_channels": [8] * 4,
        "stage_out_channels": [16] * 4,
    }
    blocks: dict[str, Any] = {
        "stage_num_blocks": [1] * 4,
        "stage_numb_of_layers": [1] * 4,
        "stage_kernel_size": [3, 3, 5, 5],
    }
    return HGNetV2Config(
        embedding_size=8,
        hidden_sizes=[16] * 4,
        depths=[1] * 4,
        stem_channels=[3, 8, 8],
        **_stages(["stage2", "stage3", "stage4"]),
        **stages,
        **blocks,
    )


def d_fine(folder: Path) -> None:
    from transformers import DFineConfig, DFineForObjectDetection, RTDetrImageProcessorPil

    model = DFineForObjectDetection(DFineConfig(backbone_config=_hgnet(), **_detr_sizes()))
    save(folder, spread(model, "class_embed"), RTDetrImageProcessorPil(size={"height": 64, "width": 64}))


def deimv2(folder: Path) -> None:
    from transformers import Deimv2Config, Deimv2ForObjectDetection, RTDetrImageProcessorPil

    model = Deimv2ForObjectDetection(Deimv2Config(backbone_config=_hgnet(), **_detr_sizes()))
    save(folder, spread(model, "class_embed"), RTDetrImageProcessorPil(size={"height": 64, "width": 64}))


def rt_detr_v2(folder: Path) -> None:
    from transformers import RTDetrImageProcessorPil, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1] * 4,
        layer_type="basic",
        **_stages(["stage2", "stage3", "stage4"]),
    )
    model = RTDetrV2ForObjectDetection(RTDetrV2Config(backbone_config=backbone, **_detr_sizes()))
    save(folder, spread(model, "class_embed"), RTDetrImageProcessorPil(size={"height": 64, "width": 64}))


def detr(folder: Path) -> None:
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessorPil, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1] * 4, layer_type="basic", **_stages(["stage4"])
    )
    heads: dict[str, Any] = {
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
    }
    config = DetrConfig(
        backbone_config=backbone, d_model=32, encoder_layers=1, decoder_layers=1, num_queries=20, **heads, **_LABELS
    )
    processor = DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    save(folder, spread(DetrForObjectDetection(config), "class_labels_classifier"), processor)


def _rf_detr_config() -> Any:
    from transformers.models.rf_detr.configuration_rf_detr import RfDetrConfig, RfDetrDinov2Config

    backbone = RfDetrDinov2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=8,
        num_windows=2,
        **_stages(["stage1", "stage2"]),
    )
    heads: dict[str, Any] = {
        "decoder_self_attention_heads": 2,
        "decoder_cross_attention_heads": 2,
        "decoder_n_points": 2,
    }
    sizes: dict[str, Any] = {
        "d_model": 32,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "num_queries": 20,
        "group_detr": 2,
    }
    return RfDetrConfig(backbone_config=backbone, c2f_num_blocks=1, **heads, **sizes, **_LABELS)


def _save_rf_detr(folder: Path, model: Any) -> None:
    """The processor is written by another class with the same settings: that of RF-DETR needs torchvision."""
    from transformers import DeformableDetrImageProcessorPil

    processor = DeformableDetrImageProcessorPil(size={"height": 64, "width": 64})
    save(folder, spread(model, "class_embed"), processor)
    file = folder / "preprocessor_config.json"
    file.write_text(file.read_text().replace("DeformableDetrImageProcessor", "RfDetrImageProcessor"))


def rf_detr(folder: Path) -> None:
    from transformers import RfDetrForObjectDetection

    _save_rf_detr(folder, RfDetrForObjectDetection(_rf_detr_config()))


def rf_detr_masks(folder: Path) -> None:
    from transformers import RfDetrForInstanceSegmentation

    _save_rf_detr(folder, RfDetrForInstanceSegmentation(_rf_detr_config()))


MAKERS: dict[str, Callable[[Path], None]] = {
    "d_fine": d_fine,
    "deimv2": deimv2,
    "rt_detr_v2": rt_detr_v2,
    "detr": detr,
    "rf_detr": rf_detr,
    "rf_detr_masks": rf_detr_masks,
}
