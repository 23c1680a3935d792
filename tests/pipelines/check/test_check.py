"""`engine check` finds damage: single bits, control files, lost records."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.errors import EngineError
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from pipelines.check.check import check
from pipelines.cli.commands import app
from pipelines.recipe import Recipe
from pipelines.stages import run as stages
from tests.pipelines.check.damage import (
    assert_one_sentence,
    contents,
    cut_in_half,
    empty,
    fill_with_zeros,
    findings,
    first_file,
    flip_bit,
    relative_name,
    replace_by_bytes,
    replace_by_folder,
    replace_by_list,
    replace_by_nulls,
    small_recipe,
)


def test_a_finished_data_set_is_sound(made: Path) -> None:
    found = check(str(made / "set"))
    assert found.sound
    assert found.findings == []


def test_sixty_flipped_bits_are_each_found_and_none_changes_an_answer(dataset: Path) -> None:
    files = sorted(path for path in dataset.rglob("*") if path.is_file())
    before_damage = _account(dataset)
    choice = random.Random(12)
    for number in range(60):
        path = choice.choice(files)
        before = path.read_bytes()
        position, bit = choice.randrange(len(before)), choice.randrange(8)
        path.write_bytes(before[:position] + bytes([before[position] ^ 1 << bit]) + before[position + 1 :])
        assert findings(dataset), f"bit {bit} of byte {position} of {path}"
        if number % 4 == 0:  # a query takes a while
            assert _account(dataset) in (before_damage, None), f"bit {bit} of byte {position} of {path}"
        path.write_bytes(before)


def _account(dataset: Path) -> Any:
    """None if an error names the damage."""
    try:
        found = account(Dataset.open(str(dataset)))
    except EngineError:
        return None
    return found.inputs, found.outcomes, found.annotations, found.shards, found.failures


def test_a_damaged_data_file_stops_a_release_and_is_named(made: Path, dataset: Path) -> None:
    path = first_file(dataset, "objects/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:])
    with pytest.raises(EngineError, match=f"'{relative_name(dataset, path)}' is damaged.*--repair"):
        stages.run(_renamed(made), stage="emit", runner="inline")
    assert not (dataset / "releases/v2/manifest.json").exists()


def _renamed(made: Path) -> Recipe:
    recipe = small_recipe(made)
    return recipe.model_copy(update={"emit": recipe.emit.model_copy(update={"name": "v2"})})


# --- control files ---------------------------------------------------------------------------------


_WAYS = (empty, cut_in_half, fill_with_zeros, replace_by_list, replace_by_nulls, replace_by_bytes, replace_by_folder)
_CONTROL = (
    "current.json",
    "dataset.json",
    "releases/v1/manifest.json",
    "runs/*/run.json",
    "images/00001.json",
    "inputs/00000.json",
    "splits/00000.json",
    "probe/*/00000.json",
    "boxes/*/00001.json",
    "judge/*/00002.json",
    "emit/*/00000.json",
)
_COMMANDS = (["status"], ["query", "SELECT count(*) FROM regions"], ["query", "FROM runs"])


@pytest.mark.parametrize("pattern", _CONTROL)
def test_every_command_reports_a_damaged_control_file_in_one_sentence(made: Path, dataset: Path, pattern: str) -> None:
    turn = _CONTROL.index(pattern)
    for way in {
        _WAYS[turn % len(_WAYS)],
        _WAYS[(turn + 3) % len(_WAYS)],
        replace_by_nulls if turn < 4 else replace_by_folder,
    }:
        path = first_file(dataset, pattern)
        before = path.read_bytes()
        way(path)
        assert relative_name(dataset, path) in {name for _, name in findings(dataset)}, way
        assert_one_sentence([*_COMMANDS[turn % len(_COMMANDS)], "-d", str(dataset)])
        if pattern.startswith("releases"):
            assert_one_sentence(["verify", str(path.parent)])
            assert_one_sentence(["query", "FROM images", "--of", "releases/v1", "-d", str(dataset)])
        path.rmdir() if path.is_dir() else None
        path.write_bytes(before)


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_a_lost_record_of_an_image_shard_stops_the_run_and_changes_nothing(
    made: Path, dataset: Path, shard: int
) -> None:
    (dataset / f"images/{shard:05d}.json").unlink()
    before = contents(dataset)
    with pytest.raises(EngineError, match=rf"images/{shard:05d}\.json' is gone.*restore it.*do not remove"):
        stages.run(small_recipe(made), runner="inline")
    assert contents(dataset) == before
    assert_one_sentence(["status", "-d", str(dataset)])


def test_an_answer_made_from_a_file_that_is_not_committed_is_stale(dataset: Path) -> None:
    from engine.storage.sealed import seal, unseal

    record = first_file(dataset, "boxes/*/00001.json")
    fields = unseal(record.read_bytes())
    fields["inputs"] = dict.fromkeys(fields["inputs"], "0" * 64)
    record.write_bytes(seal(fields))
    assert findings(dataset) == [("stale", relative_name(dataset, record))]


def test_only_queries_of_pairs_fail_for_a_damaged_release(dataset: Path) -> None:
    path = dataset / "releases/v1/pairs-train-00000.parquet"
    for damage in (lambda: flip_bit(path), lambda: cut_in_half(dataset / "releases/v1/manifest.json")):
        damage()
        result = CliRunner().invoke(app, ["query", "SELECT count(target) FROM pairs", "-d", str(dataset)])
        assert result.exit_code != 0
        assert "releases/v1/" in result.stderr
        assert CliRunner().invoke(app, ["query", "SELECT count(*) FROM images", "-d", str(dataset)]).exit_code == 0


def test_the_exit_code_tells_whether_the_data_set_is_sound(made: Path, dataset: Path) -> None:
    result = CliRunner().invoke(app, ["check", "-d", str(dataset)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"'{dataset}' is sound."
    flip_bit(first_file(dataset, "boxes/*/*.parquet"))
    result = CliRunner().invoke(app, ["check", "-d", str(dataset)])
    assert result.exit_code == 1
    assert "is not sound, 1 thing is wrong: 'engine check --repair' does what is safe." in result.stderr
    result = CliRunner().invoke(app, ["check", "-d", str(dataset), "--repair"])
    assert result.exit_code == 0


def test_a_data_set_without_digests_is_sound_and_up_to_date(made: Path, dataset: Path) -> None:
    for path in dataset.rglob("*.json"):
        fields = json.loads(path.read_bytes())
        path.write_text(json.dumps({name: value for name, value in fields.items() if name != "digest"}, indent=1))
    assert check(str(dataset)).sound
    summary = stages.run(small_recipe(made), runner="inline")
    assert not any(tally.units for tally in summary.tallies.values())
    assert summary.manifest
    assert summary.manifest["name"] == "v1"


def test_a_folder_without_a_data_set_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "-d", str(tmp_path)])
    assert result.exit_code == 2
    assert "is no data set" in result.stderr


def test_reading_commands_write_nothing_into_a_data_set(made: Path) -> None:
    dataset = made / "set"
    before = {str(path): path.stat().st_mtime_ns for path in dataset.rglob("*")}
    image = json.loads(CliRunner().invoke(app, ["query", "FROM images", "--format", "json", "-d", str(dataset)]).stdout)
    for command in (["status"], ["why", image[0]["image_id"]], ["show", "-o", str(made / "sheet.png")], ["check"]):
        assert CliRunner().invoke(app, [*command, "-d", str(dataset)]).exit_code == 0, command
    assert {str(path): path.stat().st_mtime_ns for path in dataset.rglob("*")} == before
