"""Checks that DuckDB reads the tables of a release, and counts in them what the manifest states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.layout import PAIR_FILES
from engine.reading.release_manifest import Manifest, tables_of
from engine.schema import ANNOTATIONS
from pipelines.emit.verifiers.check import Check


def duckdb_check(folder: Path, manifest: Manifest) -> Check:
    """Counts the images of each split, the annotations of each column, and the pairs of each task."""
    check = Check("DuckDB counts what the manifest states")
    names = [file["name"] for file in manifest["files"]]
    tables = tables_of(names)
    if not tables:
        check.detail = "no images, nothing to count"
        return check
    pairs = [name for name in names if name.startswith(PAIR_FILES)]
    check.faults += check.attempt("the tables", lambda: list(_table_faults(folder, tables, manifest))) or []
    if pairs:
        check.faults += check.attempt("the pairs", lambda: list(_pair_faults(folder, pairs, manifest))) or []
    check.detail = f"{len(tables)} tables" + (f" and {len(pairs)} of pairs" if pairs else "")
    return check


def _table_faults(folder: Path, tables: list[str], manifest: Manifest) -> Iterator[str]:
    sums = ", ".join(f"sum(len({name}))" for name in ANNOTATIONS)
    rows = _rows(folder, tables, f"split, count(*), {sums} FROM", "GROUP BY split ORDER BY split")
    found = {"images": sum(row[1] for row in rows)}
    found |= {name: sum(row[place] for row in rows) for place, name in enumerate(ANNOTATIONS, 2)}
    yield from _differences("in the tables", found, {name: manifest["counts"].get(name, 0) for name in found})
    if "splits" in manifest:
        yield from _differences("images", {row[0]: row[1] for row in rows}, manifest["splits"])


def _pair_faults(folder: Path, pairs: list[str], manifest: Manifest) -> Iterator[str]:
    found = dict(_rows(folder, pairs, "task, count(*) FROM", "GROUP BY task ORDER BY task"))
    yield from _differences("pairs", found, manifest["pairs"]["proven"])


def _rows(folder: Path, names: list[str], select: str, group: str) -> list[Any]:
    import duckdb

    with duckdb.connect() as con:
        con.execute("SET threads = 1")
        return con.execute(
            f"SELECT {select} read_parquet(?) {group}", [[str(folder / name) for name in names]]
        ).fetchall()


def _differences(what: str, found: Mapping[str, int], stated: Mapping[str, int]) -> Iterator[str]:
    for name in sorted({*found, *stated}):
        if found.get(name, 0) != stated.get(name, 0):
            yield f"{found.get(name, 0)} {name} {what}, the manifest has {stated.get(name, 0)}"
