"""The list of findings and the cards of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from engine.reading.sql import named_queries, named_query
from pipelines.analyse.figure import Figure, Section
from pipelines.analyse.findings import Card, cards, findings
from pipelines.analyse.page import Measured, render_page
from pipelines.analyse.sections import SECTIONS

_COLUMNS = ("severity", "finding", "number", "expected", "figure")
_SECTION = Section(
    "overview",
    "Overview",
    "",
    (
        Figure(query="findings_inputs", title="Inputs", form="findings"),
        Figure(query="findings_rules", title="Rules", form="findings"),
        Figure(query="licences", title="Licences"),
    ),
)


def measured(inputs: Sequence[tuple[str, str, str]], rules: Sequence[tuple[str, str, str]]) -> Measured:
    """A data set with these findings: (severity, sentence, figure)."""
    found = {
        name: pa.table({column: pa.array([], pa.string()) for column in _COLUMNS})
        if not rows
        else pa.Table.from_pylist([dict(zip(_COLUMNS, (a, b, 1.0, "0", c), strict=True)) for a, b, c in rows])
        for name, rows in (("findings_inputs", inputs), ("findings_rules", rules))
    }
    return Measured("data", "-d data", {**found, "licences": pa.table({"licence": ["by"], "images": [3]})})


def test_findings_of_all_queries_are_one_list_with_the_most_serious_first() -> None:
    one = measured([("note", "b", "licences"), ("warning", "c", "licences")], [("serious", "a", "elsewhere")])
    ((name, found),) = findings(_SECTION, [_SECTION], [one])
    assert name == "data"
    assert [(item.severity, item.sentence, item.figure) for item in found] == [
        ("serious", "a", ""),
        ("warning", "c", "licences"),
        ("note", "b", "licences"),
    ]


def test_a_finding_is_a_link_to_its_figure_and_its_text_is_escaped() -> None:
    one = measured([("serious", "Source '<b>x</b>' gave no image.", "licences")], [])
    html = render_page("r", [one], [_SECTION], None, "")
    assert "Source &#39;&lt;b&gt;x&lt;/b&gt;&#39; gave no image." in html
    assert '<a href="#figure-licences">Licences</a>' in html
    assert 'id="figure-licences"' in html


def test_without_findings_the_page_says_so() -> None:
    assert "no limit below is crossed" in render_page("r", [measured([], [])], [_SECTION], None, "")


def test_a_card_has_a_number_and_a_remark() -> None:
    assert cards([{"measure": "images", "number": 12345, "note": None}]) == [Card("images", "12,345", "")]


def test_all_queries_of_findings_are_in_the_overview() -> None:
    shown = {figure.query for section in SECTIONS for figure in section.figures if figure.form == "findings"}
    assert shown == {name for name in named_queries() if name.startswith("findings_")}


def test_every_figure_that_a_finding_names_is_on_the_page() -> None:
    shown = {figure.query for section in SECTIONS for figure in section.figures}
    for name in (name for name in named_queries() if name.startswith("findings_")):
        linked = set(re.findall(r"'(\w+)'", named_query(name))) & set(named_queries())
        assert linked, name
        assert linked <= shown, name
