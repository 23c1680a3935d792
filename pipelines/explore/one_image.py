"""Everything that a data set holds about one image: its annotations by node, verdicts, failures, changes by rounds.

Only this image's rows are read, but from the files of every current node, because the record does not have the
candidates that consensus left out.
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

Row = Mapping[str, Any]
_HEX = frozenset("0123456789abcdef")
# The path of a file or of a tar's member. For a row of a Parquet file, the row's number.
_NAME = "CASE WHEN contains(uri, '::') THEN regexp_extract(uri, '^[a-z]+://(.*)::', 1) ELSE uri END"


@dataclass(frozen=True, slots=True)
class Written:
    """An annotation as one node wrote it. Consensus writes some candidates again, under the same id."""

    node: CurrentNode
    column: str
    item: Row


@dataclass(slots=True)
class OneImage:
    """One image. `annotations`: {id: the versions of it that nodes wrote}.

    `verdicts`: {id: verdict}; None if not judged yet.
    """

    row: Row  # of the images table
    shard: int
    annotations: dict[str, list[Written]] = field(default_factory=dict)
    verdict: Row | None = None
    verdicts: dict[str, Row] | None = None
    failures: list[tuple[str, Row]] = field(default_factory=list)  # (node, failure)
    unfinished: list[str] = field(default_factory=list)  # nodes that have not annotated the image yet
    same_as: list[str] = field(default_factory=list)  # see _same_as
    changes: list[Row] = field(default_factory=list)  # changes by refinement rounds, in order

    def annotation(self, name: str) -> Written:
        """The annotation as it is in the record. If it is not there, as the node that made it wrote it."""
        written = self.annotations[name]
        return next((one for one in written if one.column in one.node.columns), written[0])


# --- finding the image ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FoundInput:
    """An input, and the file and row of its image. The file is None if the input has no image in the data set."""

    uri: str
    image_id: str
    outcome: str
    reason: str
    error: str
    file: str = ""
    row: int = -1


def find_input(con: DuckDBPyConnection, name: str) -> FoundInput:
    """The input with this uri, file name, image id or beginning of an id.

    Raises ConfigError if there are none or several.
    """
    name = name.removeprefix("./")
    columns = "image_id, uri, outcome, reason, error"
    rows: list[tuple[Any, ...]] = []
    if len(name) >= 4 and set(name.lower()) <= _HEX:
        by_id = "SELECT image_id, uri, '', '', '' FROM raw.images WHERE starts_with(image_id, ?)"
        rows = con.execute(by_id, [name.lower()]).fetchall()
    if not rows:
        rows = con.execute(
            f"""SELECT DISTINCT ON (coalesce(image_id, uri)) {columns} FROM inputs
               WHERE uri = $1 OR ends_with('/' || {_NAME}, '/' || $1)
                  OR regexp_replace(parse_filename({_NAME}), '[.][^.]*$', '') = $1""",
            [name],
        ).fetchall()
    if not rows:
        raise ConfigError(f"No image '{name}' in this data set: {_nearest(con, name)}")
    if len(rows) > 1:
        some = ", ".join(sorted(f"{(image_id or '')[:12]} ({uri})" for image_id, uri, *_ in rows)[:4])
        more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        raise ConfigError(f"'{name}' names {len(rows)} images: give more of the id or path of one of {some}{more}.")
    image_id, uri, outcome, reason, error = (value or "" for value in rows[0])
    located = con.execute("SELECT filename, file_row_number FROM raw.images WHERE image_id = ?", [image_id]).fetchone()
    return FoundInput(uri, image_id, outcome, reason, error, *(located or ()))


def _nearest(con: DuckDBPyConnection, name: str) -> str:
    rows = con.execute(
        f"""SELECT parse_filename({_NAME}) AS name FROM raw.inputs GROUP BY name
           ORDER BY jaro_winkler_similarity(lower(name), lower(parse_filename(?))) DESC, name LIMIT 3""",
        [name],
    ).fetchall()
    names = ", ".join(str(row[0]) for row in rows)
    return f"the nearest file names are {names}." if names else "it has no inputs yet."


# --- reading it ------------------------------------------------------------------------------------


def read_image(dataset: Dataset, found: FoundInput) -> OneImage:
    shards = dataset.files(IMAGES)
    shard = next(shard for shard, path in shards.items() if dataset.location(path) == found.file)
    image = OneImage(_row(dataset, shards[shard], found.row), shard)
    for node in dataset.nodes:
        path = dataset.files(node.folder).get(shard)
        if path is None:
            image.unfinished.append(node.name)
        elif node.over != "texts":
            _add_answer(image, node, _row(dataset, path, found.row))
    for (_, changed), path in dataset.changes().items():
        if changed == shard:
            rows = TableReader(dataset.storage, path).read().to_pylist()
            image.changes += [row for row in rows if row["image_id"] == image.row["image_id"]]
    if path := dataset.judged_files().get(shard):
        verdicts = _row(dataset, path, found.row)
        image.verdict = verdicts["image"]
        image.same_as = _same_as(dataset, image)
        image.verdicts = {verdict["id"]: verdict for column in ANNOTATIONS for verdict in verdicts[column]}
    return image


def _same_as(dataset: Dataset, image: OneImage) -> list[str]:
    """The id of the image that this one duplicates.

    If that image was dropped too, the one it duplicates follows, and so on.
    """
    whole_set, name = read_surveyed(dataset.storage, dataset.surveyed), image.row["image_id"]
    rule = image.verdict["rule"] if image.verdict else ""
    if image.verdict and rule == "semantic_duplicate":
        return whole_set.semantic_chain(name, image.shard, image.verdict["threshold"])
    found = whole_set.near_audit(name, image.shard) if rule == "semantic_duplicate.audit" else whole_set.same_as(name)
    return [found] if found else []


def _add_answer(image: OneImage, node: CurrentNode, answer: Row) -> None:
    image.failures += [(node.name, failure) for failure in answer["failures"]]
    for column in ANNOTATIONS:
        for item in answer[column]:
            image.annotations.setdefault(item["id"], []).append(Written(node, column, item))


def _row(dataset: Dataset, path: str, number: int) -> Row:
    row: Row = TableReader(dataset.storage, path).slice(number, number + 1).to_pylist()[0]
    return row
