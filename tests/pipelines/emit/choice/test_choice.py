"""Releases of a chosen part of a data set: splits, caps, mixtures, shuffled shards and other labels."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.images.decode import image_id
from pipelines.emit.verify import verify
from pipelines.recipe import Recipe
from tests.pipelines.emit.emitted import check, run
from tests.pipelines.emit.small_release import drawn
from tests.runs import recipe, release_files

COUNT = 24
BOXES = {"boxes": {"use": "faulty"}}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 photos in two folders: 16 and 8."""
    for number in range(COUNT):
        folder = tmp_path / ("many" if number < 16 else "few")
        folder.mkdir(exist_ok=True)
        (folder / f"{number:02d}.v2.png").write_bytes(drawn("PNG", number))
    return tmp_path


def wanted(photos: Path, dataset: str = "set", **emit: Any) -> Recipe:
    ingest = {"sources": [{"folder": str(photos / name)} for name in ("many", "few")], "shard_size": 5}
    made = {"name": "v1", **emit}
    return recipe(photos / dataset, photos, {}, ingest=ingest, annotate=BOXES, emit=made)


def rows(photos: Path, dataset: str = "set") -> list[dict[str, Any]]:
    found = sorted((photos / dataset / "releases/v1").glob("*-*.parquet"))
    return [row for path in found if not path.name.startswith("pairs-") for row in pq.read_table(path).to_pylist()]


@pytest.mark.usefixtures("without_datasets")
class TestChoice:
    def test_splits_are_files_of_their_own_and_hold_every_image_once(self, photos: Path) -> None:
        shares = {"valid": 0.25, "test": 0.25, "by": "image"}
        manifest = run(wanted(photos, splits=shares))
        assert manifest["splits"] == {"train": 12, "valid": 6, "test": 6}
        names = sorted(file["name"] for file in manifest["files"] if file["name"].endswith(".tar"))
        assert names == [
            f"{split}-0000{n}.tar" for split, number in (("test", 2), ("train", 3), ("valid", 2)) for n in range(number)
        ]
        found = rows(photos)
        assert len({row["image_id"] for row in found}) == len(found) == COUNT
        assert all(row["tar"].startswith(f"{row['split']}-") for row in found)
        check(photos / "set/releases/v1")

    def test_where_caps_and_mixture_count_what_they_leave_out(self, photos: Path) -> None:
        first = image_id(drawn("PNG", 0))
        manifest = run(
            wanted(
                photos,
                where=f"SELECT image_id FROM kept.images WHERE image_id <> '{first}'",
                mixture={"many": 1, "few": 2},
            )
        )
        assert manifest["left_out"] == {"where": 1, "mixture": 11}
        found = Counter(row["sources"][0]["source"] for row in rows(photos))
        assert found == {"few": 8, "many": 4}
        assert manifest["counts"]["images"] + sum(manifest["left_out"].values()) == COUNT
        page = (photos / "set/releases/v1/README.md").read_text()
        assert "| the SQL of `emit.where` does not select it | 1 |" in page
        check(photos / "set/releases/v1")

    def test_a_shuffled_release_of_larger_shards_has_the_same_rows(self, photos: Path) -> None:
        run(wanted(photos, "plain"))
        manifest = run(wanted(photos, shuffle=3, samples_per_shard=9))
        assert [file["rows"] for file in manifest["files"] if file["name"].endswith(".tar")] == [9, 9, 6]
        place = ("tar", "offset", "length")
        before, after = (
            {row["image_id"]: {k: v for k, v in row.items() if k not in place} for row in rows(photos, name)}
            for name in ("plain", "set")
        )
        assert before == after
        assert list(before) != list(after)
        check(photos / "set/releases/v1")

    def test_labels_are_renamed_and_left_out_and_unused_entries_are_named(self, photos: Path) -> None:
        run(wanted(photos, "plain"))
        labels = Counter(region["label"] for row in rows(photos, "plain") for region in row["regions"])
        (old, number), *_ = labels.most_common()
        manifest = run(wanted(photos, labels={"rename": {old: "new"}, "drop": ["nowhere"]}))
        assert manifest["labels"] == {"renamed": {f"{old} -> new": number}, "dropped": {"nowhere": 0}}
        found = Counter(region["label"] for row in rows(photos) for region in row["regions"])
        assert found["new"] == number
        assert old not in found
        page = (photos / "set/releases/v1/README.md").read_text()
        assert f"| renamed | {old} -> new | {number} |" in page
        check(photos / "set/releases/v1")

    def test_an_interrupted_choice_is_completed_with_the_same_bytes(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = {"splits": {"valid": 0.25, "by": "image"}, "shuffle": 1, "samples_per_shard": 4}
        run(wanted(photos, "undisturbed", **options))
        from pipelines.emit.choice import plan

        commit, made = plan._commit, []

        def killed(*arguments: Any) -> None:
            made.append(arguments)
            if len(made) == 3:
                raise KeyboardInterrupt
            commit(*arguments)

        monkeypatch.setattr(plan, "_commit", killed)
        with pytest.raises(KeyboardInterrupt):
            run(wanted(photos, **options))
        monkeypatch.undo()
        run(wanted(photos, **options))
        assert release_files(photos / "set") == release_files(photos / "undisturbed")

    def test_near_duplicates_stay_in_one_split(self, photos: Path) -> None:
        """The drawn photos are flat, so they have no perceptual hash, and the recipe needs a node that measures one."""
        options = {"splits": {"valid": 0.25}}
        sentence = "emit.splits keeps near-duplicates together, but no image has a perceptual hash: add a node"
        with pytest.raises(ConfigError, match=re.escape(sentence)):
            run(wanted(photos, **options))


@pytest.mark.parametrize(
    ("emit", "sentence"),
    [
        ({"where": "SELECT image_id FROM kept.images WHERE random() < .5"}, "emit.where uses random()"),
        ({"where": "SELECT image_id FROM kept.images WHERE now() > DATE '2020-01-01'"}, "emit.where uses now()"),
        ({"where": "SELECT image_id FROM kept.images USING SAMPLE 3"}, "emit.where takes a random sample"),
        ({"where": "SELECT width FROM kept.images"}, "emit.where gives the columns width: it must give image_id"),
        ({"where": "SELECT image_id FROM kept.imges"}, "emit.where fails. The query failed:"),
        ({"where": "SELECT 1 AS image_id"}, "emit.where gives an image_id of the type int32"),
        ({"mixture": {"mny": 1}}, "Unknown source in emit.mixture 'mny': did you mean 'many'?"),
        ({"splits": {"valid": 0.1, "by": "semantic"}}, "no embeddings are compared: add the rule semantic_duplicate"),
    ],
)
def test_a_choice_that_cannot_be_made_is_one_sentence(photos: Path, emit: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        run(wanted(photos, **emit))


@pytest.mark.parametrize(
    ("emit", "sentence"),
    [
        ({"splits": {"valid": 0.5, "test": 0.5}}, "leave something to train on"),
        ({"mixture": {"many": 0}}, "emit.mixture gives 'many' the weight 0"),
        ({"labels": {"rename": {"a": "b"}, "drop": ["b"]}}, "emit.labels both renames and drops 'b'"),
        ({"labels": {"rename": {"a": "b", "b": "c"}}}, "give the last name"),
        ({"label_list": ["a", "a"]}, "emit.label_list names 'a' twice"),
    ],
)
def test_options_that_contradict_each_other_are_refused_when_the_recipe_is_read(
    photos: Path, emit: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        wanted(photos, **emit)


def test_every_check_passes_on_a_release_with_all_options(photos: Path, without_torch: None) -> None:
    pytest.importorskip("datasets")
    run(
        wanted(
            photos,
            where="SELECT image_id FROM kept.images WHERE height > 10",
            splits={"valid": 0.2, "test": 0.2, "by": "image"},
            caps={"cluster": 1, "label": 20},
            mixture={"many": 1, "few": 1},
            shuffle=0,
            samples_per_shard=3,
        )
    )
    checks = verify(str(photos / "set/releases/v1"))
    assert [fault for check in checks for fault in check.faults] == []
