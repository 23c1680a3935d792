"""Shapes of Florence-2 for training from scratch. `base` and `large` are the paper's; `tiny` and `small` fit a CPU.

The vision tower reduces each side of an image by the product of its strides. If the product is 16, an image of 96
pixels becomes 6 x 6 image tokens, plus one token for their mean. Each width must be divisible by its number of heads,
and the last width by two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine.errors import ConfigError, unknown


@dataclass(frozen=True, slots=True)
class Preset:
    """The shape of one model. `size`: side in pixels of the square images it is made for; other sizes work too."""

    size: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    patches: tuple[int, ...]
    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    prenorm: tuple[bool, ...]
    window: int
    mlp_ratio: float
    d_model: int
    encoder_layers: int
    decoder_layers: int
    attention_heads: int
    dropout: float
    drop_path: float
    vocabulary: int  # size of its tokenizer, without the 1,025 tokens that Florence-2 adds
    learning_rate: float
    text_std: float  # standard deviation of initial weights; the usual .02 is too small for narrow models
    vision_std: float

    def grid(self, size: int) -> int:
        """The number of image tokens along one side, for images of `size` pixels. Each stage of the tower rounds up."""
        side = size
        for stride in self.strides:
            side = math.ceil(side / stride)
        return side

    def image_tokens(self, size: int) -> int:
        return self.grid(size) ** 2 + 1


_PAPER: dict[str, Any] = {
    "depths": (1, 1, 9, 1),
    "patches": (7, 3, 3, 3),
    "strides": (4, 2, 2, 2),
    "paddings": (3, 1, 1, 1),
    "prenorm": (False, True, True, True),
    "window": 12,
    "mlp_ratio": 4.0,
    "dropout": 0.1,
    "drop_path": 0.1,
    "vocabulary": 50_265,
    "text_std": 0.02,
    "vision_std": 0.02,
}

PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        size=96,
        widths=(48, 72, 96),
        depths=(1, 1, 1),
        heads=(3, 6, 8),
        patches=(9, 3, 3),
        strides=(8, 2, 1),
        paddings=(4, 1, 1),
        prenorm=(False, True, True),
        window=6,
        mlp_ratio=2.0,
        d_model=96,
        encoder_layers=1,
        decoder_layers=2,
        attention_heads=4,
        dropout=0.0,
        drop_path=0.0,
        vocabulary=512,
        learning_rate=1.5e-3,
        text_std=0.08,
        vision_std=0.06,
    ),
    "small": Preset(
        size=192,
        widths=(64, 128, 192, 256),
        depths=(1, 1, 3, 1),
        heads=(2, 4, 6, 8),
        patches=(7, 3, 3, 3),
        strides=(4, 2, 2, 1),
        paddings=(3, 1, 1, 1),
        prenorm=(False, True, True, True),
        window=12,
        mlp_ratio=4.0,
        d_model=256,
        encoder_layers=3,
        decoder_layers=3,
        attention_heads=8,
        dropout=0.0,
        drop_path=0.0,
        vocabulary=8_000,
        learning_rate=5e-4,
        text_std=0.04,
        vision_std=0.04,
    ),
    "base": Preset(
        size=768,
        widths=(128, 256, 512, 1024),
        heads=(4, 8, 16, 32),
        d_model=768,
        encoder_layers=6,
        decoder_layers=6,
        attention_heads=12,
        learning_rate=1e-4,
        **_PAPER,
    ),
    "large": Preset(
        size=768,
        widths=(256, 512, 1024, 2048),
        heads=(8, 16, 32, 64),
        d_model=1024,
        encoder_layers=12,
        decoder_layers=12,
        attention_heads=16,
        learning_rate=1e-5,
        **_PAPER,
    ),
}


def preset_of(name: str) -> Preset:
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def check_size(preset: Preset, size: int) -> None:
    """Raises ConfigError if images of this size are too small, or have more image tokens than the encoder can read."""
    tokens = preset.image_tokens(size)
    if preset.grid(size) < 1 or size < 16 or preset.grid(size) > 50:
        raise ConfigError(
            f"Images of {size} pixels have {preset.grid(size)} image tokens on a side: expected a size of 16 or more "
            "with 1 to 50."
        )
    if tokens > 900:
        raise ConfigError(
            f"Images of {size} pixels have {tokens} image tokens, the encoder reads 1,024 with the prompt: give a "
            "smaller size."
        )
