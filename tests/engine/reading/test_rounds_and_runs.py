"""The view `rounds`, and the named queries about rounds of refinement and about the cost of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.storage.sealed import seal
from tests.builders import Row
from tests.engine.reading.tables import table, values
from tests.handmade import handmade

ACCEPTED: Row = {
    "round": 1,
    "accepted": True,
    "reasons": [],
    "alarms": ["Few 'cups'.\x00 <b>"],
    "measures": {
        "agreement": 0.44444,
        "changed": 0.5,
        "dropped": None,
        "relabelled": 0.25,
        "F1@0.5 before": 0.5,
        "F1@0.5 after": 0.75,
        "F1@0.5 change low": 0.1,
        "F1@0.5 change high": 0.4,
        "label accuracy of 'it's' before": 1,
        "label accuracy of 'it's' after": None,
    },
    "changes": {"added": 2, "moved": 1},
}
REFUSED: Row = {
    "round": 2,
    "accepted": False,
    "reasons": ["It has not learned.", "It drops too much."],
    "alarms": [],
    "measures": {"agreement": 0.0},
    "changes": {"dropped": 7},
}


def with_rounds(dataset: Dataset, *decisions: Row) -> Dataset:
    """The data set, with these decisions on rounds and without changes."""
    names = []
    for one in decisions:
        names.append(f"rounds/{one['round']}-k.json")
        dataset.storage.put(names[-1], seal(one))
    current = json.loads(dataset.storage.read("current.json"))
    dataset.storage.put("current.json", json.dumps({**current, "rounds": names}).encode())
    return Dataset.open(dataset.url)


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return with_rounds(handmade(tmp_path_factory.mktemp("refined")), ACCEPTED, REFUSED)


def test_each_decision_is_a_row(refined: Dataset) -> None:
    rows = query(refined, "SELECT * EXCLUDE (measures, changes), changes['dropped'] AS n FROM rounds").to_pylist()
    assert values(rows, "round", "accepted", "reasons", "alarms", "n") == [
        (1, True, [], ACCEPTED["alarms"], None),
        (2, False, REFUSED["reasons"], [], 7),
    ]


def test_a_damaged_decision_is_left_out(tmp_path: Path) -> None:
    dataset = with_rounds(handmade(tmp_path), ACCEPTED, REFUSED)
    dataset.storage.put("rounds/1-k.json", b"{")
    assert values(query(dataset, "FROM rounds").to_pylist(), "round") == [(2,)]


def test_a_decision_shows_what_the_gate_compared(refined: Dataset) -> None:
    rows = table(refined, "round_decisions")
    assert values(rows, "round", "decision", "agreement", "changed", "dropped", "changes", "reasons", "alarms") == [
        (1, "accepted", 0.444, 0.5, None, 3, 0, 1),
        (2, "refused", 0.0, None, None, 7, 2, 0),
    ]


def test_each_reason_and_alarm_is_a_row(refined: Dataset) -> None:
    assert values(table(refined, "round_reasons"), "round", "kind", "nth", "sentence") == [
        (1, "alarm", 1, "Few 'cups'.\x00 <b>"),
        (2, "reason", 1, "It has not learned."),
        (2, "reason", 2, "It drops too much."),
    ]


def test_scores_before_and_after_a_round(refined: Dataset) -> None:
    rows = table(refined, "round_scores")
    assert values(rows, "figure", "before", "after", "change", "low", "high") == [
        ("F1@0.5", 0.5, 0.75, 0.25, 0.1, 0.4),
        ("label accuracy of 'it's'", 1.0, None, None, None, None),
    ]


def test_changes_of_a_refused_round_are_counted_but_not_part_of_the_set(refined: Dataset) -> None:
    assert values(table(refined, "round_changes"), "round", "decision", "change", "number", "kept") == [
        (1, "accepted", "added", 2, None),
        (1, "accepted", "moved", 1, None),
        (2, "refused", "dropped", 7, None),
    ]


def test_without_rounds_there_are_no_rows(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    names = ("decisions", "reasons", "scores", "changes", "labels", "examples")
    assert [name for name in names if table(dataset, f"round_{name}")] == []


# --- cost ----------------------------------------------------------------------------------------


def recorded(folder: Path, *runs: dict[str, Any]) -> Dataset:
    dataset = handmade(folder)
    for name in dataset.runs():
        dataset.storage.remove_folder(name)
    for number, run in enumerate(runs, 1):
        dataset.storage.put(f"runs/{number:05d}-abcdef/run.json", seal({"error": "", "command": "engine run", **run}))
    return Dataset.open(dataset.url)


def node(name: str, items: int, seconds: float, failed: int = 0) -> Row:
    return {"node": name, "units": 1, "items": items, "failed": failed, "skipped": 0, "worker_seconds": seconds}


def test_the_cost_of_a_node_is_summed_over_runs(tmp_path: Path) -> None:
    first = {"seconds": 9.0, "stage": "all", "nodes": [node("ssd", 100, 6.0, 2), node("probe", 300, 1.0)]}
    second = {"seconds": 4.0, "stage": "annotate", "nodes": [node("ssd", 50, 3.0, 1), node("idle", 0, 0.0)]}
    rows = table(recorded(tmp_path, first, second), "cost_by_node")
    columns = ("runs", "items", "failed", "worker_seconds", "items_per_second", "seconds_per_1000", "share")
    assert values(rows, "node", *columns) == [
        ("ssd", 2, 150, 3, 9.0, 16.7, 60.0, 0.9),
        ("probe", 1, 300, 0, 1.0, 300.0, 3.33, 0.1),
        ("idle", 1, 0, 0, 0.0, None, None, 0.0),
    ]


def test_the_cost_of_a_run_has_its_time_and_that_of_its_workers(tmp_path: Path) -> None:
    good = {"seconds": 9.0, "stage": "all", "nodes": [node("ssd", 100, 6.0, 2), node("probe", 300, 1.5)]}
    bad = {"seconds": 4.0, "stage": "annotate", "nodes": [], "error": "No disk is left."}
    rows = table(recorded(tmp_path, good, bad), "cost_by_run")
    assert values(rows, "run", "seconds", "worker_seconds", "items", "failed", "outcome", "runs") == [
        ("00002-abcdef", 4.0, 0.0, 0, 0, "No disk is left.", 2),
        ("00001-abcdef", 9.0, 7.5, 400, 2, "ended well", 2),
    ]


def test_without_runs_there_is_no_cost(tmp_path: Path) -> None:
    dataset = recorded(tmp_path)
    assert table(dataset, "cost_by_node") == table(dataset, "cost_by_run") == []
