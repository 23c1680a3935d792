"""Options of a training: section `train` of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.section import Section
from model.pairs.targets import Order


class AugmentOptions(Section):
    """Random changes of training images. Only pairs whose answers consist of boxes are changed."""

    flip: bool = Field(default=False, description="whether to mirror half of the images")
    scale: float = Field(default=0.0, ge=0, lt=1, description="enlarge or reduce an image by at most this share")
    shift: float = Field(default=0.0, ge=0, lt=1, description="shift an image by at most this share of its side")
    order: Order = Field(default="area", description="order of boxes in the targets, as in emit.pairs")


class TrainOptions(Section):
    """How Florence-2 is trained on pairs: from random weights (a preset) or from a checkpoint."""

    name: str = Field(default="florence", pattern=r"^\w[\w.-]*$", description="folder under models/")
    init: str = Field(
        default="tiny",
        description="a preset (tiny, small, base, large) or a checkpoint (a folder, models/NAME, a hub id)",
    )
    release: str = Field(default="", description="folder or URL of a release; empty: the recipe's own release")
    size: int = Field(default=0, ge=0, description="side of the square image in pixels; 0: the preset's")
    vocabulary: int = Field(
        default=0, ge=0, description="size of the tokenizer that is trained for a preset; 0: the preset's"
    )
    tasks: list[str] = Field(default=[], description="such as <OD>; empty: all tasks of the pairs")
    temperature: float = Field(
        default=0.7, ge=0, le=1, description="a task with n pairs is drawn in proportion to n to this power"
    )
    steps: int = Field(default=1000, ge=1, description="number of steps; each trains on one batch")
    batch_size: int = Field(default=16, ge=1, description="samples per step, over all workers")
    accumulate: int = Field(
        default=1, ge=1, description="number of parts of a batch that are computed one after the other, to save memory"
    )
    learning_rate: float = Field(
        default=0.0, ge=0, description="highest learning rate; 0: the preset's, or 1e-5 for a checkpoint"
    )
    warmup: int = Field(
        default=100, ge=0, description="steps in which the rate rises to the highest; then it falls by a cosine"
    )
    weight_decay: float = Field(default=0.02, ge=0, description="weight decay of matrices; norms and biases have none")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="auto: bfloat16 on a GPU")
    freeze_vision: bool = Field(
        default=False,
        description="whether to leave the vision tower untrained; in the paper the AP falls from 19.7 to 6.9",
    )
    soft_locations: float = Field(
        default=0.0, ge=0, description="standard deviation, in bins, of the target of a location; 0: a single bin"
    )
    fourier_locations: bool = Field(
        default=False, description="whether locations start as Fourier features of their coordinates; for presets only"
    )
    auxiliary: float = Field(
        default=0.0, ge=0, description="weight of an auxiliary loss: the object at each image token; 0: none"
    )
    augment: AugmentOptions = AugmentOptions()
    checkpoint_every: int = Field(default=500, ge=0, description="steps between two checkpoints; 0: no checkpoints")
    workers: int = Field(default=1, ge=1, description="number of workers of Ray Train")
    cpus: float = Field(default=1.0, gt=0, description="CPUs of one worker")
    gpus: float = Field(default=0.0, ge=0, description="GPUs of one worker")
    seed: int = Field(
        default=0, ge=0, description="seed of the initial weights, the order of pairs and the augmentation"
    )
