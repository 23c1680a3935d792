"""The section `emit` of a recipe: the name of a release, what it contains and in which formats."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from engine.config.section import Section
from engine.errors import ConfigError
from model.pairs.options import PairOptions


class Splits(Section):
    """How the images of a release are divided into train, valid and test. Audit images are in none of them."""

    valid: float = Field(default=0.0, ge=0, lt=1, description="share of the images")
    test: float = Field(default=0.0, ge=0, lt=1, description="share of the images")
    seed: int = Field(default=0, description="another seed draws other images")
    by: Literal["near_duplicate", "semantic", "image"] = Field(
        default="near_duplicate",
        description="images that stay together: near-duplicates by perceptual hash, images with similar embeddings "
        "(needs the rule semantic_duplicate), or none",
    )
    distance: float = Field(
        default=0.1, ge=0, le=1, description="largest distance of embeddings in a group, for semantic"
    )

    @model_validator(mode="after")
    def _leave_something(self) -> Splits:
        if self.valid + self.test >= 1:
            raise ConfigError(
                f"emit.splits gives {self.valid:g} to valid and {self.test:g} to test: leave something to train on."
            )
        return self

    @property
    def wanted(self) -> bool:
        return self.valid > 0 or self.test > 0


class Caps(Section):
    """Limits for what is frequent. Images are taken in a random order that depends on the seed of emit.splits."""

    label: int = Field(
        default=0, ge=0, description="an image is left out if each of its labels is in so many others; 0: no limit"
    )
    cluster: int = Field(default=0, ge=0, description="most images of a group of emit.splits.by; 0: no limit")


class LabelMap(Section):
    """Changes of labels of regions and tags in the release. The data set keeps its labels."""

    rename: dict[str, str] = Field(default={}, description="{old: new}; several old labels with one new one are merged")
    drop: list[str] = Field(default=[], description="labels whose regions and tags are left out")

    @model_validator(mode="after")
    def _is_consistent(self) -> LabelMap:
        for label in self.drop:
            if label in self.rename or label in self.rename.values():
                raise ConfigError(f"emit.labels both renames and drops '{label}': remove it from one of them.")
        for old, new in self.rename.items():
            if new in self.rename and self.rename[new] != new:
                raise ConfigError(
                    f"emit.labels renames '{old}' to '{new}', and '{new}' to '{self.rename[new]}': give the last name."
                )
        return self


class ResizeOptions(Section):
    """The sizes to which the processor of Qwen2.5-VL resizes images. A box in the format qwen2_5_vl depends on them."""

    min_pixels: int = Field(default=3136, ge=784, description="smallest number of pixels of a resized image")
    max_pixels: int = Field(
        default=12_845_056,
        ge=784,
        description="largest number; a trainer must use the same two; the defaults are those of the checkpoints",
    )

    @model_validator(mode="after")
    def _in_order(self) -> ResizeOptions:
        if self.max_pixels < self.min_pixels:
            raise ConfigError(
                f"emit.qwen2_5_vl.max_pixels is {self.max_pixels}, which is less than min_pixels, {self.min_pixels}."
            )
        return self


class Emit(Section):
    """The release: the name of its folder, and what it contains."""

    name: str = Field(
        default="", pattern=r"^(\w[\w.-]*)?$", description="folder under releases/; empty: a name made from the content"
    )
    formats: list[str] = Field(
        default=["webdataset", "parquet", "pairs"],
        description="what to write: webdataset, pairs, energon, odvg, florence2, swift, qwen3_vl, qwen2_5_vl, coco, "
        "yolo, imagefolder; parquet, the records, is always written",
    )
    label_list: list[str] = Field(
        default=[],
        description="labels of the formats with numbered classes, in order; yolo needs it; empty: all labels",
    )
    yolo_polygons: bool = Field(
        default=False, description="whether yolo has polygons of the masks, quads and boxes instead of boxes"
    )
    where: str = Field(
        default="",
        description="SQL that gives the image_id of the images to release, as for `engine query`; empty: all kept ones",
    )
    splits: Splits = Splits()
    caps: Caps = Caps()
    mixture: dict[str, float] = Field(
        default={}, description="{source: weight}: the proportions of the sources; other sources are left out"
    )
    shuffle: int | None = Field(
        default=None, description="seed for shuffling the images, in blocks of shards; null: the order of the data set"
    )
    samples_per_shard: int = Field(
        default=0, ge=0, description="images per shard of the release; 0: as many as the data set's shards"
    )
    labels: LabelMap = LabelMap()
    licence: str = Field(default="", description="licence of the release, for its card")
    licences: list[str] = Field(
        default=[],
        description="allowed licences of the code and weights that make annotations, as [apache-2.0, mit]; empty: any",
    )
    embeddings: list[str] = Field(
        default=[], description="nodes whose embeddings the release holds too, as [embed]; empty: none"
    )
    allow_empty: bool = Field(default=False, description="whether to make a release even if no image is kept")
    pairs: PairOptions = PairOptions()
    qwen2_5_vl: ResizeOptions = ResizeOptions()

    @field_validator("mixture")
    @classmethod
    def _are_weights(cls, mixture: dict[str, float]) -> dict[str, float]:
        for source, weight in mixture.items():
            if not weight > 0:
                raise ConfigError(
                    f"emit.mixture gives '{source}' the weight {weight:g}: give more than 0, or remove it."
                )
        return mixture

    @field_validator("label_list")
    @classmethod
    def _are_different(cls, labels: list[str]) -> list[str]:
        for position, label in enumerate(labels):
            if label in labels[:position]:
                raise ConfigError(f"emit.label_list names '{label}' twice: remove one of them.")
        return labels
