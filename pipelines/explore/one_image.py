"""Everything a data set knows of one image, read for `engine why`. One image is read, never a whole data set.

The record is not enough for it: what a detector proposed and consensus left out is in the detector's own file
only, so every current node's file is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError
from engine.layout import IMAGES
from engine.reading.dataset import CurrentNode, Dataset
from engine.schema import ANNOTATIONS
from engine.storage.commits import TableReader
from pipelines.filter.whole_set import read_surveyed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HEX = frozenset("0123456789abcdef")
# A file's path, or that of the member of a tar; of a Parquet file, its row.
_NAME = "CASE WHEN contains(uri, '::') THEN regexp_extract(uri, '^[a-z]+://(.*)::', 1) ELSE uri END"


@dataclass(frozen=True, slots=True)
class Said:
    """One annotation as one node wrote it. A candidate that consensus re-emits was said twice."""

    node: CurrentNode
    column: str
    item: Mapping[str, Any]


@dataclass(slots=True)
class Story:
    """Everything the data set knows of one image. `verdicts` is None while it is not judged."""

    image: Mapping[str, Any]
    shard: int
    said: dict[str, list[Said]] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    verdicts: dict[str, Mapping[str, Any]] | None = None
    failures: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # nodes that have not answered
    same_as: str = ""  # the image that stands for this one
    changes: list[Mapping[str, Any]] = field(default_factory=list)  # of refinement rounds, in order

    def record(self, name: str) -> Said:
        """The annotation as it stands in the record, or as its own node wrote it if it is not part of that."""
        said = self.said[name]
        return next((one for one in said if one.column in one.node.columns), said[0])


# --- finding the image ---------------------------------------------------------------------------


def find(con: DuckDBPyConnection, name: str) -> dict[str, Any]:
    """The one input or image that goes by this name, with the file and row of its image."""
    name = name.removeprefix("./")
    rows: list[dict[str, Any]] = []
    if len(name) >= 4 and set(name.lower()) <= _HEX:
        rows = _rows(con, "SELECT image_id, uri FROM raw.images WHERE starts_with(image_id, ?)", name.lower())
    if not rows:
        rows = _rows(
            con,
            f"""SELECT DISTINCT ON (coalesce(image_id, uri)) image_id, uri, outcome, reason, error FROM inputs
               WHERE uri = $1 OR ends_with('/' || {_NAME}, '/' || $1)
                  OR regexp_replace(parse_filename({_NAME}), '[.][^.]*$', '') = $1""",
            name,
        )
    if not rows:
        raise ConfigError(f"No image '{name}' in this data set: {_nearest(con, name)}")
    if len(rows) > 1:
        told = ", ".join(sorted(f"{(row['image_id'] or '')[:12]} ({row['uri']})" for row in rows)[:4])
        more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        raise ConfigError(f"'{name}' names {len(rows)} images: give more of the id or path of one of {told}{more}.")
    places = _rows(
        con, "SELECT filename AS place, file_row_number AS row FROM raw.images WHERE image_id = ?", rows[0]["image_id"]
    )
    return rows[0] | (places[0] if places else {"place": None, "row": -1})


def _nearest(con: DuckDBPyConnection, name: str) -> str:
    rows = _rows(
        con,
        f"""SELECT parse_filename({_NAME}) AS name FROM raw.inputs GROUP BY name
           ORDER BY jaro_winkler_similarity(lower(name), lower(parse_filename(?))) DESC, name LIMIT 3""",
        name,
    )
    names = ", ".join(str(row["name"]) for row in rows)
    return f"the nearest file names are {names}." if names else "it has no inputs yet."


def _rows(con: DuckDBPyConnection, sql: str, *values: Any) -> list[dict[str, Any]]:
    found = con.execute(sql, list(values))
    names = [str(column[0]) for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


# --- reading what is known of it -------------------------------------------------------------------


def read_story(dataset: Dataset, place: str, row: int) -> Story:
    shard = next(shard for shard, path in dataset.files(IMAGES).items() if dataset.location(path) == place)
    story = Story(_row(dataset, dataset.files(IMAGES)[shard], row), shard)
    for node in dataset.nodes:
        path = dataset.files(node.folder).get(shard)
        if path is None:
            story.waiting.append(node.name)
        if path is None or node.over == "texts":
            continue
        answer = _row(dataset, path, row)
        story.failures += [(node.name, failure) for failure in answer["failures"]]
        for column in ANNOTATIONS:
            for item in answer[column]:
                story.said.setdefault(item["id"], []).append(Said(node, column, item))
    for (_, changed), path in dataset.changes().items():
        if changed == shard:
            rows = TableReader(dataset.storage, path).read().to_pylist()
            story.changes += [row for row in rows if row["image_id"] == story.image["image_id"]]
    if path := dataset.judged_files().get(shard):
        story.same_as = read_surveyed(dataset.storage, dataset.surveyed).same_as(story.image["image_id"])
        verdicts = _row(dataset, path, row)
        story.verdict = verdicts["image"]
        story.verdicts = {verdict["id"]: verdict for column in ANNOTATIONS for verdict in verdicts[column]}
    return story


def _row(dataset: Dataset, path: str, row: int) -> dict[str, Any]:
    found: dict[str, Any] = TableReader(dataset.storage, path).slice(row, row + 1).to_pylist()[0]
    return found
