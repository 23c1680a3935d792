"""Facts about the whole data set that some rules need: near-duplicate images, and the values of quantiles.

Two steps. The node `survey` collects hashes and compared values from each shard; it is committed and resumed like any
other node. Then `combine` makes one small table of all shards, under `surveyed/`, in a folder named by the commits it
was made from. The judge's key contains that name, so a data set that has grown is judged again with the new numbers.

A rule is evaluated on what the rules before it keep. Rules that need the whole set count as keeping everything here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.component import Output
from engine.images.near_duplicates import Hashes, distances, groups, neighbours
from engine.images.perceptual_hash import RADIUS, hashes_to_array
from engine.keys import stable_hash
from engine.layout import IMAGES, SURVEYED
from engine.records.columns import ImageScores
from engine.records.shard import Bools, Ints, Shard, one_array
from engine.running.engine_node import engine_node
from engine.running.graph import Node
from engine.running.shard_inputs import ShardInputs
from engine.schema import required
from engine.storage.commits import Commits, Record, TableReader
from engine.storage.files import Storage
from filters.judging.apply_rules import ShardJudgement
from filters.judging.quantiles import Path, compared_values, filled, placeholders, quantile, quantile_paths
from filters.verdict import Verdict, needs_whole_set
from pipelines.filter.judge import (
    NamedRule,
    first_pass,
    named_rules,
    options_in_key,
    rules_of,
    shard_options,
    shard_record,
)
from pipelines.recipe import Recipe

SURVEY_VERSION = 1

HASHES = pa.schema(
    [required(name, kind) for name, kind in (("image_id", pa.string()), ("phash", pa.string()))]
    + [required(name, pa.int64()) for name in ("pixels", "bytes")]
)
# How often a limit was compared with a value. `rule` is its place in the recipe, `place` the keys to the limit.
VALUES = pa.schema(
    [
        required("rule", pa.int32()),
        required("place", pa.string()),
        required("value", pa.float64()),
        required("number", pa.int64()),
    ]
)
SAME = pa.schema(
    [required("image_id", pa.string()), required("same_as", pa.string()), required("same_distance", pa.float64())]
)


@dataclass(frozen=True, slots=True)
class WholeSet:
    """same: near-duplicates, each with the image that represents it (schema SAME). numbers: the values of quantiles, as
    {position of the rule in the recipe: {path of the option: value}}.
    """

    same: pa.Table = field(default_factory=SAME.empty_table)
    numbers: Mapping[int, Mapping[Path, float]] = field(default_factory=dict)

    def rules(self, rules: Sequence[NamedRule]) -> list[NamedRule]:
        """The rules with each quantile replaced by its value."""
        return [(name, rule, filled(given, self.numbers.get(n, {}))) for n, (name, rule, given) in enumerate(rules)]

    def same_as(self, image_id: str) -> str:
        """The image that represents this near-duplicate; '' if there is none."""
        found = self.same.filter(pc.equal(self.same["image_id"], image_id))["same_as"].to_pylist()
        return str(found[0]) if found else ""

    def images(self, images: pa.Table) -> pa.Table:
        """The images of a shard with the column `same_distance` added, null for images that are no near-duplicate."""
        rows = pc.index_in(one_array(images["image_id"]), value_set=one_array(self.same["image_id"]))
        return images.append_column("same_distance", one_array(self.same["same_distance"]).take(rows))


# --- a node over shards -------------------------------------------------------------------------


def survey_node(recipe: Recipe, nodes: Sequence[Node]) -> Node | None:
    """The node that collects from each shard; None if no rule of the recipe needs the whole set."""
    rules = rules_of(recipe)
    needing = [
        number for number, (_, rule, given) in enumerate(rules) if needs_whole_set(rule) or quantile_paths(given)
    ]
    if not needing:
        return None
    applied = rules[: needing[-1] + 1]
    options = [[name, given] for name, _, given in applied]
    hashed = [[name, options_in_key(given)] for name, _, given in applied]
    versions = [getattr(rule, "version", 1) for _, rule, _ in applied]
    return engine_node(
        "survey",
        "pipelines.filter.whole_set:Survey",
        SURVEY_VERSION,
        key_parts=["survey", SURVEY_VERSION, hashed, versions, {node.name: node.key for node in nodes}],
        options=shard_options(nodes) | {"rules": options} | first_pass(nodes),
        inputs={node.name: node.gives for node in nodes},
    )


class Survey:
    """Collects from one shard the image hashes, and how often each limit given as a quantile was compared with which
    value.
    """

    def __init__(self, *, rules: list[Any], record: list[Any], parses: list[str], first: str = "") -> None:
        self.given_rules, self.record, self.parses, self.first = rules, record, parses, first

    def load(self) -> None:
        self.rules = named_rules(self.given_rules)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        record, parse = shard_record(inputs, self.record, self.parses)
        first = inputs.part(self.first, "verdicts") if self.first else None
        hashes, values = survey_shard(record, inputs.images, parse, self.rules, first)
        files = {
            "data": commits.put_table(shard, hashes, inputs.unit.revision),
            "values": commits.put_table(shard, values, inputs.unit.revision),
        }
        return Output(files, inputs.images.num_rows)


def survey_shard(
    record: pa.Table,
    images: pa.Table,
    parse: pa.Table | None,
    rules: Sequence[NamedRule],
    first: pa.Table | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Tables of the schemas HASHES and VALUES. `first`: the verdicts of the first pass, on images and regions."""
    judgement = ShardJudgement(Shard(record, images, parse))
    if first is not None:
        judgement.apply_verdicts(first)
    hashes, values = HASHES.empty_table(), [VALUES.empty_table()]
    for number, (name, rule, given) in enumerate(rules):
        found = list(quantile_paths(given))
        if needs_whole_set(rule):
            hashes = _hashes(judgement)
        elif found:
            numbers = placeholders(found)
            answer = judgement.evaluate(name, rule, filled(given, numbers))
            values += [_values(number, place, answer, numbers[place]) for place in found]
        else:
            judgement.apply(name, rule, given)
    return hashes, pa.concat_tables(values)


def _hashes(judgement: ShardJudgement) -> pa.Table:
    """The first hash of each image that no rule has dropped yet."""
    scores = judgement.view("image_scores")
    assert isinstance(scores, ImageScores)
    codes = scores.strings("code")
    rows = np.flatnonzero(scores.equals("name", "phash") & _filled(codes))
    image, first = np.unique(scores.image[rows], return_index=True)
    pixels = judgement.shard.image.numbers("width").astype(np.int64) * judgement.shard.image.numbers("height")
    arrays = [judgement.shard.ids.take(pa.array(image)), codes.take(pa.array(rows[first])), pa.array(pixels[image])]
    arrays.append(judgement.shard.image.arrow("bytes").take(pa.array(image)))
    return pa.Table.from_arrays(arrays, schema=HASHES)


def _filled(strings: pa.Array) -> Bools:
    answer: Bools = pc.not_equal(strings, "").to_numpy(zero_copy_only=False)
    return answer


def _values(rule: int, place: Path, answer: Sequence[Verdict], stand_in: float) -> pa.Table:
    values, numbers = np.unique(compared_values(answer, stand_in), return_counts=True)
    arrays = [
        pa.array(np.full(len(values), rule, np.int32)),
        pa.array(["/".join(place)] * len(values), pa.string()),
        pa.array(values),
        pa.array(numbers),
    ]
    return pa.Table.from_arrays(arrays, schema=VALUES)


# --- the whole set ------------------------------------------------------------------------------


def surveyed_folder(storage: Storage, survey: Node) -> str:
    """The folder of the combined table of this survey, whether or not it exists. Its name is a hash of the commits."""
    shards = len(Commits(storage, IMAGES).revisions())
    revisions = Commits(storage, survey.folder).revisions(shards).tolist()
    return f"{SURVEYED}/{stable_hash([survey.key, revisions])[:8]}"


def combine(storage: Storage, survey: Node, recipe: Recipe) -> str:
    """Commit the combined table if there is none yet, and return its folder. Needs all shards of the survey."""
    folder = surveyed_folder(storage, survey)
    commits = Commits(storage, folder)
    if not len(commits.revisions()):
        found = combined(_shard_tables(storage, survey), rules_of(recipe))
        file = commits.put_table(0, found.same)
        numbers = {str(rule): {"/".join(p): v for p, v in places_.items()} for rule, places_ in found.numbers.items()}
        commits.commit(Record(0, 0, {"data": file}, counts={"numbers": numbers}))
    return folder


def _shard_tables(storage: Storage, survey: Node) -> Iterable[tuple[pa.Table, pa.Table]]:
    commits = Commits(storage, survey.folder)
    for shard, revision in enumerate(commits.revisions(len(Commits(storage, IMAGES).revisions()))):
        files = commits.record(shard, int(revision)).files
        yield TableReader(storage, files["data"].path).read(), TableReader(storage, files["values"].path).read()


def combined(answers: Iterable[tuple[pa.Table, pa.Table]], rules: Sequence[NamedRule]) -> WholeSet:
    """Combines the tables of all shards, in shard order."""
    hashes, values = [HASHES.empty_table()], [VALUES.empty_table()]
    for table, compared in answers:
        hashes.append(table)
        values.append(compared)
    same = SAME.empty_table()
    for _, rule, given in rules:
        if needs_whole_set(rule):
            same = _same(pa.concat_tables(hashes), int(given.get("radius", RADIUS)))
    return WholeSet(same, _numbers(pa.concat_tables(values), rules))


def _numbers(values: pa.Table, rules: Sequence[NamedRule]) -> dict[int, dict[Path, float]]:
    answer: dict[int, dict[Path, float]] = {}
    for number, (_, _, given) in enumerate(rules):
        for place, share in quantile_paths(given).items():
            mine = values.filter(pc.and_(pc.equal(values["rule"], number), pc.equal(values["place"], "/".join(place))))
            found, times = (mine[column].to_numpy().astype(np.float64) for column in ("value", "number"))
            answer.setdefault(number, {})[place] = quantile(found, times, share)
    return answer


def _same(hashes: pa.Table, radius: int) -> pa.Table:
    """Best image first: each represents all images within the radius that no better image represents."""
    if not hashes.num_rows:  # all images are flat (no hash) or dropped by earlier rules
        return SAME.empty_table()
    found = hashes_to_array(hashes["phash"].to_pylist())
    i, j, _ = neighbours(found, radius, forest=True)
    # A stable sort: of equal images the first listed is the best.
    order = np.lexsort((-hashes["bytes"].to_numpy(), -hashes["pixels"].to_numpy()))
    stands = _representatives(found, groups(len(found), i, j), order, radius)
    rows = np.flatnonzero(stands[:, 0] >= 0)
    ids = one_array(hashes["image_id"])
    arrays = [ids.take(pa.array(rows)), ids.take(pa.array(stands[rows, 0])), pa.array(stands[rows, 1].astype(float))]
    return pa.Table.from_arrays(arrays, schema=SAME)


def _representatives(hashes: Hashes, group: Ints, order: Ints, radius: int) -> Ints:
    """Array (n, 2): for each row the row that represents it and their distance; -1 for rows that represent themselves.

    `order`: rows, best first. Each image is within the radius of its representative, so a long chain of similar images
    gets several representatives.
    """
    answer = np.full((len(hashes), 2), -1, np.int64)
    order = order[np.argsort(group[order], kind="stable")]  # group by group, the best of each first
    for rest in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        while len(rest) > 1:
            best, rest = rest[0], rest[1:]
            apart = distances(hashes[best], hashes[rest])
            near = apart <= radius
            answer[rest[near]] = np.column_stack([np.full(near.sum(), best), apart[near]])
            rest = rest[~near]
    return answer


# --- reading it back ----------------------------------------------------------------------------


def read_surveyed(storage: Storage, folder: str) -> WholeSet:
    """The combined table in this folder; an empty one for ''."""
    if not folder:
        return WholeSet()
    record = Commits(storage, folder).record(0, 0)
    numbers = {
        int(rule): {tuple(place.split("/")): value for place, value in found.items()}
        for rule, found in record.counts["numbers"].items()
    }
    return WholeSet(TableReader(storage, record.files["data"].path).read(), numbers)
