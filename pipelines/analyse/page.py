"""Renders the page of the report: one HTML file that needs no network and no other file.

Its Content-Security-Policy allows only the scripts and styles of the page itself, by their hashes, so text from data
cannot become code. jinja2 escapes all text. JSON for the scripts is escaped too, because `</script>` would end it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.errors import EngineError
from engine.reading.sql import named_query
from pipelines.analyse.figure import Figure, Section
from pipelines.analyse.findings import Card, cards, findings
from pipelines.analyse.numbers import short
from pipelines.analyse.table_cells import Grid, grid_of
from pipelines.analyse.tables import rows_of, with_set

_ASSETS = Path(__file__).parent / "assets"
_BUNDLE = """import sys, vl_convert
sys.stdout.buffer.write(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode())"""
_LONGEST_VALUE = 500  # characters of a string that a column is sorted by


@dataclass(frozen=True, slots=True)
class Measured:
    """A data set of the page. `name`: for people. `arguments`: of `engine query`, to read the same annotations."""

    name: str
    arguments: str
    tables: Mapping[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A gallery for the page: its data, its style and its script. `reading`: the sentence above it."""

    data: Mapping[str, Any]
    style: str
    script: str
    reading: str


@dataclass(frozen=True, slots=True)
class _Shown:
    """A figure as the template reads it. `name`: its anchor, unique on the page."""

    name: str
    title: str
    reading: str
    empty: str
    grid: Grid
    chart: bool
    open: bool
    cards: Sequence[Card]
    sql: str
    command: str


def render_page(
    title: str, sets: Sequence[Measured], sections: Sequence[Section], gallery: Embedded | None, footer: str
) -> str:
    """The HTML of the page. `sets`: one data set, or two that are compared."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    charts: dict[str, Any] = {}
    names = _names(sections)
    shown = [
        (section, [_figure(next(names), figure, sets, charts) for figure in section.figures]) for section in sections
    ]
    style = _asset("page.css") + (gallery.style if gallery else "")
    scripts = [vega().result(), _asset("page.js"), *([gallery.script] if gallery else [])]
    scripts = [script.replace("</script", "<\\/script").replace("<!--", "<\\!--") for script in scripts]
    loader = FileSystemLoader(_ASSETS)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cut"] = lambda text: short(text, _LONGEST_VALUE)
    return environment.get_template("page.html").render(
        title=short(title),
        sets=sets,
        sections=[
            {**_heading(section), "figures": figures, "findings": findings(section, sections, sets)}
            for section, figures in shown
        ],
        gallery=Markup(json_block(gallery.data)) if gallery else "",
        gallery_reading=gallery.reading if gallery else "",
        in_gallery={image["id"] for image in gallery.data["images"]} if gallery else set(),
        charts=Markup(json_block(charts)),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        policy=content_security_policy([style], scripts),
        footer=footer,
    )


def content_security_policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """A policy that allows these inline scripts and styles, pictures in `data:` URLs, and nothing else."""
    allowed = {
        "script-src": " ".join(map(_digest, scripts)),
        "style-src": " ".join(map(_digest, styles)),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(["default-src 'none'", *(f"{name} {value}" for name, value in allowed.items())])


def json_block(value: Any) -> str:
    """JSON for a `<script type="application/json">`. Characters with a meaning in HTML are escaped."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=str)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _heading(section: Section) -> dict[str, Any]:
    return {"name": section.name, "title": section.title, "reading": section.reading}


def _names(sections: Sequence[Section]) -> Iterator[str]:
    """The name of each figure in order: that of its query, with a number if an earlier figure has the same query."""
    used = Counter[str]()
    for section in sections:
        for figure in section.figures:
            used[figure.query] += 1
            yield figure.query if used[figure.query] == 1 else f"{figure.query}-{used[figure.query]}"


def _figure(name: str, figure: Figure, sets: Sequence[Measured], charts: dict[str, Any]) -> _Shown:
    """The figure for the template. Adds its chart, if it has one, to `charts`."""
    tables = [one.tables[figure.query] for one in sets]
    if figure.chart and (spec := chart_of(figure, sets)):
        charts[name] = spec
    return _Shown(
        name=name,
        title=figure.title,
        reading=figure.reading,
        empty=figure.empty,
        grid=grid_of(figure, tables),
        chart=name in charts,
        open=figure.table,
        cards=cards(rows_of(tables[0])) if figure.form == "cards" else (),
        sql=named_query(figure.query),
        command="\n".join(f"engine query --named {figure.query} {one.arguments}" for one in sets),
    )


def chart_of(figure: Figure, sets: Sequence[Measured]) -> dict[str, Any] | None:
    """The figure's chart as Vega-Lite, or None if there is nothing to draw."""
    from altair.utils.schemapi import debug_mode

    assert figure.chart
    rows = rows_of(with_set({one.name: one.tables for one in sets}, figure.query))
    if not rows:
        return None
    with debug_mode(False):  # altair need not check each chart: tests do
        chart = figure.chart([{"set": sets[0].name, **row} for row in rows])
        if chart is None:
            return None
        spec: dict[str, Any] = chart.to_dict(validate=False)
    spec.pop("config", None)  # colours and fonts come from the page
    return spec


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def import_charts() -> None:
    """Starts to import altair in a thread, which takes a quarter of a second: DuckDB can work meanwhile."""
    ThreadPoolExecutor(1).submit(importlib.import_module, "altair")


@cache
def vega() -> Future[str]:
    """The script that draws Vega-Lite charts. It defines window.vegaEmbed.

    It is made in another process, which takes a second: whoever calls this early need not wait for it later. In a
    thread it would stop all others, because vl_convert keeps Python's lock.
    """
    return ThreadPoolExecutor(1).submit(_bundled)


def _bundled() -> str:
    made = subprocess.run([sys.executable, "-P", "-c", _BUNDLE], check=False, capture_output=True, encoding="utf-8")
    if made.returncode:
        raise EngineError(f"vl_convert could not make the script of the charts: {made.stderr.strip()[-500:]}")
    return made.stdout
