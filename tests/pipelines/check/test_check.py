"""What lies on disk: one flipped bit is named or harmless, every control file may be damaged, and repair heals."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.errors import EngineError
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from pipelines.check.check import check
from pipelines.cli.commands import app
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe_data, release_files


def _recipe(folder: Path) -> Recipe:
    ingest = {"sources": [{"folder": str(folder / "photos")}], "shard_size": 8, "audit": {"fraction": 0.25}}
    data = recipe_data(folder / "set", "", {}, ingest=ingest)
    data["annotate"]["quality"] = {"use": "image_quality"}
    return parse_recipe(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished data set of three shards, and the photos it was made of."""
    folder = tmp_path_factory.mktemp("made")
    draw_photos(folder / "photos", 24)
    stages.run(_recipe(folder), runner="local")
    return folder


@pytest.fixture
def dataset(made: Path) -> Any:
    """The data set, to be damaged; afterwards it is whole again."""
    whole = made / "whole"
    if not whole.exists():
        shutil.copytree(made / "set", whole)
    yield made / "set"
    shutil.rmtree(made / "set")
    shutil.copytree(whole, made / "set")


def _state(dataset: Path) -> dict[str, bytes]:
    """Every file but those of runs."""
    found = {str(path.relative_to(dataset)): path for path in dataset.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("runs/")}


def _one(dataset: Path, pattern: str) -> Path:
    return sorted(dataset.glob(pattern))[0]


def _findings(dataset: Path, *, repair: bool = False) -> list[tuple[str, str]]:
    return [(finding.kind, finding.path) for finding in check(str(dataset), repair=repair).findings]


def _name(dataset: Path, path: Path) -> str:
    return str(path.relative_to(dataset))


def test_a_finished_data_set_is_sound(made: Path) -> None:
    found = check(str(made / "set"))
    assert found.sound
    assert found.findings == []


def test_sixty_flipped_bits_are_each_found_and_none_changes_an_answer(dataset: Path) -> None:
    files = sorted(path for path in dataset.rglob("*") if path.is_file())
    told = _account(dataset)
    choice = random.Random(12)
    for number in range(60):
        path = choice.choice(files)
        before = path.read_bytes()
        place, bit = choice.randrange(len(before)), choice.randrange(8)
        path.write_bytes(before[:place] + bytes([before[place] ^ 1 << bit]) + before[place + 1 :])
        assert _findings(dataset), f"bit {bit} of byte {place} of {path}"
        if number % 4 == 0:  # a query takes a while
            assert _account(dataset) in (told, None), f"bit {bit} of byte {place} of {path}"
        path.write_bytes(before)


def _account(dataset: Path) -> Any:
    """None where an error names what is damaged."""
    try:
        found = account(Dataset.open(str(dataset)))
    except EngineError:
        return None
    return found.inputs, found.outcomes, found.annotations, found.shards, found.failures


def test_a_damaged_data_file_stops_a_release_and_is_named(made: Path, dataset: Path) -> None:
    path = _one(dataset, "objects/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:])
    with pytest.raises(EngineError, match=f"'{_name(dataset, path)}' is damaged.*--repair"):
        stages.run(_renamed(made), stage="emit", runner="local")
    assert not (dataset / "releases/v2/manifest.json").exists()


def _renamed(made: Path) -> Recipe:
    recipe = _recipe(made)
    return recipe.model_copy(update={"emit": recipe.emit.model_copy(update={"name": "v2"})})


# --- control files ---------------------------------------------------------------------------------


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _zeros(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def _list(path: Path) -> None:
    path.write_bytes(b"[1, 2]")


def _null(path: Path) -> None:
    path.write_bytes(b'{"nodes": null, "files": 3, "schema_version": 2, "content": 1}')


def _not_text(path: Path) -> None:
    path.write_bytes(b'\xff\xfe{"\x00')


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


_WAYS = (_empty, _cut, _zeros, _list, _null, _not_text, _folder)
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
_ASKED = (["status"], ["query", "SELECT count(*) FROM regions"], ["query", "FROM runs"])


@pytest.mark.parametrize("pattern", _CONTROL)
def test_a_damaged_control_file_is_one_sentence_for_every_command(made: Path, dataset: Path, pattern: str) -> None:
    turn = _CONTROL.index(pattern)
    for way in {_WAYS[turn % len(_WAYS)], _WAYS[(turn + 3) % len(_WAYS)], _null if turn < 4 else _folder}:
        path = _one(dataset, pattern)
        before = path.read_bytes()
        way(path)
        assert _name(dataset, path) in {name for _, name in _findings(dataset)}, way
        _one_sentence([*_ASKED[turn % len(_ASKED)], "-d", str(dataset)])
        if pattern.startswith("releases"):
            _one_sentence(["verify", str(path.parent)])
            _one_sentence(["query", "FROM images", "--of", "releases/v1", "-d", str(dataset)])
        path.rmdir() if path.is_dir() else None
        path.write_bytes(before)


def _one_sentence(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), (command, repr(result.exception))
    assert result.exit_code in (0, 1, 2)
    assert len(result.stderr.strip().splitlines()) <= 1, result.stderr


@pytest.mark.parametrize("way", [_empty, _list, _folder])
def test_the_run_heals_a_damaged_current_json_and_says_so(
    made: Path, dataset: Path, way: Callable[[Path], None]
) -> None:
    before = (dataset / "current.json").read_bytes()
    way(dataset / "current.json")
    if way is _folder:
        with pytest.raises(EngineError, match="is a folder"):
            stages.run(_recipe(made), runner="local")
        return
    summary = stages.run(_recipe(made), runner="local")
    assert any("current.json was damaged" in note for note in summary.notes)
    assert (dataset / "current.json").read_bytes() == before


@pytest.mark.parametrize("name", ["current.json", "dataset.json"])
def test_repair_writes_the_header_again_from_the_latest_run(dataset: Path, name: str) -> None:
    before = (dataset / name).read_bytes()
    _cut(dataset / name)
    assert _findings(dataset, repair=True) == [("damaged", name)]
    assert (dataset / name).read_bytes() == before
    assert _findings(dataset) == []


# --- damage, repair, run -----------------------------------------------------------------------------


def _swap(dataset: Path, pattern: str) -> None:
    first, second, *_ = sorted(dataset.glob(pattern))
    first.write_bytes(second.read_bytes())


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


_DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a record cut short": lambda d: _cut(_one(d, "boxes/*/00001.json")),
    "a record of another shard": lambda d: _swap(d, "boxes/*/*.json"),
    "a flipped bit in a data file": lambda d: _flip(_one(d, "objects/*/*.parquet")),
    "a data file of another shard": lambda d: _swap(d, "quality/*/*.parquet"),
    "a data file that is gone": lambda d: _one(d, "judge/*/*.parquet").unlink(),
    "an empty data file": lambda d: _empty(_one(d, "probe/*/*.parquet")),
    "a record of an image shard that is gone": lambda d: _one(d, "images/00001.json").unlink(),
    "the last record of the image shards that is gone": lambda d: _one(d, "images/00002.json").unlink(),
    "a damaged record of the inputs": lambda d: _flip(_one(d, "inputs/00000.json")),
    "a record of the splits that is gone": lambda d: _one(d, "splits/00000.json").unlink(),
    "an orphan": lambda d: (d / _name(d, _one(d, "boxes/*/*.parquet").parent) / "00000-deadbeef.parquet").touch(),
    "a damaged run record": lambda d: _empty(_one(d, "runs/*/run.json")),
}


@pytest.mark.parametrize("damage", _DAMAGE)
def test_after_repair_and_a_run_the_data_set_is_byte_for_byte_what_it_was(
    made: Path, dataset: Path, damage: str
) -> None:
    before = _state(dataset)
    _DAMAGE[damage](dataset)
    assert not check(str(dataset)).sound
    assert check(str(dataset), repair=True).sound
    stages.run(_recipe(made), runner="local")
    assert _state(dataset) == before
    assert check(str(dataset)).sound


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_a_lost_record_of_an_image_shard_stops_the_run_and_nothing_is_numbered_anew(
    made: Path, dataset: Path, shard: int
) -> None:
    (dataset / f"images/{shard:05d}.json").unlink()
    before = _state(dataset)
    with pytest.raises(EngineError, match=rf"images/{shard:05d}\.json' is gone.*restore it.*do not remove"):
        stages.run(_recipe(made), runner="local")
    assert _state(dataset) == before
    _one_sentence(["status", "-d", str(dataset)])


def test_a_damaged_table_of_images_is_left_to_a_person(dataset: Path) -> None:
    path = _one(dataset, "images/00001-*.parquet")
    _flip(path)
    found = check(str(dataset), repair=True)
    assert not found.sound
    (finding,) = found.findings
    assert (finding.kind, finding.path) == ("damaged", _name(dataset, path))
    assert "restore it from a backup" in finding.repair
    assert path.exists()


def test_an_answer_that_may_come_out_otherwise_takes_with_it_what_was_made_from_it(dataset: Path) -> None:
    current = dataset / "current.json"
    current.unlink()  # nothing says that the detector is deterministic
    _flip(_one(dataset, "boxes/*/00001-*.parquet"))
    check(str(dataset), repair=True)
    for folder in ("boxes", "objects", "judge"):
        assert not list(dataset.glob(f"{folder}/*/00001*")), folder
        assert len(list(dataset.glob(f"{folder}/*/*.json"))) == 2
    assert len(list(dataset.glob("quality/*/*.json"))) == 3


def test_an_answer_made_from_another_file_than_is_committed_is_stale(dataset: Path) -> None:
    from engine.storage.sealed import seal, unseal

    record = _one(dataset, "boxes/*/00001.json")
    fields = unseal(record.read_bytes())
    fields["inputs"] = dict.fromkeys(fields["inputs"], "0" * 64)
    record.write_bytes(seal(fields))
    assert _findings(dataset) == [("stale", _name(dataset, record))]


def test_damage_in_a_release_is_named_and_the_release_is_left(dataset: Path) -> None:
    for name in ("train-00000.tar", "pairs-00000.parquet", "README.md"):
        if (path := dataset / "releases/v1" / name).exists():
            _flip(path)
            found = check(str(dataset), repair=True)
            assert [(one.kind, one.path) for one in found.findings] == [("damaged", f"releases/v1/{name}")]
            assert "another name" in found.findings[0].repair
            _flip(path)


def test_pairs_of_a_damaged_release_are_an_error_of_whoever_asks_for_them(dataset: Path) -> None:
    path = dataset / "releases/v1/pairs-00000.parquet"
    for damage in (lambda: _flip(path), lambda: _cut(dataset / "releases/v1/manifest.json")):
        damage()
        told = CliRunner().invoke(app, ["query", "SELECT count(target) FROM pairs", "-d", str(dataset)])
        assert told.exit_code != 0
        assert "releases/v1/" in told.stderr
        assert CliRunner().invoke(app, ["query", "SELECT count(*) FROM images", "-d", str(dataset)]).exit_code == 0


def test_a_damaged_manifest_is_written_again_by_the_run_that_made_it(made: Path, dataset: Path) -> None:
    files = release_files(dataset)
    _cut(dataset / "releases/v1/manifest.json")
    stages.run(_recipe(made), runner="local")
    assert release_files(dataset) == files
    assert check(str(dataset)).sound


def test_the_command_prints_a_table_and_exits_by_what_it_found(made: Path, dataset: Path) -> None:
    result = CliRunner().invoke(app, ["check", "-d", str(dataset)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"'{dataset}' is sound."
    _flip(_one(dataset, "boxes/*/*.parquet"))
    result = CliRunner().invoke(app, ["check", "-d", str(dataset)])
    assert result.exit_code == 1
    assert "is not sound, 1 thing is wrong: 'engine check --repair' does what is safe." in result.stderr
    result = CliRunner().invoke(app, ["check", "-d", str(dataset), "--repair"])
    assert result.exit_code == 0


def test_a_data_set_from_before_there_were_digests_is_read_and_nothing_is_done_again(made: Path, dataset: Path) -> None:
    for path in dataset.rglob("*.json"):
        fields = json.loads(path.read_bytes())
        path.write_text(json.dumps({name: value for name, value in fields.items() if name != "digest"}, indent=1))
    assert check(str(dataset)).sound
    summary = stages.run(_recipe(made), runner="local")
    assert not any(tally.units for tally in summary.tallies.values())
    assert summary.manifest
    assert summary.manifest["name"] == "v1"


def test_no_data_set_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "-d", str(tmp_path)])
    assert result.exit_code == 2
    assert "is no data set" in result.stderr


def test_commands_that_read_write_nothing_into_a_data_set(made: Path) -> None:
    dataset = made / "set"
    before = {str(path): path.stat().st_mtime_ns for path in dataset.rglob("*")}
    image = json.loads(CliRunner().invoke(app, ["query", "FROM images", "--format", "json", "-d", str(dataset)]).stdout)
    for command in (["status"], ["why", image[0]["image_id"]], ["show", "-o", str(made / "sheet.png")], ["check"]):
        assert CliRunner().invoke(app, [*command, "-d", str(dataset)]).exit_code == 0, command
    assert {str(path): path.stat().st_mtime_ns for path in dataset.rglob("*")} == before
