"""SQL over a release, or over earlier verdicts, instead of the current ones (`engine query --of`)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import connect, query, run_query
from engine.schema import ANNOTATIONS
from pipelines.stages import run as stages
from tests.builders import Row
from tests.engine.reading.tables import PAPER_TABLES, table
from tests.runs import draw_photos, recipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, str, list[list[Row]]]:
    """A small run with release v1, and a second run with other filters: the data set, the first verdicts and tables."""
    folder = tmp_path_factory.mktemp("made")
    draw_photos(folder / "photos", 7, size=80)

    def chain(floor: float, **changes: Any) -> Any:
        annotate = {
            "boxes": {"use": "fake_detector", "seed": 1, **changes},
            "objects": {"use": "consensus"},
            "captions": {"use": "fake_captioner"},
            "parse": {"use": "spacy_parse"},
            "phrases": {"use": "label_grounder"},
        }
        rules = [{"min_score": {"floor": floor}}, "ungrounded_phrase"]
        return recipe(folder / "set", folder / "photos", {}, annotate=annotate, filter=rules)

    stages.run(chain(0.3), runner="inline")
    first = Dataset.open(str(folder / "set"))
    tables = [table(first, name) for name in PAPER_TABLES]
    for stage in ("annotate", "filter"):
        stages.run(chain(0.9, seed=2), stage=stage, runner="inline")
    return Dataset.open(str(folder / "set")), first.judge, tables


def test_a_release_gives_the_tables_of_the_record_it_was_made_from(made: Any) -> None:
    dataset, _, tables = made
    assert [table(dataset, name, of="releases/v1") for name in PAPER_TABLES] == tables
    assert sum(row["regions"] or 0 for row in tables[0] if row["type"] == "text-phrase-region") > 5


def test_older_verdicts_give_the_tables_of_the_annotations_they_judged(made: Any) -> None:
    dataset, before, tables = made
    assert dataset.judge != before
    assert [table(dataset, name, of=before) for name in PAPER_TABLES] == tables
    assert table(dataset, "annotation_statistics") != tables[0]


def test_every_view_reads_a_release_and_shows_all_rows_as_kept(made: Any) -> None:
    dataset, _, _ = made
    with connect(dataset, of="releases/v1") as con:
        for column in ("images", *ANNOTATIONS, "verdicts", "inputs"):
            assert {row["kept"] for row in run_query(con, f"SELECT kept FROM {column}").to_pylist()} <= {True}
        assert run_query(con, "SELECT * FROM failures").num_rows == 0
        assert run_query(con, "SELECT * FROM runs").num_rows == 3
        where = run_query(con, "SELECT uri, byte_offset, byte_length FROM images LIMIT 1").to_pylist()[0]
    with open(where["uri"], "rb") as tar:
        tar.seek(where["byte_offset"])
        assert tar.read(where["byte_length"]).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["releases/v2", "release/v1", "releases", "v1", "judge/none"])
def test_unknown_verdicts_or_releases_get_the_nearest_name(made: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^Unknown verdicts or release '.*': (did you mean '|known: judge/)[^\n]*$"):
        query(made[0], "SELECT 1", of=name)


def test_verdicts_on_missing_nodes_are_refused(made: Any) -> None:
    dataset, before, _ = made
    renamed = [node for node in dataset.nodes if node.name != "captions"]
    with pytest.raises(
        ConfigError, match=r"^The verdicts 'judge/.*' are on the nodes boxes, captions, judge-regions.*run the recipe"
    ):
        Dataset(dataset.storage, renamed, dataset.judge, dataset.probe).of(before)
