"""Which images a person wants to see: by query, by the rule that dropped something, by disagreement, at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ConfigError, unknown
from engine.reading.sql import run_query

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AS_LISTED = "len(filename), filename, file_row_number"


def select_images(
    con: DuckDBPyConnection,
    where: str = "",
    *,
    rule: str | None = None,
    disagreement: bool = False,
    seed: int | None = None,
    limit: int = 24,
) -> list[str]:
    """At most `limit` image ids, best first. Where several things are asked, all of them hold.

    With a `seed` they are drawn at random from those; the same seed draws the same ones from the same images.
    """
    if limit < 1:
        raise ConfigError(f"A limit of {limit} images shows nothing: give 1 or more.")
    asked = [_by_query(where)] if where.strip() else []
    if rule:
        asked.append(_by_rule(con, rule))
    if disagreement:
        asked.append(_by_disagreement(con))
    if seed is not None:
        asked.append(f"SELECT image_id, md5(image_id || '{int(seed)}') AS place FROM raw.images")
    if not asked:
        asked = [f"SELECT image_id, row_number() OVER (ORDER BY {_AS_LISTED}) AS place FROM raw.images"]
    joins = "".join(f" JOIN ({sql}) q{n} ON q{n}.image_id = q0.image_id" for n, sql in enumerate(asked) if n)
    order = ", ".join(f"q{n}.place" for n in reversed(range(len(asked))))
    chosen = run_query(
        con, f"SELECT q0.image_id FROM ({asked[0]}) q0{joins} ORDER BY {order}, q0.image_id LIMIT {limit}"
    )
    return [str(name) for name in chosen["image_id"].to_pylist()]


def _by_query(where: str) -> str:
    """A condition on `images`, or a whole SELECT, whose order stays."""
    text = where.strip().rstrip(";").strip()
    if text.split(maxsplit=1)[0].lower() not in ("select", "with", "from", "(select"):
        condition = f"SELECT image_id FROM images WHERE ({text}\n)"
        text = f"SELECT image_id FROM raw.images WHERE image_id IN ({condition}) ORDER BY {_AS_LISTED}"
    # Closing brackets go on a line of their own: the text may end in a comment.
    numbered = f"SELECT image_id, row_number() OVER () AS place FROM ({text}\n)"
    return f"SELECT image_id, min(place) AS place FROM ({numbered}) WHERE image_id IS NOT NULL GROUP BY image_id"


def _by_rule(con: DuckDBPyConnection, rule: str) -> str:
    """Most dropped by it first."""
    known = run_query(con, "SELECT DISTINCT rule FROM verdicts WHERE rule <> ''")["rule"].to_pylist()
    if rule not in known:
        raise unknown("rule that dropped anything", rule, known)
    quoted = rule.replace("'", "''")
    return f"SELECT image_id, -count(*) AS place FROM verdicts WHERE rule = '{quoted}' GROUP BY image_id"


def _by_disagreement(con: DuckDBPyConnection) -> str:
    """Mean share of the detectors that support a region, least first; of equals the one with more regions.

    A detector is who proposed a candidate that was merged. Regions that are dropped do not count: every
    detector alone has many weak ones.
    """
    asked = run_query(con, "SELECT count(DISTINCT producer) AS n FROM regions WHERE merged_into <> '' AND rle = ''")
    if (detectors := int(asked["n"][0].as_py())) < 2:
        raise ConfigError(
            f"Disagreement needs two detectors that a consensus merged, this data set has {detectors}: add a detector."
        )
    share = "len(list_distinct(list_transform(support, lambda s: split_part(s, '/', 1))))"
    return f"""SELECT image_id, avg({share}) / {detectors} - 1e-6 * count(*) AS place FROM regions
        WHERE merged_into = '' AND len(support) > 0 AND kept IS NOT false GROUP BY image_id"""
