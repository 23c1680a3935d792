"""The section `emit` of a recipe: the name of a release, what it contains and in which formats."""

from __future__ import annotations

from pydantic import Field, field_validator

from engine.config.section import Section
from engine.errors import ConfigError
from model.pairs.options import PairOptions


class Emit(Section):
    """The release: the name of its folder, and what it contains."""

    name: str = Field(
        default="", pattern=r"^(\w[\w.-]*)?$", description="folder under releases/; empty: a name made from the content"
    )
    formats: list[str] = Field(
        default=["webdataset", "parquet", "pairs"],
        description="what to write, such as [webdataset, pairs, coco]; parquet, the records, is always written",
    )
    label_list: list[str] = Field(
        default=[],
        description="labels of the formats with numbered classes, in order; yolo needs it; empty: all labels",
    )
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

    @field_validator("label_list")
    @classmethod
    def _are_different(cls, labels: list[str]) -> list[str]:
        for position, label in enumerate(labels):
            if label in labels[:position]:
                raise ConfigError(f"emit.label_list names '{label}' twice: remove one of them.")
        return labels
