"""semantic_duplicate over several shards, from the embeddings of a node to the verdicts, the dry run and `engine why`.

The embedding of a photo of one colour is its direction in RGB, so a test chooses the distance of two photos by the
angle between their colours: 10 degrees are a distance of .015, 15 of .034, 20 of .060, 30 of .134.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from engine.errors import DamageError, EngineError
from engine.images import semantic_clusters
from engine.images.decode import image_id
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.records.embeddings import embedding_column
from engine.schema import Answer, ImageScore, Sample, record_table
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.check.check import check
from pipelines.explore.why import why
from pipelines.filter.semantic_set import CANDIDATES, Candidates, Compared
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import run
from pipelines.stages.what_if import what_if
from tests.runs import commits, released_ids

Verdicts = dict[str, tuple[str, float | None]]


class Colour:
    """The mean colour as embedding, and its red part as a score. It fails on photos bluer than `fails_above`."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("embeddings", "image_scores")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def __init__(self, *, size: int = 3, fails_above: int = 255) -> None:
        self.embedding_size, self.fails_above = size, fails_above

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(sample) for sample in batch]

    def _answer(self, sample: Sample) -> Answer:
        assert sample.pixels is not None
        mean = sample.pixels.mean(axis=(0, 1))
        if mean[2] > self.fails_above:
            raise ValueError("too blue")
        vector = np.zeros(self.embedding_size, np.float32)
        vector[:3] = mean / np.linalg.norm(mean)
        score = ImageScore("red", float(mean[0]), score=1.0, score_kind="measured")
        return Answer(image_scores=[score], embedding=vector)


def photo(path: Path, degrees: float, *, side: int = 40, blue: int = 0) -> None:
    """A photo of one colour, at this angle between red and green. A larger `side` makes a better photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (round(250 * math.cos(math.radians(degrees))), round(250 * math.sin(math.radians(degrees))), blue)
    Image.new("RGB", (side, side), colour).save(path)


def photos(folder: Path, **angles: tuple[float, int]) -> None:
    """{name: (degrees, side)}"""
    for name, (degrees, side) in angles.items():
        photo(folder / "photos" / f"{name}.png", degrees, side=side)


def recipe(folder: Path, *rules: Any, embed: Mapping[str, Any] | None = None, **ingest: Any) -> Recipe:
    return parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {"sources": [{"folder": str(folder / "photos")}], "shard_size": 2} | ingest,
            "annotate": {"embed": {"use": f"{__name__}:Colour"} | dict(embed or {})},
            "filter": list(rules or ["semantic_duplicate"]),
        }
    )


def verdicts(folder: Path) -> Verdicts:
    """{photo: (the rule that dropped it, '' if it is kept; the value that was compared)}"""
    sql = "SELECT parse_filename(uri, true) AS name, rule, value FROM images ORDER BY name"
    rows = query(Dataset.open(str(folder / "set")), sql).to_pylist()
    return {row["name"]: (row["rule"], row["value"]) for row in rows}


def kept(folder: Path) -> set[str]:
    return {name for name, (rule, _) in verdicts(folder).items() if not rule}


def identifier(folder: Path, name: str) -> str:
    return image_id((folder / "photos" / f"{name}.png").read_bytes())


def test_the_best_of_photos_alike_is_kept_over_several_shards(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 40), b=(10, 50), c=(45, 40), d=(80, 40), e=(75, 40))
    run(recipe(tmp_path), runner="inline")
    assert kept(tmp_path) == {"b", "c", "d"}  # d and e have one size, and d is listed first
    rule, value = verdicts(tmp_path)["a"]
    assert rule == "semantic_duplicate"
    assert value == pytest.approx(1 - math.cos(math.radians(10)), abs=1e-3)


def test_why_names_the_photo_that_stays_and_those_between(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 40), b=(12, 50), c=(24, 60), far=(90, 40))
    run(recipe(tmp_path), runner="inline")
    assert kept(tmp_path) == {"c", "far"}
    dataset = Dataset.open(str(tmp_path / "set"))
    b, c = (identifier(tmp_path, name) for name in "bc")
    assert f"same as   image {c}, by way of {b}\n" in str(why(dataset, "a.png"))
    assert f"same as   image {c}\n" in str(why(dataset, "b.png"))
    assert "same as" not in str(why(dataset, "c.png"))


def test_a_photo_that_an_earlier_rule_dropped_is_compared_with_nothing(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 40), b=(5, 20), c=(10, 30))
    run(recipe(tmp_path, {"min_side": {"pixels": 35}}, "semantic_duplicate"), runner="inline")
    assert [rule for rule, _ in verdicts(tmp_path).values()] == ["", "min_side", "min_side"]


def test_another_eps_needs_no_new_pass(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 40), b=(10, 50), c=(30, 60), d=(90, 40))
    run(recipe(tmp_path), runner="inline")
    before = [path for folder in ("survey", "surveyed") for path in commits(tmp_path / "set", folder)]
    wide = recipe(tmp_path, {"semantic_duplicate": {"eps": 0.1}})
    assert {row.node: row.todo for row in dry_run(wide, stage="filter")} == {"survey": 0, "judge": 2}
    run(wide, runner="inline")
    assert kept(tmp_path) == {"c", "d"}
    assert [path for folder in ("survey", "surveyed") for path in commits(tmp_path / "set", folder)] == before


def test_the_dry_run_shows_the_share_kept_by_eps(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 40), b=(10, 50), c=(30, 60), d=(90, 40))
    run(recipe(tmp_path, {"min_side": {"pixels": 1}}), runner="inline")
    before = sorted(path for path in (tmp_path / "set").rglob("*"))
    found = what_if(recipe(tmp_path))
    assert found.columns["images"].rules == {"semantic_duplicate": [0, 1]}
    assert "semantic_duplicate: kept at eps     0.01    0.02    0.05     0.1    0.15     0.2\n" in str(found)
    curve = "  of 4 training images            100.0%   75.0%   75.0%   50.0%   50.0%   50.0%"
    assert curve in str(found)
    assert "audit" not in str(found)
    assert sorted(path for path in (tmp_path / "set").rglob("*")) == before
    run(recipe(tmp_path), runner="inline")
    assert str(what_if(recipe(tmp_path))).startswith("Nothing would change")
    assert curve in str(what_if(recipe(tmp_path)))


def test_the_dry_run_reads_a_committed_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path, a=(0, 40), b=(10, 50), c=(30, 60))
    run(recipe(tmp_path), runner="inline")
    monkeypatch.setattr("pipelines.filter.semantic_set.nearest_better", None)  # calling it would fail
    found = what_if(recipe(tmp_path, {"semantic_duplicate": {"eps": 0.1}}))
    assert (found.columns["images"].now, found.columns["images"].then) == (2, 1)


def test_shards_of_another_size_and_clusters_give_the_same_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    made = {f"p{n:02d}": (float(random.uniform(0, 90)), int(random.integers(20, 24))) for n in range(60)}
    for name in ("one", "other"):
        photos(tmp_path / name, **made)
    run(recipe(tmp_path / "one", {"semantic_duplicate": {"eps": 0.0005}}, shard_size=7), runner="inline")
    monkeypatch.setattr(semantic_clusters, "CLUSTER", 10)
    run(recipe(tmp_path / "other", {"semantic_duplicate": {"eps": 0.0005}}, shard_size=25), runner="inline")
    assert verdicts(tmp_path / "one") == verdicts(tmp_path / "other")
    assert 5 < len(kept(tmp_path / "one")) < 55


def test_a_grown_data_set_is_compared_as_a_whole_again(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 40), b=(10, 50), c=(60, 40))
    run(recipe(tmp_path), runner="inline")
    photos(tmp_path, z=(5, 90))
    run(recipe(tmp_path), runner="inline")
    assert kept(tmp_path) == {"c", "z"}
    assert all(row.todo == 0 for row in dry_run(recipe(tmp_path)) if row.node != "emit")


def test_photos_without_an_embedding_are_near_nothing(tmp_path: Path) -> None:
    photos(tmp_path, a=(0, 41), b=(1, 40))
    for name in "cd":
        photo(tmp_path / "photos" / f"{name}.png", 2, side=90, blue=120 + ord(name))
    run(recipe(tmp_path, embed={"fails_above": 100}), runner="inline")
    assert [rule for rule, _ in verdicts(tmp_path).values()] == ["", "semantic_duplicate", "failed", "failed"]


def test_embeddings_of_two_lengths_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "set"))
    shards = []
    for number, size in enumerate((3, 4)):
        vectors = embedding_column([np.eye(size)[0]], size)
        answers = record_table([{"image_id": f"{number:032x}"}]).append_column("embedding", vectors)
        table = pa.table([[0], [f"{number:032x}"], [9], [9], [False]], schema=CANDIDATES)
        shards.append(Candidates(1, lambda table=table: table, Commits(storage, "embed/1").put_table(number, answers)))
    with pytest.raises(
        EngineError, match=r"'embed/1/00001.* has embeddings of 4 numbers, those of other shards have 3: annotate all"
    ):
        Compared(storage, shards, pa.array([], pa.string()), str(tmp_path))


def test_a_shard_of_which_a_crash_lost_every_image_has_nothing_to_compare(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "set"))
    answers = record_table([{"image_id": "0" * 32}])  # without the column `embedding`
    table = pa.table([[0], ["0" * 32], [9], [9], [False]], schema=CANDIDATES)
    lost = Candidates(1, lambda: table, Commits(storage, "embed/1").put_table(0, answers))
    assert Compared(storage, [lost], pa.array([], pa.string()), str(tmp_path)).table(0).num_rows == 0


def test_a_lost_table_of_distances_is_made_again(tmp_path: Path) -> None:
    photos(tmp_path, z=(0, 40), b=(10, 50), c=(60, 40))
    run(recipe(tmp_path), runner="inline")
    assert check(str(tmp_path / "set")).sound
    (folder,) = (tmp_path / "set" / "surveyed").glob("*-semantic")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "00001.json").unlink()
    with pytest.raises(DamageError, match=r"shard 1 in 'surveyed/.*-semantic' is missing: run the recipe again"):
        why(Dataset.open(str(tmp_path / "set")), "z.png")
    run(recipe(tmp_path), runner="inline")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# --- with near-duplicates, and with an audit split -------------------------------------------------


def test_what_near_duplicate_drops_before_is_compared_with_nothing(tmp_path: Path) -> None:
    coarse = np.random.default_rng(1).integers(0, 256, (9, 12, 3), np.uint8)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, width in (("a", 160), ("b", 320)):
        Image.fromarray(coarse).resize((width, width * 3 // 4), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    red, green, blue = np.asarray(Image.open(folder / "a.png")).reshape(-1, 3).mean(axis=0)
    Image.new("RGB", (60, 60), (round(red), round(green), round(blue))).save(folder / "c.png")
    both = recipe(tmp_path, "near_duplicate", "semantic_duplicate")
    both.annotate["quality"] = {"use": "image_quality"}
    run(both, runner="inline")
    found = verdicts(tmp_path)
    assert [rule for rule, _ in found.values()] == ["near_duplicate", "", "semantic_duplicate"]
    assert f"same as   image {identifier(tmp_path, 'b')}\n" in str(why(Dataset.open(str(tmp_path / "set")), "c.png"))


def audited(folder: Path, *names: str) -> Path:
    path = folder / "audit.txt"
    path.write_text("".join(f"{name}.png\n" for name in names))
    return path


def test_a_training_image_near_an_audit_image_is_in_no_release(tmp_path: Path) -> None:
    photos(tmp_path, better=(0, 90), audit=(10, 40), worse=(12, 30), other=(60, 40), alike=(61, 41), second=(9, 30))
    listed = audited(tmp_path, "audit", "second")
    wanted = recipe(tmp_path, {"semantic_duplicate": {"audit_eps": 0.03}}, audit={"list": str(listed)})
    summary = run(wanted, runner="inline")
    found = {name: rule for name, (rule, _) in verdicts(tmp_path).items()}
    near = "semantic_duplicate.audit"
    # Of the two audit images alike the smaller one is dropped; none of them is dropped for a training image.
    duplicates = {"other": "semantic_duplicate", "second": "semantic_duplicate"}
    assert found == {"better": near, "worse": near, "audit": "", "alike": ""} | duplicates
    released = released_ids(tmp_path / "set", summary.release.rsplit("/", 1)[-1])
    assert set(released) == {identifier(tmp_path, "alike")}
    text = str(why(Dataset.open(str(tmp_path / "set")), "better.png"))
    assert f"same as   image {identifier(tmp_path, 'second')}\n" in text
    curve = str(what_if(wanted))
    assert "  of 4 training images             75.0%   75.0%   50.0%" in curve
    assert "  far from 2 audit images          75.0%   50.0%" in curve
