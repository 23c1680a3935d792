"""Makes the report of a data set: report.html and, for each figure, a Parquet table with the rows of its query."""

from __future__ import annotations

import contextlib
import datetime
import io
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StorageError
from engine.extras import require
from engine.layout import JUDGE, RELEASES, REPORT
from engine.reading.dataset import Dataset
from engine.reading.rule_values_view import RULE_VALUES_FOLDER, rule_values_file
from engine.storage.files import Storage
from pipelines.analyse import MODULES
from pipelines.analyse.figure import Section
from pipelines.analyse.page import Embedded, Measured, import_charts, render_page, vega
from pipelines.analyse.sections import SECTIONS
from pipelines.analyse.tables import MEASURED_RULES, analysis, run_queries, with_set
from pipelines.gallery.choose import QUERY
from pipelines.gallery.sample import compact, gallery_sample
from pipelines.gallery.script import EMBEDDED, gallery_script, gallery_style

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PAGE, TABLES = "report.html", "tables"
IMAGES = 60  # images in the gallery


@dataclass(frozen=True, slots=True)
class Report:
    """What was made. str() is the text that `engine report` prints."""

    page: str
    figures: int
    images: int
    size: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.page}\n{self.figures} figures, {self.images} images in the gallery, {self.size / 1e6:.1f} MB, "
            f"{self.seconds:.1f} s; the tables are beside it in {TABLES}/"
        )


def report(
    dataset: Dataset,
    *,
    of: str = "",
    compare: str = "",
    out: str = "",
    images: int = IMAGES,
    on_step: Callable[[str], None] | None = None,
) -> Report:
    """Makes the report: `report(data)` writes DATASET/report/report.html.

    `of`: the verdicts or the release to read, "judge/<key>" or "releases/<name>"; by default the current state.
    `compare`: what to show beside it: other verdicts or another release of the data set, or the folder or URL of
    another data set. `out`: another folder for the report. `images`: most images in the gallery; 0: no gallery.
    `on_step` gets what is done next. Raises ConfigError if there is nothing with these names, or if a package is
    missing.
    """
    require("The report", MODULES, extra="report")
    started = time.monotonic()
    vega()
    import_charts()
    storage = Storage(out) if out else dataset.storage
    folder = "" if out else f"{REPORT}/"
    other, other_of = opened(dataset, compare) if compare else (None, "")  # a wrong name is an error before the work
    first, gallery = _measure(dataset, of, images, on_step)
    sets = [first]
    if other:
        sets = _distinct([first, _measure(other, other_of, 0, on_step)[0]])
    own = [one.tables[MEASURED_RULES] for one in (sets if not other or other.url == dataset.url else sets[:1])]
    footer = f"Made by engine report {version('fld5b-engine')} on {datetime.date.today().isoformat()}."
    html = render_page(f"Report: {sets[0].name}", sets, SECTIONS, gallery, footer).encode("utf-8", "replace")
    queries = figure_queries(SECTIONS)
    _write_tables(storage, f"{folder}{TABLES}", queries, sets)
    # A data set that cannot be written may have its report in another folder.
    with contextlib.suppress(*([StorageError] if out else [])):
        _write_rule_values(dataset.storage, own, only=not out)
    storage.put(f"{folder}{PAGE}", html)
    shown = len(gallery.data["images"]) if gallery else 0
    place = f"{storage.url}/{folder}{PAGE}"
    return Report(place, len(queries), shown, len(html), time.monotonic() - started)


def opened(dataset: Dataset, other: str) -> tuple[Dataset, str]:
    """(data set, verdicts or release) to compare with. See `compare` of `report`."""
    if other.partition("/")[0] in (JUDGE, RELEASES):
        dataset.of(other)  # raises if there is none
        return dataset, other
    return Dataset.open(other), ""


def figure_queries(sections: Sequence[Section]) -> list[str]:
    """The names of the queries of all figures, without repetition."""
    return list(dict.fromkeys(figure.query for section in sections for figure in section.figures))


def _measure(
    dataset: Dataset, of: str, images: int, on_step: Callable[[str], None] | None
) -> tuple[Measured, Embedded | None]:
    """The rows of all figures, and a gallery of at most `images` images; None if there are none."""
    name = dataset.url.rpartition("/")[2] + (f" {of}" if of else "")
    arguments = shlex.join(["-d", dataset.url, *(["--of", of] if of else [])])
    with analysis(dataset, of) as con:
        tables = run_queries(con, figure_queries(SECTIONS), on_step)
        tables[MEASURED_RULES] = con.table(MEASURED_RULES).to_arrow_table()
        measured = Measured(name, arguments, tables)
        return measured, _gallery(con, dataset.of(of) if of else dataset, images, on_step)


def _distinct(sets: Sequence[Measured]) -> list[Measured]:
    """The sets under different names, because a chart tells them apart by name."""
    first, second = sets
    name = second.name if second.name != first.name else f"{second.name} (other)"
    return [first, Measured(name, second.arguments, second.tables)]


def _gallery(
    con: DuckDBPyConnection, dataset: Dataset, images: int, on_step: Callable[[str], None] | None
) -> Embedded | None:
    if not images:
        return None
    if on_step:
        on_step("gallery")
    sample = gallery_sample(dataset, con, limit=images)
    if not sample["images"]:
        return None
    shown, total = len(sample["images"]), sample["total"]
    number = f"All {total:,} images of the data set" if shown == total else f"{shown:,} of {total:,} images"
    reading = (
        f"{number}. They are chosen by the query {QUERY}, in turns for each reason why an image is worth looking at; "
        "each image lists its reasons. Pictures are small copies."
    )
    return Embedded(compact(sample), gallery_style(), gallery_script(EMBEDDED), reading)


def _write_tables(storage: Storage, folder: str, queries: Sequence[str], sets: Sequence[Measured]) -> None:
    """Writes the rows of each query. Deletes tables of figures that the report no longer has.

    Each file is complete when it gets its name, but is not flushed, which would take half a second for all: after a
    power failure the report can be made again.
    """
    files = {f"{query}.parquet": query for query in queries}
    for name in storage.names(folder):
        if name not in files:
            storage.remove(f"{folder}/{name}")
    tables = {one.name: one.tables for one in sets}
    storage.put_unflushed({f"{folder}/{name}": _parquet(with_set(tables, query)) for name, query in files.items()})


def _write_rule_values(storage: Storage, measured: Sequence[pa.Table], *, only: bool) -> None:
    """Writes the tables that the view `rule_values` reads. `only`: deletes those of other verdicts.

    They are in the data set, also if the report is not: otherwise its SQL would give nothing there.
    """
    files = {rule_values_file(table["verdicts"][0].as_py()): table for table in measured if table.num_rows}
    for name, table in files.items():
        storage.put(name, _parquet(table))
    for name in storage.names(RULE_VALUES_FOLDER) if only else ():
        if f"{RULE_VALUES_FOLDER}/{name}" not in files:
            storage.remove(f"{RULE_VALUES_FOLDER}/{name}")


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
