"""Chooses images: by an SQL condition, by a rule that dropped something, by disagreement of detectors, or at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ConfigError, unknown
from engine.reading.sql import run_own, run_query
from pipelines.gallery.condition import AS_LISTED, ranked_by_condition

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def select_images(
    con: DuckDBPyConnection,
    where: str = "",
    *,
    rule: str | None = None,
    disagreement: bool = False,
    seed: int | None = None,
    limit: int = 24,
) -> list[str]:
    """At most `limit` image ids, best first. An image must meet all conditions that are given.

    `seed`: chooses at random among these images. The same seed and images give the same choice.
    """
    if limit < 1:
        raise ConfigError(f"The limit is {limit} images: give 1 or more.")
    rankings = [ranked_by_condition(where)] if where.strip() else []
    if rule:
        rankings.append(_by_rule(con, rule))
    if disagreement:
        rankings.append(_by_disagreement(con))
    if seed is not None:
        rankings.append(f"SELECT image_id, md5(image_id || '{int(seed)}') AS rank FROM raw.images")
    if not rankings:
        rankings = [f"SELECT image_id, row_number() OVER (ORDER BY {AS_LISTED}) AS rank FROM raw.images"]
    joins = "".join(f" JOIN ({sql}) q{n} ON q{n}.image_id = q0.image_id" for n, sql in enumerate(rankings) if n)
    order = ", ".join(f"q{n}.rank" for n in reversed(range(len(rankings))))
    run = run_query if where.strip() else run_own  # a condition could write
    chosen = run(con, f"SELECT q0.image_id FROM ({rankings[0]}) q0{joins} ORDER BY {order}, q0.image_id LIMIT {limit}")
    return [str(name) for name in chosen["image_id"].to_pylist()]


def _by_rule(con: DuckDBPyConnection, rule: str) -> str:
    """SQL that ranks images by how much the rule dropped from them, most first."""
    known = run_own(con, "SELECT DISTINCT rule FROM verdicts WHERE rule <> ''")["rule"].to_pylist()
    if rule not in known:
        raise unknown("rule that dropped anything", rule, known)
    quoted = rule.replace("'", "''")
    return f"SELECT image_id, -count(*) AS rank FROM verdicts WHERE rule = '{quoted}' GROUP BY image_id"


def _by_disagreement(con: DuckDBPyConnection) -> str:
    """SQL that ranks images by the share of detectors that support their regions: the smallest share comes first.

    Detectors are the producers of merged candidates. Dropped regions do not count, because each detector proposes many
    weak regions that no other detector supports.
    """
    count = run_own(con, "SELECT count(DISTINCT producer) AS n FROM regions WHERE merged_into <> '' AND rle = ''")
    if (detectors := int(count["n"][0].as_py())) < 2:
        raise ConfigError(
            f"Disagreement needs two detectors merged by a consensus, this data set has {detectors}: add a detector."
        )
    share = "len(list_distinct(list_transform(support, lambda s: split_part(s, '/', 1))))"
    return f"""SELECT image_id, avg({share}) / {detectors} - 1e-6 * count(*) AS rank FROM regions
        WHERE merged_into = '' AND len(support) > 0 AND kept IS NOT false GROUP BY image_id"""
