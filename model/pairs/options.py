"""Which training pairs are made of an image: section `emit.pairs` of a recipe."""

from __future__ import annotations

from pydantic import Field, field_validator

from engine.config.section import Section
from model.pairs.targets import Order
from model.tasks import task_of


class PairOptions(Section):
    """What is asked of each released image and what is to be answered: Florence-2's prompts and targets."""

    tasks: list[str] = Field(default=[], description="such as <OD>; empty: all that a record supports")
    order: Order = Field(
        default="area", description="of regions: as released checkpoints write, or left to right for new models"
    )
    max_tokens: int = Field(default=1024, ge=8, description="longer targets lose their smallest regions; estimated")
    max_points: int = Field(default=50, ge=4, description="corners of each part of an outline")
    masks: bool = Field(default=False, description="outlines in open-vocabulary detection, where there are masks")

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: list[str]) -> list[str]:
        """ConfigError for an unknown task, with the nearest right name."""
        for task in tasks:
            task_of(task)
        return tasks
