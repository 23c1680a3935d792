"""What `engine verify` finds in the lines for Florence-2. Sizes and digests in the manifest fit the damaged file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from tests.pipelines.emit.every_task import noise
from tests.pipelines.emit.test_verify import restate

CHECK = "lines for Florence-2 follow maestro's rules, and are the pairs of their images"
FILE = "florence2/train/annotations.jsonl"
FOUR = re.compile(r"<loc_(\d+)><loc_(\d+)><loc_(\d+)><loc_(\d+)>")

pytestmark = pytest.mark.usefixtures("without_datasets")


@pytest.fixture
def release(every_task: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(every_task, tmp_path / "v1"))


def faults(release: Path) -> list[str]:
    """The faults of the check of these lines. All other checks must hold."""
    checks = [one for one in verify(str(release)) if "datasets reads" not in one.name]
    assert all(one.ok for one in checks if one.name != CHECK), render_checks(checks)
    (own,) = (one for one in checks if one.name == CHECK)
    return own.faults


def lines_of(release: Path) -> list[bytes]:
    return (release / FILE).read_bytes().splitlines(keepends=True)


def damaged(release: Path, lines: list[bytes]) -> list[str]:
    (release / FILE).write_bytes(b"".join(lines))
    restate(release)
    return faults(release)


def position(release: Path, prefix: str) -> int:
    return next(n for n, line in enumerate(lines_of(release)) if json.loads(line)["prefix"].startswith(prefix))


def other_suffix(release: Path, prefix: str, change: Callable[[str], str]) -> list[str]:
    """The faults after the suffix of the first line with this prefix was changed."""
    lines = lines_of(release)
    number = position(release, prefix)
    content = json.loads(lines[number])
    lines[number] = json.dumps(content | {"suffix": change(content["suffix"])}).encode() + b"\n"
    return damaged(release, lines)


def boxes(convert: Callable[[int, int, int, int], tuple[float, ...]]) -> Callable[[str], str]:
    """A change of every box in a suffix."""

    def change(suffix: str) -> str:
        def one(match: re.Match[str]) -> str:
            return "".join(f"<loc_{int(value)}>" for value in convert(*map(int, match.groups())))

        return FOUR.sub(one, suffix)

    return change


def test_a_sound_release_has_no_fault_and_its_lines_are_counted(every_task: Path) -> None:
    (own,) = (one for one in verify(str(every_task)) if one.name == CHECK)
    assert (own.faults, own.detail) == ([], "39 lines of train, 0 lines of valid, 0 lines of test")


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (lambda x1, y1, x2, y2: (y1, x1, y2, x2), "answers <OD> with"),
        (lambda x1, y1, x2, y2: (x1, y1, x2 - x1, y2 - y1), "does not parse, inverted_box"),
        (lambda x1, y1, x2, y2: (x1 * 1.024, y1 * 1.024, x2 * 1.024, y2 * 1.024), "has <loc_1022>, which is no token"),
        (lambda x1, y1, x2, y2: (x1, y1, 1000, 1000), "has <loc_1000>, which is no token"),
        (lambda x1, y1, x2, y2: (x1 * 0.064, y1 * 0.048, x2 * 0.064, y2 * 0.048), "answers <OD> with"),
        (lambda x1, y1, x2, y2: (x2, y2, x1, y1), "does not parse, inverted_box"),
    ],
    ids=["y before x", "width and height", "0 to 1023", "loc_1000", "pixels", "corners swapped"],
)
def test_boxes_in_another_convention_are_found(
    release: Path, convert: Callable[[int, int, int, int], tuple[float, ...]], reason: str
) -> None:
    (fault,) = other_suffix(release, "<OD>", boxes(convert))
    assert fault.startswith(f"{FILE}:{position(release, '<OD>') + 1} of ")
    assert reason in fault


def test_a_box_that_is_one_location_off_is_found(release: Path) -> None:
    (fault,) = other_suffix(release, "<REGION_PROPOSAL>", boxes(lambda x1, y1, x2, y2: (x1, y1, x2 - 1, y2)))
    assert "answers <REGION_PROPOSAL> with" in fault


def test_another_word_is_found(release: Path) -> None:
    (fault,) = other_suffix(release, "<CAPTION>", lambda suffix: suffix.replace("red", "blue"))
    assert "answers <CAPTION> with 'a blue ball on a mat', its record with 'a red ball on a mat'" in fault


@pytest.mark.parametrize("cut", [1, 20, 2000])
def test_a_cut_file_is_found(release: Path, cut: int) -> None:
    data = b"".join(lines_of(release))[:-cut]
    found = damaged(release, [data])
    assert any("is not JSON" in fault or "does not end with a line feed" in fault for fault in found)
    assert any("lacks a pair of" in fault for fault in found)


def test_a_file_cut_between_lines_is_found(release: Path) -> None:
    found = damaged(release, lines_of(release)[:-1])
    assert found[0].startswith(f"{FILE} lacks a pair of")
    assert found[1] == f"{FILE} has 38 lines, the manifest has 39"


def test_a_flipped_byte_is_found_anywhere(release: Path) -> None:
    """In the keys, the path, the prefix and the suffix of a line."""
    before = lines_of(release)
    number = position(release, "<REGION_TO_CATEGORY>")
    for place in range(0, len(before[number]), 7):
        lines = list(before)
        lines[number] = lines[number][:place] + bytes([lines[number][place] ^ 1]) + lines[number][place + 1 :]
        assert damaged(release, lines), place


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_missing_file_is_found(release: Path, split: str) -> None:
    name = f"florence2/{split}/annotations.jsonl"
    (release / name).unlink()
    manifest = json.loads((release / "manifest.json").read_text())
    manifest["files"] = [file for file in manifest["files"] if file["name"] != name]
    (release / "manifest.json").write_text(json.dumps(manifest))
    assert faults(release)[0] == f"{name} is missing: maestro reads train, valid and test"


def test_a_line_that_is_there_twice_is_found(release: Path) -> None:
    lines = lines_of(release)
    number = position(release, "<OD>")
    found = damaged(release, [*lines[: number + 1], *lines[number:]])
    assert found[0].startswith(f"{FILE}:{number + 2} of ")
    assert found[0].endswith("is there twice")
    assert found[1:] == [f"{FILE} has 40 lines, the manifest has 39"]


def test_a_line_that_is_repeated_after_other_images_is_found(release: Path) -> None:
    lines = lines_of(release)
    found = damaged(release, [*lines, lines[0]])
    assert found[0].startswith(f"{FILE}:40 ")
    assert len(found) == 2


def test_lines_of_an_image_of_no_release_are_found(release: Path) -> None:
    stranger = json.dumps({"image": "../../images/train/stranger.png", "prefix": "<OD>", "suffix": "x"}).encode()
    found = damaged(release, [*lines_of(release), stranger + b"\n"])
    assert found[0] == f"{FILE}:40 of ../../images/train/stranger.png has no pair in this release"


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("<OD>cats", "has a prefix that processors refuse: '<OD>cats' has more than <OD>"),
        ("<OCR>", "asks 'What is the text in the image?', which no pair of the image asks"),
        ("Locate the objects", "asks 'Locate the objects', which no pair of the image asks"),
        ("<OPEN_VOCABULARY_DETECTION> ball", "has white space around its input"),
    ],
)
def test_a_prefix_that_asks_something_else_is_found(release: Path, prefix: str, reason: str) -> None:
    lines = lines_of(release)
    number = max(n for n, line in enumerate(lines) if json.loads(line)["prefix"] == "<OD>")
    lines[number] = json.dumps(json.loads(lines[number]) | {"prefix": prefix}).encode() + b"\n"
    found = damaged(release, lines)
    assert reason in found[0]
    assert "lacks a pair of <OD>" in found[1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"image": "a.png", "prefix": "<OD>"}, "has other keys than image, prefix, suffix"),
        ({"image": "a.png", "prefix": "<OD>", "suffix": None}, "has a value that is not a text"),
        (["<OD>"], "has other keys than image, prefix, suffix"),
    ],
)
def test_a_line_with_other_keys_or_types_is_found(release: Path, content: Any, reason: str) -> None:
    lines = lines_of(release)
    lines[3] = json.dumps(content).encode() + b"\n"
    assert damaged(release, lines)[0] == f"{FILE}:4 {reason}"


def test_lying_numbers_in_the_manifest_are_found(release: Path) -> None:
    def lie(manifest: dict[str, Any]) -> None:
        manifest["formats"]["florence2"]["left_out"] = {"turned_by_exif": 3}
        next(file for file in manifest["files"] if file["name"] == FILE)["rows"] = 40

    restate(release, lie)
    assert faults(release) == [
        f"{FILE} has 39 lines, the manifest has 40",
        "0 pairs are left out as turned_by_exif, the manifest has 3",
    ]


def test_options_of_pairs_that_did_not_make_these_lines_are_found(release: Path) -> None:
    def lie(options: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
        return lambda manifest: manifest["recipe"]["emit"].update(pairs=options)

    restate(release, lie({"tasks": ["<OD>"]}))
    assert "which no pair of the image asks" in faults(release)[0]
    restate(release, lie({"tasks": "no list"}))
    assert faults(release)[0].startswith("emit.pairs in the manifest: ")


def test_an_image_that_is_missing_cut_or_another_is_found(release: Path) -> None:
    lines = [json.loads(line) for line in lines_of(release)]
    gone, cut, other = (release / "florence2/train" / name for name in sorted({line["image"] for line in lines})[:3])
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-30])
    other.write_bytes(noise(21, 22, seed=9))
    (own,) = (one for one in verify(str(release)) if one.name == CHECK)
    text = "\n".join(own.faults)
    assert f"images/train/{gone.name} cannot be read" in text
    assert f"images/train/{cut.name} is another image than its name states" in text
    assert f"images/train/{other.name} has 21x22 pixels, its record has others" in text
