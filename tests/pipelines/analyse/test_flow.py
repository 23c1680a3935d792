"""The pictures of the funnel: positions follow from the rows."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("altair", reason="the report needs the extra 'report'")

from pipelines.analyse.flow import flow
from pipelines.analyse.sections.funnel import SECTION

_CHARTS = {figure.query: figure.chart for figure in SECTION.figures}


def step(kind: str, name: str, number: int, share: float, data_set: str = "a") -> dict[str, Any]:
    return {"annotation_type": kind, "step": name, "number": number, "share": share, "set": data_set}


REGIONS = [
    step("regions", "given", 10, 1.0),
    step("regions", "merged", 4, 0.4),
    step("regions", "min_score", 1, 0.1),
    step("regions", "kept", 3, 0.3),
    step("regions", "pending", 2, 0.2),
]


def layers(chart: Any) -> list[list[dict[str, Any]]]:
    """The rows of each layer. The first layer is that of the names of the lanes."""
    assert chart is not None
    spec = chart.to_dict()
    data = [layer["data"] for layer in spec["layer"]]
    return [one["values"] if "values" in one else spec["datasets"][one["name"]] for one in data]


def test_the_flow_narrows_by_what_each_step_takes() -> None:
    _, bars, curves, texts = layers(flow(REGIONS))
    assert [(bar["step"], bar["y"]) for bar in bars] == [
        ("given", 0),
        ("merged", 1),
        ("min_score", 2),
        ("pending", 3),  # before what is kept, because it is not kept yet
        ("kept", 4),
    ]
    assert [bar["x2"] for bar in bars] == pytest.approx([1.0, 0.6, 0.5, 0.3, 0.3])
    tops = [point for point in curves if point["y"] == point["ribbon"]]
    assert [(point["step"], point["part"]) for point in tops] == [
        ("merged", "taken"),
        ("min_score", "taken"),
        ("pending", "pending"),
    ]
    assert [point["x2"] - point["x"] for point in tops] == pytest.approx([0.4, 0.1, 0.2])
    assert [text["text"] for text in texts] == ["10", "−4 · 40.0 %", "−1 · 10.0 %", "−2 · 20.0 %", "3 · 30.0 %"]


def test_two_data_sets_have_a_flow_each() -> None:
    both = [*REGIONS, step("regions", "given", 4, 1.0, "b"), step("regions", "kept", 4, 1.0, "b")]
    names = layers(flow(both))[0]
    assert [name["lane"][4:] for name in names] == [
        "Regions, a",
        "merged",
        "min_score",
        "pending",
        "kept",
        "",
        "Regions, b",
        "kept",
    ]


def test_without_rows_there_is_no_flow() -> None:
    assert flow([]) is None


def test_bars_of_a_bin_stand_on_each_other_and_the_highest_fills_the_lane() -> None:
    def row(at: int, outcome: str, number: int) -> dict[str, Any]:
        own = {"annotation_type": "regions", "rule": "min_score", "threshold": 0.3, "value_from": 0.3, "value_to": None}
        return own | {"bin": at, "outcome": outcome, "number": number, "set": "a"}

    chart = _CHARTS["rule_histogram"]
    assert chart
    _, bars, thresholds = layers(chart([row(-1, "taken", 4), row(0, "taken", 4), row(0, "kept", 12)]))
    assert [(bar["number"], bar["part"]) for bar in bars] == [(4, "taken"), (4, "taken"), (12, "kept")]
    assert [bar["x"] for bar in bars] == pytest.approx([-0.95, 0.05, 0.05])
    heights = [bar["y2"] - bar["y"] for bar in bars]
    assert heights == pytest.approx([0.46, 0.23, 0.69])  # square roots of 4 and 16 are 1 to 2
    assert bars[1]["y"] == pytest.approx(bars[2]["y2"])
    assert thresholds == [{"x": 0, "y": 0, "y2": 1}]


def test_histograms_of_two_data_sets_stand_below_each_other() -> None:
    def row(rule: str, threshold: float, data_set: str) -> dict[str, Any]:
        own = {"annotation_type": "regions", "value_from": None, "value_to": None, "bin": 0, "outcome": "kept"}
        return own | {"rule": rule, "threshold": threshold, "set": data_set, "number": 1}

    chart = _CHARTS["rule_histogram"]
    assert chart
    first = [row("min_score", 0.3, "a"), row("nms", 0.5, "a")]
    names = layers(chart([*first, row("min_score", 0.6, "b")]))[0]
    assert [name["lane"] for name in names] == ["000 min_score 0.3", "001 other: 0.6", "002 nms 0.5"]
