"""Lists written by people: which images a line matches, in any spelling, and errors for lines that match none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from pipelines.ingest.name_list import NameList, read_name_list
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.run import Summary
from tests.runs import draw_photos

URI = "/data/photos/a/0001.jpg"


@pytest.mark.parametrize(
    "line",
    [
        *("0001.jpg", "a/0001.jpg", "./a/0001.jpg", "a\\0001.jpg", "photos/b/../a/0001.jpg", '"0001.jpg"'),
        *(URI, f"file://{URI}", f"file://localhost{URI}", "the-id"),
    ],
)
def test_a_line_matches_the_image_whose_path_ends_with_it(line: str) -> None:
    names = NameList([line])
    assert names.match("the-id", URI)
    assert not names.match("other", "/data/photos/a/10001.jpg")
    assert (names.unmatched(), names.ambiguous()) == ([], [])


@pytest.mark.parametrize("line", ["1.jpg", "b/0001.jpg", "/photos/a/0001.jpg", "/elsewhere/0001.jpg", "0001", "JPG"])
def test_another_folder_or_part_of_a_name_does_not_match(line: str) -> None:
    names = NameList([line])
    assert not names.match("the-id", URI)
    assert names.unmatched() == [line]


@pytest.mark.parametrize("line", ["00012.jpg", "b/00012.jpg", "x.tar/b/00012.jpg", "tar://b/00012.jpg::/data/x.tar"])
def test_members_of_tars_match_by_the_end_of_their_path(line: str) -> None:
    assert NameList([line]).match("i", "tar://b/00012.jpg::/data/x.tar")
    assert not NameList([line]).match("i", "tar://c/100012.jpg::/data/x.tar")


def test_hosts_match_in_upper_and_lower_case() -> None:
    assert NameList(["HTTP://Host/x.jpg"]).match("i", "http://host/x.jpg")


def test_a_name_in_two_folders_matches_both_and_is_ambiguous() -> None:
    names = NameList(["x.jpg", "a/x.jpg"])
    assert [names.match("one", "/p/a/x.jpg"), names.match("other", "/p/b/x.jpg")] == [True, True]
    assert names.ambiguous() == ["x.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_lists_are_read_in_the_encodings_of_common_editors(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.txt").write_bytes("a.jpg\r\n\r\nb b.jpg \r\na.jpg".encode(encoding))
    assert read_name_list(str(tmp_path / "list.txt"), "list") == ["a.jpg", "b b.jpg"]


def test_an_empty_list_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_name_list(str(tmp_path / "list.txt"), "list")


# --- the audit list -----------------------------------------------------------------------------


def ingest(home: Path, lines: str, **options: Any) -> Summary:
    (home / "audit.txt").write_text(lines)
    audit = {"list": str(home / "audit.txt")}
    data = {
        "dataset": str(home / "set"),
        "ingest": {"sources": [{"folder": str(home / "photos")}], "audit": audit, **options},
        "annotate": {"pixels": {"use": "decodes"}},
    }
    return stages.run(parse_recipe(data), stage="ingest", runner="inline")


def splits(home: Path) -> dict[str, str]:
    rows = query(Dataset.open(str(home / "set")), "SELECT parse_filename(uri) AS name, split FROM images")
    return dict(zip(rows["name"].to_pylist(), rows["split"].to_pylist(), strict=True))


def test_a_wrong_line_is_an_error_before_any_image_is_assigned_and_can_be_corrected(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3, size=64)
    wrong = "00001.jpg\nnowhere/00002.png\n00000.png"
    note = r"2 of the 3 lines .* match no listed image: '00001\.jpg' \(is it '00001\.png'\?\), 'nowhere/00002\.png'"
    for _ in range(2):
        with pytest.raises(ConfigError, match=note):
            ingest(tmp_path, wrong)
        assert not list((tmp_path / "set").glob("images/*"))
        assert not list((tmp_path / "set").glob("splits/*"))
    ingest(tmp_path, "00001.png\n", shard_size=2)
    assert splits(tmp_path)["00001.png"].startswith("audit")
    assert account(Dataset.open(str(tmp_path / "set"))).balanced


def test_a_list_may_grow_but_not_name_training_images(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 2, size=64)
    draw(tmp_path / "photos" / "one.png", 1)
    ingest(tmp_path, "one.png")
    draw(tmp_path / "photos" / "two.png", 2)
    ingest(tmp_path, "one.png\ntwo.png")
    assert [splits(tmp_path)[name][:5] for name in ("one.png", "two.png")] == ["audit", "audit"]
    draw(tmp_path / "photos" / "three.png", 3)
    ingest(tmp_path, "one.png\ntwo.png")
    with pytest.raises(ConfigError, match=r"match images of the training split: 'three\.png': images keep"):
        ingest(tmp_path, "one.png\ntwo.png\nthree.png")


def draw(path: Path, seed: int) -> None:
    """A photo unlike the others."""
    import numpy as np
    from PIL import Image

    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8))
    coarse.resize((160, 120), Image.Resampling.BICUBIC).save(path)


def test_the_run_notes_a_name_in_two_folders(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b", "c")):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        draw(tmp_path / "photos" / folder / ("x.png" if number < 2 else "y.png"), number)
    (note,) = ingest(tmp_path, "x.png").notes
    assert note.replace(f"{tmp_path}/photos/", "") == (
        "'x.png' in the audit list matches 2 images, all taken as audit images: a/x.png, b/x.png"
    )


def test_a_moved_list_is_the_same_list(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 2, size=64)
    ingest(tmp_path, "00001.png")
    (tmp_path / "audit.txt").rename(tmp_path / "moved.txt")
    data = {"list": str(tmp_path / "moved.txt")}
    ingest(tmp_path, "ignored", audit=data)
