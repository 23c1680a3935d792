"""The plan of a release: which shards it has. Made on the driver, before workers write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.layout import IMAGES
from engine.running.graph import Node
from engine.storage.commits import Record
from engine.storage.files import Storage
from pipelines.recipe import Recipe


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The shards of a release.

    `base`: the folder whose shards the workers take: the data set's images, or a committed choice. `numbers`: {shard of
    the data set: its number in the release}; empty with a choice. `shards`: the number of shards in `base`.
    `left_out`: kept training images that were not chosen, counted by reason.
    """

    shards: int
    base: str = IMAGES
    numbers: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def chosen(self) -> bool:
        return self.base != IMAGES


def plan_release(
    storage: Storage, nodes: Sequence[Node], judge: Node, verdicts: Sequence[Record], recipe: Recipe, folder: str
) -> ReleasePlan:
    """The plan. `verdicts`: the commit records of all shards of the data set. `folder`: for the choice, if one is made.

    A release has no shards without images.
    """
    filled = [shard for shard, record in enumerate(verdicts) if record.counts["released"]["images"]]
    return ReleasePlan(len(verdicts), numbers={shard: number for number, shard in enumerate(filled)})
