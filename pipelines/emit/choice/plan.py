"""The plan of a release: which shards it has. Made on the driver, before workers write them.

Without options that choose, the shards of a release are those of the data set. Otherwise the choice is committed: one
record for each shard of the release, with a table of its images (schema CHOICE).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.layout import IMAGES, RELEASE_SPLITS
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, run_query
from engine.records.shard import one_array
from engine.running.graph import Node
from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from pipelines.emit.choice.candidates import Bools, Candidates, Ints, candidates_of
from pipelines.emit.choice.groups import groups_of
from pipelines.emit.choice.rows import CHOICE
from pipelines.emit.choice.select import (
    in_mixture,
    in_order,
    in_shards,
    split_of,
    within_cluster_cap,
    within_label_cap,
)
from pipelines.emit.choice.where import selected_ids
from pipelines.recipe import Recipe
from pipelines.release_options import Emit

_LABELS = "SELECT DISTINCT image_id, label FROM kept.regions WHERE kind = 'object' AND label <> '' ORDER BY ALL"


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
    if not chooses(recipe.emit):
        filled = [shard for shard, record in enumerate(verdicts) if record.counts["released"]["images"]]
        return ReleasePlan(len(verdicts), numbers={shard: number for number, shard in enumerate(filled)})
    images = candidates_of(storage, judge, verdicts)
    left_out: Counter[str] = Counter()
    chosen, splits = _choose(Dataset.open(storage.url), images, judge, recipe.emit, left_out)
    size = recipe.emit.samples_per_shard or recipe.ingest.shard_size
    revisions = _revisions(storage, [*nodes, judge])
    commits = Commits(storage, folder)
    done = commits.revisions()
    shards = 0
    for split, name in enumerate(RELEASE_SPLITS):
        rows = in_order(images, images.draws(recipe.emit.shuffle or 0), recipe.emit.shuffle, chosen[splits == split])
        for number, part in enumerate(in_shards(rows, size)):
            if shards >= len(done) or done[shards] < 0:
                _commit(commits, shards, images.take(part), {"split": name, "number": number}, revisions)
            shards += 1
    return ReleasePlan(shards, folder, left_out=left_out)


def chooses(options: Emit) -> bool:
    """Whether an option chooses images, or puts them in other shards than those of the data set."""
    return bool(
        options.where
        or options.splits.wanted
        or options.caps.label
        or options.caps.cluster
        or options.mixture
        or options.shuffle is not None
        or options.samples_per_shard
    )


def _choose(
    dataset: Dataset, images: Candidates, judge: Node, options: Emit, left_out: Counter[str]
) -> tuple[Ints, np.ndarray]:
    """The rows of the chosen images, in order, and their splits. Counts the others in `left_out`."""
    chosen = np.arange(len(images))
    draws = images.draws(options.splits.seed)

    def leave_out(reason: str, mask: Bools) -> None:
        nonlocal chosen
        left_out.update({reason: int((~mask).sum())} if not mask.all() else {})
        chosen = chosen[mask]

    if options.where:
        found = selected_ids(dataset, options.where)
        leave_out("where", pc.is_in(images.ids, value_set=found).to_numpy(zero_copy_only=False))
    grouped = options.splits.wanted or options.caps.cluster
    group = groups_of(dataset, images, judge, options.splits) if grouped else np.arange(len(images))
    if options.caps.cluster:
        leave_out("cap_cluster", within_cluster_cap(group[chosen], draws[chosen], options.caps.cluster))
    if options.caps.label:
        labels = _labels(dataset, images.take(chosen), options)
        leave_out("cap_label", within_label_cap(labels, draws[chosen], options.caps.label))
    if options.mixture:
        leave_out("mixture", in_mixture(images.take(chosen), draws[chosen], options.mixture))
    rank = np.argsort(np.argsort(np.array(images.ids.to_pylist(), "S32")))
    _, own = np.unique(group[chosen], return_inverse=True)
    return chosen, split_of(own, rank[chosen], draws[chosen], options.splits)


def _labels(dataset: Dataset, images: Candidates, options: Emit) -> list[list[str]]:
    """The labels of each image, as the release will have them."""
    with connect(dataset) as con:
        found = run_query(con, _LABELS)
    answer: list[list[str]] = [[] for _ in range(len(images))]
    rows = pc.index_in(one_array(found["image_id"]), value_set=images.ids)
    renamed, dropped = options.labels.rename, set(options.labels.drop)
    for row, label in zip(rows.to_pylist(), found["label"].to_pylist(), strict=True):
        name = renamed.get(label, label)
        if row is not None and label not in dropped and name not in answer[row]:
            answer[row].append(name)
    return answer


def _revisions(storage: Storage, nodes: Sequence[Node]) -> dict[str, list[int]]:
    """{node, or IMAGES: the latest revision of each shard}."""
    folders = {IMAGES: IMAGES, **{node.name: node.folder for node in nodes}}
    return {name: Commits(storage, folder).revisions().tolist() for name, folder in folders.items()}


def _commit(
    commits: Commits, shard: int, images: Candidates, counts: Mapping[str, object], revisions: Mapping[str, list[int]]
) -> None:
    """Commits the choice of one shard of the release, with the revisions that it is to be made from."""
    columns = [images.ids, pa.array(images.shard), pa.array(images.row)]
    file = commits.put_table(shard, pa.table(columns, schema=CHOICE))
    read = {
        str(number): {name: found[number] for name, found in revisions.items()}
        for number in np.unique(images.shard).tolist()
    }
    commits.commit(Record(shard, 0, {"data": file}, counts={**counts, "shards": read}))
