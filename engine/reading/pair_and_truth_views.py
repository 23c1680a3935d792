"""The views `pairs` (training pairs of a release) and `truth` (human labels of audit images).

`truth` exists only for `engine query`. No step that makes a release may read it, or a model would be trained on the
labels that later measure it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.errors import DamageError
from engine.layout import IMAGES, PAIR_FILES
from engine.reading.dataset import Dataset
from engine.reading.raw_views import identifier, quoted
from engine.reading.release_manifest import read_manifest
from engine.schema import ANNOTATIONS, RECORD
from engine.storage.commits import Commits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PAIRS = {
    "image_id": "VARCHAR",
    "width": "INTEGER",
    "height": "INTEGER",
    "uri": "VARCHAR",
    "offset": "BIGINT",
    "length": "BIGINT",
    "split": "VARCHAR",
    "task": "VARCHAR",
    "prompt": "VARCHAR",
    "target": "VARCHAR",
    "annotation_ids": "VARCHAR[]",
    "tokens": "INTEGER",
    "truncated": "BOOLEAN",
}
_OFFSET, _LENGTH = 'p."offset" AS byte_offset', "p.length AS byte_length"


def pairs_view(dataset: Dataset) -> str:
    """The statement that creates the view `pairs` of a release: the one that is read, or else the latest."""
    folder = dataset.release or last_release(dataset)
    source = released_table(dataset, folder, PAIR_FILES, _PAIRS)
    own = [name for name in _PAIRS if name not in ("image_id", "split", "offset", "length")]
    release = quoted(folder.rpartition("/")[2])
    return f"""CREATE VIEW pairs AS SELECT p.image_id, p.split, true AS kept, {release} AS release,
        {", ".join(f"p.{name}" for name in own)}, {_OFFSET}, {_LENGTH} FROM {source} p"""


def released_table(dataset: Dataset, folder: str, prefix: str, columns: Mapping[str, str]) -> str:
    """All files of a release that start with `prefix`, for FROM; no rows of these columns if there are none.

    They are checked against the manifest. If they are damaged, only queries of the view that reads them fail.
    """
    nothing = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in columns.items())
    try:
        paths = _released_files(dataset, folder, prefix) if folder else []
    except DamageError as error:
        return f"(SELECT {nothing} FROM (SELECT 1) WHERE error({quoted(str(error))}) IS NULL)"
    if not paths:
        return f"(SELECT {nothing} WHERE false)"
    return f"read_parquet([{', '.join(quoted(dataset.location(path)) for path in paths)}])"


def last_release(dataset: Dataset) -> str:
    """The folder of the latest complete release; '' if there is none.

    It is the one that the latest run made or reused. If no run names one, it is the last by name.
    """
    made = [name for name in dataset.verdicts_and_releases() if name.startswith("releases/")]
    for run in reversed(dataset.runs() if made else []):
        found = dataset.run(run).get("release", "")
        if found in made:
            return str(found)
    return made[-1] if made else ""


def _released_files(dataset: Dataset, folder: str, prefix: str) -> list[str]:
    files = read_manifest(dataset.storage, folder)["files"]
    digests = {f"{folder}/{file['name']}": str(file.get("sha256", "")) for file in files}
    paths = sorted(path for path in digests if path.startswith(f"{folder}/{prefix}"))
    dataset.check_digests(paths, digests)
    return paths


# --- truth ---------------------------------------------------------------------------------------


def truth_view(con: DuckDBPyConnection, dataset: Dataset) -> str:
    """The statement that creates the view `truth`, which has one row for each annotation.

    Columns that its annotation type does not have are null.
    """
    paths = [] if dataset.release else _truth_files(dataset)
    dataset.check_digests(paths)
    if paths:
        source = f"read_parquet([{', '.join(quoted(dataset.location(path)) for path in paths)}], union_by_name = true)"
    else:
        columns = con.from_arrow(RECORD.empty_table())
        empty = ", ".join(f"NULL::{kind} AS {n}" for n, kind in zip(columns.columns, columns.types, strict=True))
        source = f"(SELECT {empty} WHERE false)"
    parts = [
        f"SELECT image_id, {quoted(column)} AS annotation_type, a.id AS annotation_id, a.* EXCLUDE (id) "
        f"FROM (SELECT image_id, unnest({column}) AS a FROM {source})"
        for column in ANNOTATIONS
    ]
    return f"""CREATE VIEW truth AS SELECT t.image_id, i.split, t.* EXCLUDE (image_id)
        FROM ({" UNION ALL BY NAME ".join(parts)}) t
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = t.image_id"""


def _truth_files(dataset: Dataset) -> list[str]:
    """The files of human labels of audit images. This reads one record for each shard, so it runs only on request."""
    records = Commits(dataset.storage, IMAGES).latest_records()
    return [record.files["truth"].path for record in records if "truth" in record.files]
