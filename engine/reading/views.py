"""The statements that create the views of a data set.

Each view has the columns `image_id`, `split` and `kept` (null: not judged yet). Verdicts are joined to annotations by
id, never by position, because the two lists may be in different orders.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from engine.layout import EMBEDDING_FILES, IMAGES, INPUTS
from engine.reading.dataset import Dataset
from engine.reading.kept_views import kept_views
from engine.reading.pair_and_truth_views import pairs_view, released_table, truth_view
from engine.reading.raw_views import empty_columns, fields_of, given, identifier, quoted, raw_views
from engine.reading.rule_values_view import RULE_VALUES, rule_values_view
from engine.reading.run_and_round_views import rounds_view, runs_view
from engine.records.embeddings import EMBEDDING, EMBEDDINGS
from engine.schema import ANNOTATIONS, PARSE
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.storage.listings import IN_SOURCE
from engine.storage.removals import REASON

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VIEWS = (IMAGES, *ANNOTATIONS, EMBEDDINGS, "parse", "failures", INPUTS, "verdicts", RULE_VALUES)
VIEWS += ("changes", "pairs", "runs", "rounds")
_OF_PROBE = {INPUTS, "failures", "raw"}  # what reads the view raw.probe

_VERDICT = 'j.v.kept AS kept, j.v.rule AS rule, j.v."value" AS "value", j.v.threshold AS threshold'
_SHARD = "regexp_extract(parse_filename({}.filename), '^[0-9]+')"

_NOT_GIVEN_NOW = f"(coalesce(s.state, '') NOT IN ({', '.join(quoted(state) for state in sorted(IN_SOURCE))}))"


def views(
    con: DuckDBPyConnection, dataset: Dataset, *, only: Collection[str] = (), truth: bool = False
) -> Iterator[str]:
    """The statements that create the views, in order. `truth`: also create the view of human labels of audit images.

    `only`: names of views, and "kept" for that schema, if no others are read. Each costs a few milliseconds.
    """
    yield from raw_views(con, dataset, probe=not only or bool(_OF_PROBE & set(only)))
    made: dict[str, Callable[[], str]] = {
        IMAGES: _images,
        **{column: partial(_annotations, dataset, column) for column in ANNOTATIONS},
        EMBEDDINGS: partial(_embeddings, dataset),
        "parse": partial(_parse, con, dataset),
        INPUTS: _inputs,
        "failures": partial(_failures, dataset),
        "verdicts": _verdicts,
        "changes": _changes,
        "runs": partial(runs_view, dataset),
        "rounds": partial(rounds_view, dataset),
        RULE_VALUES: partial(rule_values_view, dataset),
        "pairs": partial(pairs_view, dataset),
    }
    yield from (make() for name, make in made.items() if not only or name in only)
    if truth:
        yield truth_view(con, dataset)
    if not only or "kept" in only:
        yield from kept_views(dataset)


def _images() -> str:
    own = [field.name for field in IMAGES_SCHEMA if field.name not in ("image_id", "split", "offset", "length")]
    columns = ", ".join(f"i.{identifier(name)}" for name in own)
    return f"""CREATE VIEW images AS
        SELECT i.image_id, i.split, {_VERDICT}, len(i.sources) AS n_sources, {columns},
               i."offset" AS byte_offset, i.length AS byte_length
        FROM raw.images i LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = i.image_id"""


def _annotations(dataset: Dataset, column: str) -> str:
    """The view of one annotation column, with one row for each annotation of the record."""
    fields = fields_of(column)
    verdict = _VERDICT.replace('AS "value"', "AS rule_value") if "value" in fields else _VERDICT
    own = ", ".join(f"g.{identifier(name)}" for name in fields)
    return f"""CREATE VIEW {column} AS
        SELECT g.image_id, i.split, {verdict}, g.annotation_id, {own}
        FROM ({given(dataset, column)}) g
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = g.image_id
        LEFT JOIN (SELECT image_id, unnest({column}) AS v FROM raw.verdicts) j
          ON j.image_id = g.image_id AND j.v.id = g.annotation_id"""


def _embeddings(dataset: Dataset) -> str:
    """The view `embeddings`, with one row for each image and node that gives embeddings.

    It leaves out images on which the node failed. Of a release it has the rows that the release holds.
    """
    rows = [
        f"SELECT image_id, {quoted(node.name)} AS node, {EMBEDDING} FROM raw.{identifier(f'node {node.name}')}"
        for node in dataset.nodes
        if EMBEDDINGS in node.gives
    ]
    if not rows:
        columns = {"image_id": "VARCHAR", "node": "VARCHAR", EMBEDDING: "FLOAT[]"}
        rows = [f"FROM {released_table(dataset, dataset.release, EMBEDDING_FILES, columns)}"]
    return f"""CREATE VIEW {EMBEDDINGS} AS
        SELECT e.image_id, i.split, {_VERDICT.partition(",")[0]}, e.node, e.{EMBEDDING}
        FROM ({" UNION ALL ".join(rows)}) e
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = e.image_id
        LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = e.image_id
        WHERE e.{EMBEDDING} IS NOT NULL"""


def _parse(con: DuckDBPyConnection, dataset: Dataset) -> str:
    """The view `parse`, with one row for each distinct text.

    A text that occurs in several shards has several parses. The view has one of them, if possible one that did not
    fail. DISTINCT ON would give the same rows but needs more memory: its hash table holds all columns of all texts.
    """
    tables = [f"raw.{identifier(f'node {node.name}')}" for node in dataset.nodes if node.over == "texts"]
    if not tables:
        return f"CREATE VIEW parse AS SELECT {', '.join(empty_columns(con, PARSE))} WHERE false"
    rows = " UNION ALL BY NAME ".join(f"SELECT * FROM {table}" for table in tables)  # older files have another order
    rank = "{{'failed': len({0}failures) > 0, 'file': {0}filename, 'row': {0}file_row_number}}"
    return f"""CREATE VIEW parse AS
        WITH twice AS (SELECT text_key FROM ({rows}) GROUP BY text_key HAVING count(*) > 1),
        again AS (
            SELECT text_key, min({rank.format("")}) AS best FROM ({rows})
            WHERE text_key IN (FROM twice) GROUP BY text_key)
        SELECT r.* EXCLUDE (filename, file_row_number) FROM ({rows}) r LEFT JOIN again a ON a.text_key = r.text_key
        WHERE a.best IS NULL OR a.best = {rank.format("r.")}"""


def _inputs() -> str:
    """The view `inputs`, with one row for each listed input and its outcome.

    The first input of an image has the outcome 'image', the others are duplicates. Inputs that their source no longer
    gives come last. If such an input is not the first of its image, its outcome is 'earlier'. Its `state` is the
    reason. An input that was removed has the outcome 'removed' and a placeholder as its URI.
    """
    listing_order = "len(filename), filename, file_row_number"
    return f"""CREATE VIEW inputs AS
        SELECT n.source, n.uri, nullif(p.image_id, '') AS image_id, i.split, {_VERDICT.partition(",")[0]},
               CASE WHEN coalesce(len(p.failures), 0) = 0 AND i.image_id IS NOT NULL AND p.nth = 1 THEN 'image'
                    WHEN {_NOT_GIVEN_NOW} THEN 'earlier'
                    WHEN p.uri IS NULL THEN 'pending' WHEN p.failures[1].reason = {quoted(REASON)} THEN 'removed'
                    WHEN len(p.failures) > 0 THEN 'quarantined'
                    WHEN i.image_id IS NULL THEN 'pending' ELSE 'duplicate' END AS outcome,
               p.failures[1].reason AS reason, p.failures[1].error AS error, coalesce(s.state, '') AS state
        FROM raw.inputs n
        LEFT JOIN raw.states s ON s.source = n.source AND s.uri = n.uri AND s.fingerprint = n.fingerprint
        LEFT JOIN (SELECT p.source, p.uri, p.fingerprint, image_id, failures, row_number() OVER (
                     PARTITION BY image_id ORDER BY ({_NOT_GIVEN_NOW}), {listing_order}) AS nth
                   FROM raw.probe p LEFT JOIN raw.states s
                     ON s.source = p.source AND s.uri = p.uri AND s.fingerprint = p.fingerprint) p
          ON p.source = n.source AND p.uri = n.uri AND p.fingerprint = n.fingerprint
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = p.image_id
        LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = i.image_id"""


def _failures(dataset: Dataset) -> str:
    """The view `failures`, with one row for each failure.

    A text that failed has a row for each image of its shard that has the text.
    """
    parts = [
        f"""SELECT NULL::VARCHAR AS image_id, p.uri, 'probe' AS node, unnest(p.failures) AS f
            FROM raw.probe p LEFT JOIN raw.states s
              ON s.source = p.source AND s.uri = p.uri AND s.fingerprint = p.fingerprint
            WHERE len(p.failures) > 0 AND NOT {_NOT_GIVEN_NOW}"""
    ]
    for node in dataset.nodes:
        table, name = f"raw.{identifier(f'node {node.name}')}", quoted(node.name)
        if node.over == "texts" and not dataset.release:
            parts.append(
                f"""SELECT g.image_id, NULL, {name}, unnest(t.failures) FROM {table} t
                JOIN (SELECT DISTINCT image_id, text_key FROM ({given(dataset, "texts")})) g
                  ON g.text_key = t.text_key
                JOIN raw.images h ON h.image_id = g.image_id AND {_SHARD.format("h")} = {_SHARD.format("t")}
                WHERE len(t.failures) > 0"""
            )
        elif node.over != "texts":
            parts.append(f"SELECT image_id, NULL, {name}, unnest(failures) FROM {table} WHERE len(failures) > 0")
    return f"""CREATE VIEW failures AS
        SELECT DISTINCT e.image_id, i.split, {_VERDICT.partition(",")[0]}, coalesce(e.uri, i.uri) AS uri, e.node,
               e.f.component AS component, e.f.reason AS reason, e.f.error AS error, e.f.attempts AS attempts
        FROM ({" UNION ALL ".join(parts)}) e
        LEFT JOIN (SELECT image_id, split, uri FROM raw.images) i ON i.image_id = e.image_id
        LEFT JOIN (SELECT image_id, image AS v FROM raw.verdicts) j ON j.image_id = e.image_id"""


def _verdicts() -> str:
    """The view `verdicts`, with one row for each verdict on an image or an annotation."""
    parts = ["SELECT image_id, 'images' AS annotation_type, image AS v FROM raw.verdicts"]
    parts += [f"SELECT image_id, '{column}', unnest({column}) FROM raw.verdicts" for column in ANNOTATIONS]
    return f"""CREATE VIEW verdicts AS
        SELECT j.image_id, i.split, {_VERDICT}, j.annotation_type, j.v.id AS annotation_id
        FROM ({" UNION ALL ".join(parts)}) j
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = j.image_id"""


def _changes() -> str:
    """The view `changes`, with one row for each change by a refinement round.

    `kept`: whether the rules keep the changed annotation.
    """
    columns = ("regions", "texts", "region_texts", "phrases")
    judged = " UNION ALL ".join(f"SELECT image_id, unnest({column}) AS v FROM raw.verdicts" for column in columns)
    return f"""CREATE VIEW changes AS
        SELECT c.image_id, i.split, {_VERDICT.partition(",")[0]}, c.* EXCLUDE (image_id)
        FROM raw.changes c
        LEFT JOIN (SELECT image_id, split FROM raw.images) i ON i.image_id = c.image_id
        LEFT JOIN ({judged}) j ON j.image_id = c.image_id AND j.v.id = coalesce(nullif(c.new, ''), c.old)"""
