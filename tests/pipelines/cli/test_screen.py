"""Output on a terminal: no control characters, no error for an encoding, one sentence for invalid SQL."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from engine.reading.sql import VIEWS
from engine.reading.view_meanings import MEANINGS, described
from engine.running.progress import NodeTally
from pipelines.cli.commands import app
from pipelines.stages import run as stages
from pipelines.stages.run import Summary
from pipelines.stages.summary import render_summary
from tests.runs import engine, recipe, recipe_data, write_recipe

NAMES = ["猫.png", "red\x1b[31m.png", "two\nlines.png", "plain.png"]
COMMANDS = ["run", "status", "query", "why", "show", "components", "eval", "train", "verify"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released data set of photos with unusual names, and one file that is no image."""
    folder = tmp_path_factory.mktemp("screen")
    (folder / "photos").mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (40 + number, 30), (number, 9, 9)).save(folder / "photos" / name)
    (folder / "photos" / "broken\x1b]0;title\x07.png").write_bytes(b"nothing")
    stages.run(recipe(folder / "set", folder / "photos", {}), runner="inline")
    return folder / "set"


def output_of(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.output


def refused(*arguments: str) -> str:
    sentence = output_of(*arguments, code=2)
    assert re.fullmatch(r"engine: .*[.?]\n", sentence), sentence
    return sentence


# --- flags -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_accepts_h(command: str) -> None:
    assert output_of(command, "-h").startswith("Usage: ")
    assert output_of(command, "-h") == output_of(command, "--help")


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"engine \d+\.\d+\.\d+\n", output_of("--version"))


def test_status_as_json_has_stable_keys(dataset: Path) -> None:
    status = json.loads(output_of("status", "-d", str(dataset), "--format", "json"))
    assert status["inputs"] == 5 == sum(status["outcomes"].values())
    assert status["outcomes"] == {"kept": 4, "filtered": 0, "quarantined": 1, "pending": 0, "duplicates": 0}
    assert status["balanced"] is status["images_balanced"] is True
    assert status["shards"]["images"] == {"done": 1, "of": 1}
    assert status["failures"] == [{"component": "ingest", "reason": "not_an_image", "number": 1}]
    assert status["annotations"]["regions"]["balanced"] is True
    assert {"filtered_by", "splits", "rates", "last_run"} <= set(status)
    assert "'xml'" in refused("status", "-d", str(dataset), "--format", "xml")


# --- the schema -----------------------------------------------------------------------------


def test_every_column_of_every_view_has_a_meaning() -> None:
    rows = described()
    assert [row for row in rows if not row.meaning] == []
    assert {*VIEWS, "truth"} == {view for view in MEANINGS if "." not in view}


def test_the_schema_is_printed_without_a_data_set() -> None:
    table = output_of("query", "--schema")
    assert "pairs: one row for each training pair" in table
    assert max(map(len, table.splitlines())) <= 130
    rows = json.loads(output_of("query", "--schema", "--format", "json"))
    assert {
        "view": "regions",
        "column": "label",
        "type": "VARCHAR",
        "meaning": "class name; '' for a text region",
    } in rows


# --- unusual characters ------------------------------------------------------------------------------


def assert_no_control_characters(text: str) -> None:
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


def test_control_characters_in_names_are_escaped(dataset: Path) -> None:
    place = ("-d", str(dataset))
    for text in (
        output_of("status", *place),
        output_of("query", "SELECT uri, error FROM inputs ORDER BY uri", *place),
        output_of("why", "broken\x1b]0;title\x07.png", *place),
        output_of("why", "red\x1b[31m.png", *place),
        output_of("why", "two\nlines.png", *place),
        refused("why", "re\x1b[31m.png", *place),
        refused("query", "SELECT 'a\x1b[31m' FROM nowhere", *place),
    ):
        assert_no_control_characters(text)
    assert r"red\x1b[31m.png" in output_of("query", "SELECT parse_filename(uri) FROM inputs", *place)
    assert r"two\nlines.png" in output_of("why", "two\nlines.png", *place)


def test_json_has_the_names_unchanged(dataset: Path) -> None:
    """Without a terminal; only a terminal gets escapes."""
    sql = "SELECT parse_filename(uri) AS name FROM images ORDER BY name"
    rows = json.loads(output_of("query", sql, "-d", str(dataset), "--format", "json"))
    assert [row["name"] for row in rows] == sorted(NAMES)


@pytest.mark.parametrize(
    "arguments",
    [("query", "SELECT parse_filename(uri) AS name FROM images"), ("why", "猫.png"), ("status",)],
    ids=["query", "why", "status"],
)
def test_characters_that_the_terminal_cannot_encode_become_escapes(dataset: Path, arguments: tuple[str, ...]) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"}
    done = engine(*arguments, "-d", str(dataset), env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert (r"\u732b" in done.stdout) or arguments == ("status",)


# --- invalid SQL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT", "SELECT"),
        ("SELECT * FROM images WHERE", "syntax"),
        ("SELECT 1;;; SELECT 2", "2 statements"),
        ("/* nothing */", "no statement"),
        (";", "no statement"),
        ("INSERT INTO images VALUES (1)", "can only read"),
        ("WITH x AS (SELECT 1) DELETE FROM images", "can only read"),
        ("ATTACH 'x.db'", "can only read"),
        ("PRAGMA database_list", "can only read"),
        ("SET memory_limit = '1TB'", "can only read"),
        ("INSTALL httpfs", "can only read"),
        ("CALL pragma_version()", "can only read"),
        ("SELECT * FROM read_csv('/etc/passwd')", "/etc/passwd"),
        ("SELECT error('line one' || chr(10) || 'line two')", "line one"),
        ("SELECT CAST('x' AS INTEGER)", "INT"),
        ("SELECT DATE '99999-01-01'", "cast that column to VARCHAR"),
        ("SELECT nofunction(1)", "nofunction"),
        ("SELECT \udcff", "syntax|�|column"),
    ],
)
def test_invalid_sql_gets_one_sentence(dataset: Path, sql: str, sentence: str) -> None:
    assert re.search(sentence, refused("query", sql, "-d", str(dataset)))


def test_an_endless_answer_is_cut(dataset: Path) -> None:
    lines = output_of("query", "SELECT range AS n FROM range(100000000000)", "-d", str(dataset)).splitlines()
    assert lines[-1] == "... more than 1,000,000 more rows: add a LIMIT, or --format csv for all."


# --- pairs and truth ----------------------------------------------------------------------------------------


def test_pairs_come_from_the_latest_or_the_named_release(dataset: Path) -> None:
    sql = "SELECT DISTINCT release, task FROM pairs ORDER BY ALL"
    last = json.loads(output_of("query", sql, "-d", str(dataset), "--format", "json"))
    assert {row["release"] for row in last} == {"v1"}
    assert last == json.loads(output_of("query", sql, "-d", str(dataset), "--format", "json", "--of", "releases/v1"))


def test_only_queries_can_read_truth(tmp_path: Path) -> None:
    """Ten photos with one human box each, half of them in the audit split."""
    (tmp_path / "photos").mkdir()
    images, boxes = [], []
    for number in range(10):
        Image.effect_noise((64, 64), 20 + 9 * number).convert("RGB").save(tmp_path / "photos" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
        boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [8, 8, 20, 20], "iscrowd": 0})
    coco = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "people.json").write_text(json.dumps(coco))
    data = recipe_data(tmp_path / "set", tmp_path / "photos", {})
    data["ingest"]["sources"] = [
        {"coco": {"instances": str(tmp_path / "people.json"), "images": str(tmp_path / "photos")}}
    ]
    data["ingest"]["audit"] = {"fraction": 0.5}
    path = str(write_recipe(tmp_path / "recipe.yaml", data))
    output_of("run", "-c", path, "--stage", "ingest", "--runner", "inline")
    rows = json.loads(output_of("query", "SELECT split, label, x1 FROM truth", "-c", path, "--format", "json"))
    assert {row["label"] for row in rows} == {"cat"}
    assert {row["split"] for row in rows} <= {"audit-fit", "audit-test"}
    assert (
        len(rows)
        == json.loads(
            output_of(
                "query", "SELECT count(*) AS n FROM images WHERE split LIKE 'audit%'", "-c", path, "--format", "json"
            )
        )[0]["n"]
    )
    assert "truth" in refused(
        "show", "--where", "SELECT image_id FROM truth", "-c", path, "-o", str(tmp_path / "s.png")
    )


@pytest.mark.parametrize(("columns", "last"), [(80, "items/s"), (50, "skipped"), (40, "failed"), (10, "node")])
def test_the_table_at_the_end_of_a_run_fits_the_terminal(
    columns: int, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.stages.summary.columns_of", lambda _: columns)
    table = render_summary(Summary("set", tallies={"objects": NodeTally(units=3, items=100)})).splitlines()[1:3]
    assert table[0].split()[-1] == last
    assert all(len(line) < max(columns, 11) for line in table)


def test_the_end_of_a_run_states_the_splits_of_a_release_and_what_is_not_in_it() -> None:
    manifest: Any = {
        "counts": {"images": 27},
        "pairs": {"proven": {}},
        "lost": [],
        "splits": {"train": 24, "valid": 3},
        "left_out": {"cap_label": 2, "where": 1200},
        "formats": {"webdataset": {"left_out": {}}, "yolo": {"left_out": {"kind_text": 1, "not_listed": 4}}},
    }
    lines = render_summary(Summary("set", release="releases/v1", manifest=manifest)).splitlines()
    assert lines[-3:] == [
        "  splits: train 24, valid 3",
        "  kept images left out: 1,202 (1,200 where, 2 cap_label)",
        "  annotations left out of yolo: 5 (4 not_listed, 1 kind_text)",
    ]
