"""The view `rule_values`: the numbers that the rules compared, of what they kept too, on a sample of shards.

The committed verdicts have a number only for what a rule dropped. The others are measured by `engine report`
(pipelines/filter/rule_values.py), which keeps them in the data set, in one table for each set of verdicts. The view
reads the table of its verdicts. It is empty if no report was made since the data set was judged.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from engine.keys import stable_hash
from engine.layout import REPORT
from engine.reading.dataset import Dataset
from engine.reading.raw_views import identifier, quoted

RULE_VALUES = "rule_values"
RULE_VALUES_FOLDER = f"{REPORT}/{RULE_VALUES}"
# verdicts: a hash of the verdicts that the rules gave. kept: null never occurs. place: of the rule in the recipe.
RULE_VALUES_SCHEMA = pa.schema(
    [
        ("verdicts", pa.string()),
        ("image_id", pa.string()),
        ("kept", pa.bool_()),
        ("annotation_type", pa.string()),
        ("annotation_id", pa.string()),
        ("place", pa.int32()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
    ]
)
_TYPES = {"place": "INTEGER", "kept": "BOOLEAN", "value": "DOUBLE", "threshold": "DOUBLE"}


def verdicts_hash(dataset: Dataset) -> str:
    """A hash of the files of verdicts; '' if nothing is judged, and of a release."""
    files = [] if dataset.release else sorted(dataset.judged_files().values())
    return stable_hash(files)[:16] if files else ""


def rule_values_file(verdicts: str) -> str:
    """The table of the verdicts with this hash."""
    return f"{RULE_VALUES_FOLDER}/{verdicts}.parquet"


def rule_values_view(dataset: Dataset) -> str:
    judged = verdicts_hash(dataset)
    if judged and _is_readable(dataset, file := rule_values_file(judged)):
        found = f"FROM read_parquet({quoted(dataset.location(file))}) WHERE verdicts = {quoted(judged)}"
        return f"CREATE VIEW {RULE_VALUES} AS {rule_values_rows(found)}"
    empty = ", ".join(f"NULL::{_TYPES.get(name, 'VARCHAR')} AS {identifier(name)}" for name in RULE_VALUES_SCHEMA.names)
    return f"CREATE VIEW {RULE_VALUES} AS {rule_values_rows(f'SELECT {empty} WHERE false')}"


def rule_values_rows(source: str) -> str:
    """A SELECT of the columns of the view. `source`: a SELECT or FROM with the columns of RULE_VALUES_SCHEMA."""
    columns = ", ".join(f"r.{identifier(name)}" for name in RULE_VALUES_SCHEMA.names[2:])
    return f"""SELECT r.image_id, i.split, {columns}
        FROM ({source}) r LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = r.image_id"""


def _is_readable(dataset: Dataset, name: str) -> bool:
    """Whether the table is there and has the columns. A report that is damaged must not stop other queries."""
    try:
        with dataset.storage.open(name) as file:
            return {*RULE_VALUES_SCHEMA.names} <= {*pq.read_schema(file).names}
    except (OSError, pa.ArrowException):
        return False
