"""Numbers of the page against the SQL that the page shows, run through `engine query` as a reader would."""

from __future__ import annotations

import json
import random
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pipelines.cli.commands import app
from tests.browser.reports import READY, MadeReport, Reports
from tests.browser.visit import visited

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DRAWN = 10
SHOWN = """() => [...document.querySelectorAll('.figure:has(table.sortable)')].map(figure => ({
    title: figure.querySelector('h3').textContent,
    command: figure.querySelector('.command').textContent,
    sql: figure.querySelector('pre').textContent,
    columns: [...figure.querySelectorAll('thead th')].map(header => header.dataset.column),
    rows: [...figure.querySelector('table.sortable').tBodies[0].rows].map(row =>
        [...row.cells].map(cell => cell.textContent)),
}))"""


@pytest.mark.parametrize("name", ["demo", "people", "refined"])
@pytest.mark.parametrize("seed", [1, 2])
def test_figures_drawn_by_lot_equal_their_sql(browser: Browser, reports: Reports, name: str, seed: int) -> None:
    with visited(browser, reports[name].page, ready=READY) as visit:
        figures = visit.page.evaluate(SHOWN)

    drawn = random.Random(seed).sample(figures, min(DRAWN, len(figures)))
    numbers = sum(_check(figure, reports[name], pasted=index % 2 == 0) for index, figure in enumerate(drawn))

    assert numbers > 2 * len(drawn)


def _check(figure: dict[str, Any], made: MadeReport, *, pasted: bool) -> int:
    """Compares each cell with the row of the query. Returns how many numbers were compared.

    pasted: runs the SQL of the page; otherwise the command of the page.
    """
    command = ["engine", "query", "-d", str(made.dataset), figure["sql"]] if pasted else shlex.split(figure["command"])
    result = CliRunner().invoke(app, [*command[1:], "--format", "json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert len(figure["rows"]) == len(rows), figure["title"]
    numbers = 0
    for shown, row in zip(figure["rows"], rows, strict=True):
        for text, column in zip(shown, figure["columns"], strict=True):
            value = row[column]
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert _reads(text, value), (figure["title"], column, text, value)
                numbers += 1
            elif value is None:
                assert text == "\u2013", (figure["title"], column, text)
            elif isinstance(value, str) and len(value) < 100 and value.isprintable():
                assert text == value, (figure["title"], column)
    return numbers


def _reads(text: str, value: float) -> bool:
    """Whether a text such as 1,234.5 or 12.3 % is the value, to the digits it has."""
    found = re.fullmatch(r"(-?[\d,]+(?:\.(\d+))?)( %)?", text)
    if not found:
        return False
    scale = 100 if found[3] else 1
    decimals = len(found[2] or "")
    # Zeros at the end are left out, so an exact value may have fewer digits than its precision.
    slack = 0.5 * 10.0**-decimals if decimals else 0.0 if isinstance(value, int) else 0.005
    return abs(float(found[1].replace(",", "")) - scale * value) <= slack + 1e-9 * abs(value)
