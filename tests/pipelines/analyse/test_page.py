"""The page: nothing from data becomes markup, and two data sets stand beside each other."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pyarrow as pa

from pipelines.analyse.charts import bars
from pipelines.analyse.figure import Figure, Section
from pipelines.analyse.page import Embedded, Measured, json_block, render_page
from pipelines.analyse.table_cells import grid_of

_HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


def _page(*sets: Measured) -> str:
    labels = Figure(
        query="labels",
        title="Labels",
        key=("label",),
        chart=lambda rows: bars(
            rows, of="label", by="kept", titles={"label": "label", "kept": "kept"}, description="labels"
        ),
    )
    return render_page("Report", sets, [Section("tails", "Long tails", "", (labels,))], None, "footer")


def _measured(name: str, **columns: list[object]) -> Measured:
    return Measured(name, f"-d {name}", {"labels": pa.table(columns)})


def test_markup_in_a_label_or_name_is_only_text() -> None:
    html = _page(_measured(_HOSTILE, label=[_HOSTILE], kept=[3]))
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html


def test_the_policy_allows_exactly_the_scripts_and_styles_of_the_page() -> None:
    html = _page(_measured("a", label=["dog"], kept=[3]))
    policy = re.search('Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src &#39;none&#39;;")
    bodies = re.findall("<style>(.*?)</style>", html, re.S) + re.findall(
        '<script type="module">(.*?)</script>', html, re.S
    )
    digests = {f"sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}" for body in bodies}
    assert set(re.findall("sha256-[A-Za-z0-9+/=]+", policy[1])) == digests


def test_json_for_a_script_holds_no_markup() -> None:
    assert json_block({"a": "</script>&"}) == '{"a":"\\u003c/script\\u003e\\u0026"}'


def test_two_data_sets_share_the_line_of_a_label() -> None:
    figure = Figure(query="labels", title="Labels", key=("label",))
    first = pa.table({"label": ["dog", "cat"], "kept": [3, 1]})
    second = pa.table({"label": ["cat", "cow"], "kept": [4, 2]})
    rows = grid_of(figure, [first, second]).rows
    assert [[cell.text for cell in row] for row in rows] == [["dog", "3"], ["cat", "1"], ["cow", "–"]]
    assert [(row[1].other, row[1].difference) for row in rows] == [("", ""), ("4", "−3"), ("2", "")]


def test_a_chart_of_two_data_sets_has_both() -> None:
    html = _page(_measured("a", label=["dog"], kept=[3]), _measured("b", label=["dog"], kept=[5]))
    charts = re.search('id="charts">(.*?)</script>', html)
    assert charts
    assert '"set":"a"' in charts[1]
    assert '"set":"b"' in charts[1]


def test_two_figures_of_one_query_have_their_own_charts_and_anchors() -> None:
    def chart(by: str) -> Figure:
        titles = {"label": "label", by: by}
        return Figure(
            query="labels", title=by, chart=lambda rows: bars(rows, of="label", by=by, titles=titles, description=by)
        )

    section = Section("tails", "Long tails", "", (chart("kept"), chart("dropped")))
    html = render_page("Report", [_measured("a", label=["dog"], kept=[3], dropped=[1])], [section], None, "footer")
    charts = re.search('id="charts">(.*?)</script>', html)
    assert charts
    found = json.loads(charts[1])
    assert {name: chart["description"] for name, chart in found.items()} == {"labels": "kept", "labels-2": "dropped"}
    anchors = re.findall(' id="([^"]*)"', html)
    assert len(anchors) == len(set(anchors))


def test_an_image_that_the_gallery_shows_is_a_link_into_it() -> None:
    figure = Figure(query="barely_passed", title="Nearest")
    gallery = Embedded({"images": [{"id": "0a"}]}, "", "", "")
    rows = Measured("a", "", {"barely_passed": pa.table({"image_id": ["0a", "0b"], "what": ["0a", "cat"]})})
    html = render_page("Report", [rows], [Section("funnel", "Rules", "", (figure,))], gallery, "")
    assert re.findall('href="#image=([^"]*)"', html) == ["0a"]
    assert "<bdi>0b</bdi>" in html
