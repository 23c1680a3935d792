"""Options of a training: section `train` of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.section import Section
from model.pairs.targets import Order


class AugmentOptions(Section):
    """Changes of training images whose answers are boxes alone. Captions, and prompts with locations, stay."""

    flip: bool = Field(default=False, description="mirror half of them")
    scale: float = Field(default=0.0, ge=0, lt=1, description="larger or smaller by at most this share")
    shift: float = Field(default=0.0, ge=0, lt=1, description="moved by at most this share of a side")
    order: Order = Field(default="area", description="of boxes in the targets, as in emit.pairs")


class TrainOptions(Section):
    """Florence-2 on pairs: from nothing (a preset), or a checkpoint going on."""

    name: str = Field(default="florence", pattern=r"^\w[\w.-]*$", description="folder under models/")
    init: str = Field(
        default="tiny", description="tiny, small, base, large, or a checkpoint: a folder, models/.., a hub id"
    )
    release: str = Field(default="", description="folder or URL of a release; empty: the recipe's own, emit.name")
    size: int = Field(default=0, ge=0, description="side of the square image in pixels; 0: the preset's")
    vocabulary: int = Field(default=0, ge=0, description="words of a tokenizer trained with a preset; 0: the preset's")
    tasks: list[str] = Field(default=[], description="such as <OD>; empty: all that the pairs hold")
    temperature: float = Field(default=0.7, ge=0, le=1, description="a task's share is its pairs to this power")
    steps: int = Field(default=1000, ge=1, description="each a batch and an update of the weights")
    batch_size: int = Field(default=16, ge=1, description="samples a step, over all workers")
    accumulate: int = Field(default=1, ge=1, description="parts a batch is cut into, one after the other")
    learning_rate: float = Field(default=0.0, ge=0, description="the highest; 0: the preset's, 1e-5 for a checkpoint")
    warmup: int = Field(default=100, ge=0, description="steps up to the highest rate, before a cosine down")
    weight_decay: float = Field(default=0.02, ge=0, description="of matrices; norms and biases do not decay")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="auto: bfloat16 on a GPU")
    freeze_vision: bool = Field(
        default=False, description="keep the vision tower; the paper's AP falls from 19.7 to 6.9"
    )
    soft_locations: float = Field(
        default=0.0, ge=0, description="spread a location's target over so many bins (standard deviation); 0: one bin"
    )
    fourier_locations: bool = Field(
        default=False, description="locations begin with waves of their coordinates; for presets"
    )
    auxiliary: float = Field(
        default=0.0, ge=0, description="weight of a second task on the image's places, while training; 0: none"
    )
    augment: AugmentOptions = AugmentOptions()
    checkpoint_every: int = Field(default=500, ge=0, description="steps; 0: none")
    workers: int = Field(default=1, ge=1, description="of Ray Train")
    cpus: float = Field(default=1.0, gt=0, description="of one worker")
    gpus: float = Field(default=0.0, ge=0, description="of one worker")
    seed: int = Field(default=0, ge=0, description="of first weights, order of pairs, augmentation")
