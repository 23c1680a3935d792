"""`engine report` and the stage analyse, on a small data set."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.reading.sql import connect, run_named
from pipelines import load_recipe, open_dataset, report, run
from pipelines.analyse.page import Measured, chart_of
from pipelines.analyse.report import figure_queries
from pipelines.analyse.sections import SECTIONS
from pipelines.analyse.tables import analysis, rows_of, run_queries

_RECIPE = """
dataset: {folder}/data
ingest: {{sources: ["world://?images=4&size=96"]}}
annotate: {{people: {{use: human}}}}
emit: {{name: v1}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "recipe.yaml"
    path.write_text(_RECIPE.format(folder=folder))
    run(load_recipe(path), stage=None, runner="inline")
    return str(path)


def test_each_table_has_the_rows_of_its_query(recipe: str) -> None:
    data = open_dataset(load_recipe(recipe))
    made = report(data)
    assert Path(made.page).stat().st_size == made.size
    with connect(data, measuring=True) as con:
        for name in figure_queries(SECTIONS):
            table = pq.read_table(Path(made.page).parent / "tables" / f"{name}.parquet")
            assert str(table.to_pylist()) == str(run_named(con, name).to_pylist()), name  # as text: NaN is not NaN


def test_every_chart_is_valid_for_altair_and_the_page_has_it_as_it_is(recipe: str) -> None:
    """The page is made without altair's checks, which take longer than making the charts."""
    data = open_dataset(load_recipe(recipe))
    with analysis(data) as con:
        measured = Measured("data", "", run_queries(con, figure_queries(SECTIONS)))
    charts = 0
    for figure in (figure for section in SECTIONS for figure in section.figures if figure.chart):
        rows = [{"set": "data", **row} for row in rows_of(measured.tables[figure.query])]
        chart = figure.chart(rows) if figure.chart and rows else None
        checked = chart.to_dict() if chart else {}
        checked.pop("config", None)
        assert chart_of(figure, [measured]) == (checked or None)
        charts += bool(checked)
    assert charts > 5


def test_the_stage_analyse_writes_the_report_alone(recipe: str) -> None:
    summary = run(load_recipe(recipe), stage="analyse", runner="inline")
    assert summary.report in str(summary)
    assert Path(summary.report).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_comparison_with_nothing_is_one_sentence(recipe: str, tmp_path: Path) -> None:
    data = open_dataset(load_recipe(recipe))
    with pytest.raises(ConfigError, match="verdicts or release"):
        report(data, compare="releases/v9", out=str(tmp_path))


def test_a_release_is_shown_beside_the_data_set(recipe: str, tmp_path: Path) -> None:
    report(open_dataset(load_recipe(recipe)), compare="releases/v1", out=str(tmp_path))
    sets = pq.read_table(tmp_path / "tables" / "annotation_statistics.parquet")["set"].unique().to_pylist()
    assert sets == ["data", "data releases/v1"]
