"""A user's mistake gives one sentence with what to do, the right exit code and no traceback."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli.commands import app
from tests.runs import draw_photos, recipe_data, write_recipe

Data = dict[str, Any]
WRONG, FAILED = 2, 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """A recipe whose data set is ingested, annotated and judged."""
    folder = tmp_path_factory.mktemp("errors")
    draw_photos(folder / "photos", 6)
    data = recipe_data(folder / "set", folder / "photos", {})
    recipe = write_recipe(folder / "recipe.yaml", data)
    for stage in ("ingest", "annotate", "filter"):
        result = CliRunner().invoke(app, ["run", "-c", str(recipe), "--stage", stage, "--runner", "inline"])
        assert result.exit_code == 0, result.output
    return data


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """A recipe over one photo, not run yet."""
    draw_photos(tmp_path / "photos", 1)
    return recipe_data(tmp_path / "set", tmp_path / "photos", {})


def refused(*arguments: str, code: int = WRONG) -> str:
    """The one sentence on stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert result.stdout == "" or (code == FAILED and "failed  skipped" in result.stdout), "a table of what was done"
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("engine: ")
    sentence = lines[0].removeprefix("engine: ")
    assert re.fullmatch(r".*[.?]", sentence), f"a sentence ends: {sentence}"
    return sentence


def run(data: Mapping[str, Any], tmp_path: Path, *arguments: str, code: int = WRONG) -> str:
    recipe = write_recipe(tmp_path / "recipe.yaml", data)
    return refused("run", "-c", str(recipe), "--runner", "inline", *arguments, code=code)


# --- names ---------------------------------------------------------------------------------------


def changed(data: Data, path: str, old: str, new: str) -> Data:
    """The recipe with one key or value misspelt."""
    found = yaml.safe_dump(data)
    assert found.count(old) >= 1, f"{path}: {old} not in the recipe"
    loaded: Data = yaml.safe_load(found.replace(old, new))
    return loaded


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("filter:", "filtre:", r"'filtre'.*did you mean 'filter'\?"),
        ("shard_size:", "shard_sise:", r"'ingest.shard_sise'.*did you mean 'ingest.shard_size'\?"),
        ("use: consensus", "use: consenus", r"'consenus'.*did you mean 'consensus'\?"),
        ("use: consensus", "use: specialists.consensus:Consenus", r"'Consenus'.*did you mean 'Consensus'\?"),
        ("use: consensus", "use: specialists.consenus:Consensus", r"specialists.consenus"),
        ("use: consensus", "user: consensus", r"annotate.objects lacks 'use'"),
        ("use: consensus", "use: consensus, iuo: 0.3", r"annotate.objects \(consensus\) 'iuo'.*did you mean 'iou'\?"),
        ("min_score:", "min_skore:", r"'min_skore'.*did you mean 'min_score'\?"),
        ("floor:", "flor:", r"filter min_score 'flor'.*did you mean 'floor'\?"),
        ("folder:", "foldr:", r"'foldr'.*did you mean 'folder'\?"),
    ],
    ids=[
        "key",
        "key in a section",
        "component",
        "name in a module",
        "module",
        "use",
        "option",
        "filter",
        "filter option",
        "source",
    ],
)
def test_a_typo_gets_the_nearest_valid_name(data: Data, tmp_path: Path, old: str, new: str, expected: str) -> None:
    if ", " in new:
        data["annotate"]["objects"] |= {"iuo": 0.3}
    else:
        data = changed(data, "recipe", old, new)
    assert re.search(expected, run(data, tmp_path))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--stage", "anotate"], r"stage 'anotate'.*did you mean 'annotate'\?"),
        (["--runner", "rai"], r"runner 'rai'.*did you mean 'ray'\?"),
        (["--set", "ingest.shard_sise=3"], r"'ingest.shard_sise'.*did you mean 'ingest.shard_size'\?"),
        (["--set", "filter.min_skore.floor=3"], r"'min_skore'.*did you mean 'min_score'\?"),
        (["--set", "annotate.objects.iuo=0.3"], r"'iuo'.*did you mean 'iou'\?"),
        (["--set", "ingest.shard_size"], r"--set takes key.path=value"),
        (["--set", "dataset.name=x"], r"'dataset'"),
        (["--set", "emit.name=[a: b: c"], r"--set.*is not YAML: line 1"),
        (["--set", "emit.name=../elsewhere"], r"'emit.name'.*'../elsewhere'"),
        (["--set", "ingest.shard_size=many"], r"'ingest.shard_size'.*'many'.*integer"),
        (["--set", "ingest.shard_size=0"], r"'ingest.shard_size'.*greater than or equal to 1"),
        (["--set", "annotate.objects.iou=wide"], r"'iou'.*'wide'.*number"),
    ],
    ids=[
        "stage",
        "runner",
        "set key",
        "set rule",
        "set option",
        "set nothing",
        "set inside a text",
        "set no YAML",
        "set a path for a name",
        "set wrong type",
        "set out of range",
        "set wrong option type",
    ],
)
def test_a_wrong_flag_says_what_is_right(data: Data, tmp_path: Path, arguments: list[str], expected: str) -> None:
    assert re.search(expected, run(data, tmp_path, *arguments))


def test_a_missing_resource_names_the_node_and_the_resource(data: Data, tmp_path: Path) -> None:
    data["annotate"] = {"objects": {"use": "consensus"}}
    assert re.search(r"annotate.objects.*needs boxes, which no node gives: add", run(data, tmp_path))


def test_a_recipe_without_sources_says_what_to_add(data: Data, tmp_path: Path) -> None:
    data["ingest"]["sources"] = []
    assert "add ingest.sources" in run(data, tmp_path)
    assert "add ingest.sources" in run(data, tmp_path, "--dry-run")


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "status", "query"])
def test_a_missing_recipe_is_named(tmp_path: Path, command: str) -> None:
    statement = ["SELECT 1"] if command == "query" else []
    assert re.search(
        r"No recipe at '.*none.yaml': .*-c", refused(command, *statement, "-c", str(tmp_path / "none.yaml"))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dataset: [a", "is not YAML: line 1, column 12: expected"),
        ("just words", "holds the text 'just words', expected keys"),
        ("", "holds nothing, expected keys"),
        ("filter: []", "lacks 'dataset'"),
        ("dataset: a\nfilter: 3", "'filter'"),
        ("dataset: a\nannotate: {x: {use: fake_detector}}\nfilter: [{a: {}, b: {}}]", "A filter is"),
        ("dataset: a\nannotate: {x: {use: fake_detector}}\nfilter: [3]", "'filter.0' in"),
        ("dataset: a\nannotate: {x: fake_detector}", "'annotate.x'"),
        ("dataset: memory://x", "memory://"),
        ("dataset: nosuch://x", "nosuch"),
        ("dataset: ${env:NO_SUCH_VARIABLE}", "'NO_SUCH_VARIABLE', which is not set"),
        ("dataset: ${package:no_such_package}", "'no_such_package', which is not installed"),
    ],
)
def test_an_invalid_recipe_says_why(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    assert expected in refused("run", "-c", str(tmp_path / "recipe.yaml"), "--runner", "inline")


def test_a_folder_or_binary_file_as_recipe_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused("run", "-c", str(tmp_path))
    (tmp_path / "recipe.yaml").write_bytes(b"dataset: caf\xe9")
    assert "cannot be read" in refused("run", "-c", str(tmp_path / "recipe.yaml"))


def test_a_missing_source_folder_is_named(data: Data, tmp_path: Path) -> None:
    data["ingest"]["sources"] = [{"folder": str(tmp_path / "fotos")}]
    for more in ([], ["--dry-run"]):
        assert re.search(r"No folder '.*/fotos': check", run(data, tmp_path, *more))


def test_an_empty_folder_is_named(data: Data, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    data["ingest"]["sources"] = [{"folder": str(tmp_path / "empty")}]
    for more in ([], ["--dry-run"]):
        assert re.search(r"No files in '.*/empty': give a folder that holds photos", run(data, tmp_path, *more))


def test_a_folder_whose_files_are_all_excluded_is_named(data: Data, tmp_path: Path) -> None:
    data["ingest"]["sources"] = [{"folder": str(tmp_path / "photos"), "exclude": ["*.png"]}]
    message = r"No files in '.*/photos' \(left out: \d+ x a file or folder that exclude matches\): correct include: and"
    assert re.search(message, run(data, tmp_path))


def test_a_file_as_folder_source_is_named(data: Data, tmp_path: Path) -> None:
    data["ingest"]["sources"] = [{"folder": str(tmp_path / "photos" / "00000.png")}]
    assert "give the folder that holds it" in run(data, tmp_path)


# --- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["annotate", "filter", "emit"])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_a_stage_before_ingest_is_refused_and_makes_nothing(
    data: Data, tmp_path: Path, stage: str, dry: list[str]
) -> None:
    assert "run --stage ingest first" in run(data, tmp_path, "--stage", stage, *dry)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_filter_before_annotate_says_what_is_missing(finished: Data, tmp_path: Path, dry: list[str]) -> None:
    other = copy.deepcopy(finished)
    other["annotate"]["boxes"]["seed"] = 3
    message = run(other, tmp_path, "--stage", "filter", *dry)
    assert re.search(r"lacks 1 of 1 shards of 'boxes' .*: run --stage annotate first, or leave --stage out\.", message)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_emit_before_filter_says_what_is_missing(finished: Data, tmp_path: Path, dry: list[str]) -> None:
    other = finished | {"filter": ["min_score", "nms"]}
    message = run(other, tmp_path, "--stage", "emit", *dry)
    assert re.search(r"lacks 1 of 1 shards of 'judge' .*: run --stage filter first, or leave --stage out\.", message)


# --- the data set --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["below a file", "/proc/fld-engine", "/proc/fld/engine"])
def test_an_unwritable_data_set_is_found_at_once(data: Data, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    data["dataset"] = str(tmp_path / "file" / "set") if place == "below a file" else place
    assert re.search(r"The data set '.*' cannot be written: .*--set dataset=FOLDER", run(data, tmp_path, code=FAILED))


def test_a_file_as_data_set_is_refused(data: Data, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data["dataset"] = str(tmp_path / "file")
    assert "cannot be written" in run(data, tmp_path, code=FAILED)


def test_another_shard_size_says_what_to_do(finished: Data, tmp_path: Path) -> None:
    assert "set ingest.shard_size back" in run(finished, tmp_path, "--set", "ingest.shard_size=7")


def test_a_data_set_of_another_schema_is_refused(data: Data, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dataset.json").write_text('{"schema_version": 99, "shard_size": 200}')
    assert "schema version 99" in run(data, tmp_path)


def test_a_component_that_cannot_start_fails_the_run(data: Data, tmp_path: Path) -> None:
    data["annotate"]["boxes"]["start_fails"] = True
    assert "boxes cannot start: RuntimeError: start_fails is set (fakes.py:" in run(data, tmp_path, code=FAILED)


def test_too_many_failures_fail_the_run(data: Data, tmp_path: Path) -> None:
    data["annotate"]["boxes"]["raise_on"] = list("0123456789abcdef")
    data["run"] = {"max_failures": 0}
    assert "more than run.max_failures (0)" in run(data, tmp_path, code=FAILED)


def test_an_existing_release_name_is_refused(finished: Data, tmp_path: Path) -> None:
    import shutil

    own = finished | {"dataset": str(tmp_path / "set")}
    shutil.copytree(finished["dataset"], own["dataset"])
    recipe = write_recipe(tmp_path / "recipe.yaml", own)
    made = CliRunner().invoke(app, ["run", "-c", str(recipe), "--runner", "inline"])
    assert made.exit_code == 0, made.output
    other = own | {"filter": [{"min_score": {"floor": 0.9}}]}
    message = run(other, tmp_path)
    assert re.search(r"'v1' exists and holds other content: choose another name with --set emit.name=NAME\.", message)


# --- commands that read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["SELECT lable FROM regions"], r"lable.*label"),
        (["SELECT * FROM region"], r"region.*regions"),
        (["SELEC 1"], r"syntax"),
        (["DELETE FROM regions"], r"can only read"),
        (["COPY (SELECT 1) TO 'stolen.csv'"], r"can only read"),
        (["SELECT 1; SELECT 2"], r"one statement"),
        ([], r"either a query or --named"),
        (["SELECT 1", "--named", "list"], r"either a query or --named"),
        (["--named", "no_such_query"], r"named query 'no_such_query'"),
        (["SELECT 1", "--format", "jsn"], r"format 'jsn'.*did you mean 'json'\?"),
    ],
)
def test_a_refused_query_says_why(finished: Data, arguments: list[str], expected: str) -> None:
    assert re.search(expected, refused("query", *arguments, "-d", finished["dataset"]))
    assert not Path("stolen.csv").exists()


def test_sql_may_begin_with_a_comment(finished: Data) -> None:
    result = CliRunner().invoke(app, ["query", "-- How many?\nSELECT 41 + 1 AS n", "-d", finished["dataset"]])
    assert result.exit_code == 0, result.output
    assert "42" in result.stdout


@pytest.mark.parametrize("command", [["status"], ["query", "SELECT 1"], ["why", "ab"], ["show"]])
def test_a_folder_without_a_data_set_is_named(tmp_path: Path, command: list[str]) -> None:
    assert "is no data set" in refused(*command, "-d", str(tmp_path))


def test_why_of_an_unknown_image_names_it(finished: Data) -> None:
    assert "zzzz" in refused("why", "zzzz", "-d", finished["dataset"])


def test_an_unknown_component_gets_the_nearest_name(finished: Data) -> None:
    assert "did you mean 'consensus'?" in refused("components", "consenus")
