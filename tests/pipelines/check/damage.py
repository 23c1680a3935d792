"""Ways to damage the files of a small data set, and to look at it afterwards."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from pipelines.check.check import check
from pipelines.cli.commands import app
from pipelines.recipe import Recipe, parse_recipe
from tests.runs import recipe_data


def small_recipe(folder: Path) -> Recipe:
    ingest = {"sources": [{"folder": str(folder / "photos")}], "shard_size": 8, "audit": {"fraction": 0.25}}
    data = recipe_data(folder / "set", "", {}, ingest=ingest)
    data["annotate"]["quality"] = {"use": "image_quality"}
    return parse_recipe(data)


def contents(dataset: Path) -> dict[str, bytes]:
    """{path: bytes} of every file outside of runs/."""
    found = {str(path.relative_to(dataset)): path for path in dataset.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("runs/")}


def first_file(dataset: Path, pattern: str) -> Path:
    return sorted(dataset.glob(pattern))[0]


def findings(dataset: Path, *, repair: bool = False) -> list[tuple[str, str]]:
    return [(finding.kind, finding.path) for finding in check(str(dataset), repair=repair).findings]


def relative_name(dataset: Path, path: Path) -> str:
    return str(path.relative_to(dataset))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def replace_by_list(path: Path) -> None:
    path.write_bytes(b"[1, 2]")


def replace_by_nulls(path: Path) -> None:
    path.write_bytes(b'{"nodes": null, "files": 3, "schema_version": 2, "content": 1}')


def replace_by_bytes(path: Path) -> None:
    path.write_bytes(b'\xff\xfe{"\x00')


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def assert_one_sentence(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), (command, repr(result.exception))
    assert result.exit_code in (0, 1, 2)
    assert len(result.stderr.strip().splitlines()) <= 1, result.stderr
