"""The schema `kept`: kept annotations of kept images.

It lacks the columns of verdicts, which makes queries twice as fast.

`kept.triplets` links phrases to regions as a release does: it follows merged regions, leaves out dropped ones, and
lists each region once for a phrase.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.layout import IMAGES
from engine.reading.dataset import Dataset
from engine.reading.raw_views import given
from engine.schema import ANNOTATIONS

KEPT = (IMAGES, *ANNOTATIONS, "triplets")


def kept_views(dataset: Dataset) -> Iterator[str]:
    yield "CREATE SCHEMA kept"
    yield """CREATE VIEW kept.images AS SELECT i.* EXCLUDE (filename, file_row_number) FROM raw.images i
        SEMI JOIN (SELECT image_id FROM raw.verdicts WHERE image.kept) j ON j.image_id = i.image_id"""
    for column in ANNOTATIONS:
        yield _annotations(dataset, column)
    yield _RELEASED if dataset.release else _TRIPLETS.format(regions=given(dataset, "regions"))


def _annotations(dataset: Dataset, column: str) -> str:
    judged = f"""SEMI JOIN (
        SELECT image_id, v.id AS id
        FROM (SELECT image_id, image.kept AS image_kept, unnest({column}) AS v FROM raw.verdicts)
        WHERE image_kept AND v.kept
        ) j ON j.image_id = g.image_id AND j.id = g.annotation_id"""
    return f"""CREATE VIEW kept.{column} AS
        SELECT * FROM ({given(dataset, column)}) g {"" if dataset.release else judged}"""


# list_distinct is slow and is not needed for most phrases, because they name one region.
_LINKS = """SELECT image_id, text_id, annotation_id AS phrase_id, char_start, char_end,
    unnest(CASE WHEN len(region_ids) > 1 THEN list_distinct(region_ids) ELSE region_ids END) AS region_id
    FROM kept.phrases"""
_RELEASED = f"CREATE VIEW kept.triplets AS {_LINKS}"

# The verdicts show which regions are kept or merged. The regions themselves are read only for images where a phrase
# names a merged region. Such images are few, so `led` and `found` take little time. UNION, unlike UNION ALL, stops
# if merges form a circle.
_TRIPLETS = f"""CREATE VIEW kept.triplets AS
    WITH RECURSIVE
    fates AS (
        SELECT image_id, v.id AS id, v.kept AS kept
        FROM (SELECT image_id, unnest(regions) AS v FROM raw.verdicts) WHERE v.kept OR v.rule = 'merged'),
    links AS MATERIALIZED (
        SELECT l.*, f.kept FROM ({_LINKS}) l JOIN fates f ON f.image_id = l.image_id AND f.id = l.region_id),
    lost AS MATERIALIZED (SELECT DISTINCT image_id, region_id FROM links WHERE NOT kept),
    merged AS MATERIALIZED (
        SELECT image_id, annotation_id, merged_into FROM ({{regions}})
        WHERE merged_into <> '' AND image_id IN (SELECT image_id FROM lost)),
    led AS (
        SELECT image_id, region_id, region_id AS target FROM lost
        UNION
        SELECT l.image_id, l.region_id, m.merged_into
        FROM led l JOIN merged m ON m.image_id = l.image_id AND m.annotation_id = l.target),
    found AS MATERIALIZED (
        SELECT DISTINCT k.* REPLACE (l.target AS region_id)
        FROM led l JOIN links k ON k.image_id = l.image_id AND k.region_id = l.region_id
        WHERE l.target <> l.region_id)
    SELECT * EXCLUDE (kept) FROM links WHERE kept
    UNION ALL
    SELECT * EXCLUDE (kept) FROM found
    WHERE (image_id, region_id) IN (
        SELECT image_id, v.id
        FROM (SELECT image_id, unnest(regions) AS v FROM raw.verdicts WHERE image_id IN (SELECT image_id FROM lost))
        WHERE v.kept)
      AND (image_id, phrase_id, region_id) NOT IN (
        SELECT (image_id, phrase_id, region_id) FROM links WHERE image_id IN (SELECT image_id FROM lost))"""
