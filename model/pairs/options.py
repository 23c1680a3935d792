"""Options for the training pairs that are made from an image: section `emit.pairs` of a recipe."""

from __future__ import annotations

from pydantic import Field, field_validator

from engine.config.section import Section
from model.florence2_tasks import task_of
from model.pairs.targets import Order


class PairOptions(Section):
    """The training pairs of a release: which tasks of Florence-2 they are for, and how their targets are written."""

    tasks: list[str] = Field(
        default=[], description="such as <OD>; empty: every task that a record has annotations for"
    )
    order: Order = Field(
        default="area",
        description="order of regions: largest first, as released checkpoints write them, or left to right (reading)",
    )
    max_tokens: int = Field(
        default=1024, ge=8, description="longest target, by an estimate; longer ones lose their smallest regions"
    )
    max_points: int = Field(default=50, ge=4, description="most corners of each part of an outline")
    masks: bool = Field(
        default=False, description="whether open-vocabulary detection answers with outlines where there are masks"
    )

    @field_validator("tasks")
    @classmethod
    def _known(cls, tasks: list[str]) -> list[str]:
        """Raises ConfigError for an unknown task, naming the most similar one."""
        for task in tasks:
            task_of(task)
        return tasks
