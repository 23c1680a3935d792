"""Facts about the whole data set that some rules need: duplicate images, and the values of quantiles.

There are two steps. The node `survey` (survey.py) collects from each shard; it is committed and resumed like any other
node. Then `combine` makes one small table of all shards, under `surveyed/`, in a folder named by a hash of the commits
that it was made from. The judge's key contains that name, so a data set that has grown is judged again with the new
numbers. Distances between embeddings are in one table for each shard, in the folder `surveyed/NAME-semantic`.

A rule is evaluated on the images that earlier rules keep. Rules that need the whole data set drop nothing here, with
one exception: images that an earlier `near_duplicate` drops are not compared by their embeddings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.images.perceptual_hash import RADIUS
from engine.images.semantic_clusters import OnProgress
from engine.keys import stable_hash
from engine.layout import IMAGES, SURVEYED
from engine.records.shard import one_array
from engine.records.stored_shard import ImageColumn
from engine.running.graph import Node
from engine.storage.commits import Commits, File, Record, TableReader
from engine.storage.disks import scratch_folder
from engine.storage.files import Storage
from engine.storage.removals import read_removed
from filters.judging.quantiles import Path, filled, quantile, quantile_paths
from filters.verdict import needs_embeddings, needs_hashes
from pipelines.filter.judge import NamedRule, rules_of
from pipelines.filter.near_duplicates import HASHES, SAME, near_duplicates
from pipelines.filter.semantic_set import (
    SEMANTIC,
    Candidates,
    Compared,
    commit_tables,
    committed_tables,
    curve_of,
)
from pipelines.filter.survey import CANDIDATES_PART, VALUES, VALUES_PART
from pipelines.recipe import Recipe

SCRATCH = "engine-semantic"  # prefix of temporary folders


def _no_table(shard: int) -> pa.Table:
    return SEMANTIC.empty_table()


@dataclass(frozen=True, slots=True)
class WholeSet:
    """What is known about the whole data set.

    same: near-duplicates, each with the image that represents it (schema SAME). numbers: the values of quantiles, as
    {position of the rule in the recipe: {path of the option: value}}. semantic: a function that returns the distances
    between embeddings for a shard (schema SEMANTIC). compared: a comparison that is not committed. committed_curve: the
    curve of a committed comparison.
    """

    same: pa.Table = field(default_factory=SAME.empty_table)
    numbers: Mapping[int, Mapping[Path, float]] = field(default_factory=dict)
    semantic: Callable[[int], pa.Table] = _no_table
    compared: Compared | None = None
    committed_curve: Mapping[str, Any] = field(default_factory=dict)

    @property
    def curve(self) -> Mapping[str, Any]:
        """The result of `curve_of`. Empty if no embeddings were compared."""
        return curve_of(self.compared.tables()) if self.compared else self.committed_curve

    def rules(self, rules: Sequence[NamedRule]) -> list[NamedRule]:
        """The rules with the value of each quantile in its place."""
        return [(name, rule, filled(given, self.numbers.get(n, {}))) for n, (name, rule, given) in enumerate(rules)]

    def same_as(self, image_id: str) -> str:
        """The image that represents this near-duplicate. '' if the image is not a near-duplicate."""
        found = self.same.filter(pc.equal(self.same["image_id"], image_id))["same_as"].to_pylist()
        return str(found[0]) if found else ""

    def images(self, images: pa.Table, shard: int) -> pa.Table:
        """The images of a shard, with the columns of `image_columns`."""
        ids = one_array(images["image_id"])
        for name, column in self.image_columns(shard).items():
            images = images.append_column(name, column(ids))
        return images

    def image_columns(self, shard: int) -> dict[str, ImageColumn]:
        """Distances that rules read, as functions of the ids of images. They are null for images without a distance."""

        def column(table: Callable[[], pa.Table], name: str, ids: pa.Array) -> pa.Array:
            found = table()
            return one_array(found[name]).take(pc.index_in(ids, value_set=one_array(found["image_id"])))

        semantic = functools.partial(self.semantic, shard)
        tables: dict[str, Callable[[], pa.Table]] = {"same_distance": lambda: self.same}
        tables |= dict.fromkeys(("semantic_distance", "audit_distance"), semantic)
        return {name: functools.partial(column, table, name) for name, table in tables.items()}

    def semantic_chain(self, image_id: str, shard: int, eps: float) -> list[str]:
        """The nearest better image within `eps`, then the nearest better image of that one, and so on to the last."""
        chain: list[str] = []
        while True:
            table = self.semantic(shard)
            rows = table.filter(pc.equal(table["image_id"], image_id)).to_pylist()
            if not rows or rows[0]["semantic_distance"] is None or rows[0]["semantic_distance"] > eps:
                return chain
            image_id, shard = rows[0]["better"], rows[0]["better_shard"]
            if not image_id:  # the better image was removed from the data set
                return chain
            chain.append(image_id)

    def near_audit(self, image_id: str, shard: int) -> str:
        """The audit image that is nearest to a training image. '' if there is none."""
        table = self.semantic(shard)
        found = table.filter(pc.equal(table["image_id"], image_id))["near_audit"].to_pylist()
        return str(found[0] or "") if found else ""


def surveyed_folder(storage: Storage, survey: Node) -> str:
    """The folder of the combined table of this survey, which may not exist yet.

    Its name is a hash of the survey's commits and of what was removed from the data set.
    """
    shards = len(Commits(storage, IMAGES).revisions())
    revisions = Commits(storage, survey.folder).revisions(shards).tolist()
    removed = read_removed(storage).key  # the statistics change if images are removed
    return f"{SURVEYED}/{stable_hash([survey.key, revisions, *([removed] if removed else [])])[:8]}"


def combine(storage: Storage, survey: Node, recipe: Recipe, on_progress: OnProgress | None = None) -> str:
    """Commits the combined table if there is none yet, and returns its folder. All shards must be surveyed before.

    `on_progress` gets the share of the embeddings that are compared.
    """
    folder = surveyed_folder(storage, survey)
    commits = Commits(storage, folder)
    if not is_combined(storage, survey, folder):
        with scratch_folder(SCRATCH) as scratch:
            found = combined(_contributions(storage, survey), rules_of(recipe), storage, scratch, on_progress)
            numbers = {str(rule): {"/".join(p): v for p, v in places.items()} for rule, places in found.numbers.items()}
            counts: dict[str, Any] = {"numbers": numbers}
            if found.compared:
                counts["curve"] = commit_tables(storage, _semantic_folder(folder), found.compared)
        commits.commit(Record(0, 0, {"data": commits.put_table(0, found.same)}, counts=counts))
    return folder


def is_combined(storage: Storage, survey: Node, folder: str) -> bool:
    """Whether the combined table is committed and, if embeddings are compared, the distances for every shard."""
    if not len(Commits(storage, folder).revisions()):
        return False
    shards = len(Commits(storage, IMAGES).revisions())
    return not survey.options.get("embedder") or bool(
        (Commits(storage, _semantic_folder(folder)).revisions(shards) >= 0).all()
    )


def _semantic_folder(folder: str) -> str:
    return f"{folder}-semantic"


def _contributions(storage: Storage, survey: Node) -> Iterator[Contribution]:
    commits = Commits(storage, survey.folder)
    for shard, revision in enumerate(commits.revisions(len(Commits(storage, IMAGES).revisions()))):
        record = commits.record(shard, int(revision))
        hashes, values = (TableReader(storage, record.files[part].path).read() for part in ("data", VALUES_PART))
        yield Contribution(hashes, values, _candidates(storage, record))


def _candidates(storage: Storage, record: Record) -> Candidates | None:
    if CANDIDATES_PART not in record.files:
        return None
    file = record.files[CANDIDATES_PART]

    def read() -> pa.Table:
        return TableReader(storage, file.path, sha256=file.sha256).read()

    return Candidates(file.rows, read, File(**record.counts["embeddings"]))


class Contribution(NamedTuple):
    """What one shard contributes: tables of the schemas HASHES and VALUES, and the images to compare, if any."""

    hashes: pa.Table
    values: pa.Table
    candidates: Candidates | None = None


def combined(
    contributions: Iterable[Contribution],
    rules: Sequence[NamedRule],
    storage: Storage | None = None,
    scratch: str = "",
    on_progress: OnProgress | None = None,
) -> WholeSet:
    """Combines what all shards contribute. The contributions must be in the order of the shards.

    storage, scratch: needed if a rule compares embeddings. Distances are then kept in files of the folder `scratch`,
    which must exist as long as the result is used.
    """
    hashes, values, candidates = [HASHES.empty_table()], [VALUES.empty_table()], list[Candidates]()
    for one in contributions:
        hashes.append(one.hashes)
        values.append(one.values)
        candidates += [one.candidates] if one.candidates else []
    same, left_out, compared = SAME.empty_table(), pa.array([], pa.string()), None
    for name, rule, given in rules:
        if needs_hashes(rule):
            same = near_duplicates(pa.concat_tables(hashes), int(given.get("radius", RADIUS)))
            left_out = one_array(same["image_id"]) if name == "near_duplicate" else left_out
        elif needs_embeddings(rule):
            assert storage is not None
            compared = Compared(storage, candidates, left_out, scratch, on_progress)
    return WholeSet(
        same, _numbers(pa.concat_tables(values), rules), compared.table if compared else _no_table, compared
    )


def _numbers(values: pa.Table, rules: Sequence[NamedRule]) -> dict[int, dict[Path, float]]:
    answer: dict[int, dict[Path, float]] = {}
    for number, (_, _, given) in enumerate(rules):
        for place, share in quantile_paths(given).items():
            mine = values.filter(pc.and_(pc.equal(values["rule"], number), pc.equal(values["place"], "/".join(place))))
            found, times = (mine[column].to_numpy().astype(np.float64) for column in ("value", "number"))
            answer.setdefault(number, {})[place] = quantile(found, times, share)
    return answer


# --- reading it back ----------------------------------------------------------------------------


def read_surveyed(storage: Storage, folder: str) -> WholeSet:
    """The combined table in this folder. It is empty if `folder` is ''."""
    if not folder:
        return WholeSet()
    record = Commits(storage, folder).record(0, 0)
    numbers = {
        int(rule): {tuple(place.split("/")): value for place, value in found.items()}
        for rule, found in record.counts["numbers"].items()
    }
    curve = record.counts.get("curve", {})
    semantic = committed_tables(storage, _semantic_folder(folder)) if curve else _no_table
    return WholeSet(TableReader(storage, record.files["data"].path).read(), numbers, semantic, committed_curve=curve)
