"""Faults that `engine verify` finds in odvg/: each test damages one thing, and adjusts the digests to it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verify import verify
from tests.builders import phrase, region, text
from tests.pipelines.emit.small_release import Item, annotated, drawn, write
from tests.pipelines.emit.test_verify import faults, restate

pytestmark = pytest.mark.usefixtures("without_datasets")
ODVG = "ODVG has the objects and phrases of the records"
DETECTION, GROUNDING, LABELS = "odvg/detection_train.jsonl", "odvg/grounding_train.jsonl", "odvg/label_map.json"


def large() -> bytes:
    """A photo of 4000 x 30 pixels."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (4000, 30), 90).save(file, "PNG")
    return file.getvalue()


def crowded() -> Item:
    """2,000 regions, a crowd, and a caption of emoji whose phrase names two of the regions."""
    words = "👩‍👩‍👧‍👦 neben Kätzchen."
    many = [region((n % 50, n % 30, n % 50 + 1 + n / 400, n % 30 + 7), label=f"Nr. {n % 9} 😺") for n in range(2000)]
    many.append(region((0, 0, 60, 40), label="person", score=None, score_kind="crowd"))
    start = words.index("Kätzchen")
    return annotated(
        drawn("WEBP", 3),
        texts=[text(words, id="m/t"), text("Only words.", id="m/u")],
        regions=[*many, region((0, 0, 60, 40), id="m/a"), region((-3, 2.5, 70, 3.5), id="m/b", score=None)],
        phrases=[phrase("m/t", start, start + 8, ["m/a", "m/b"]), phrase("m/t", 0, 7, ["m/a"])],
    )


def hostile() -> list[list[Item]]:
    """Three shards. The first image has no regions; the others have the numbers and positions that break tools."""
    wide = annotated(
        large(),
        texts=[text("A thin line.", id="m/0")],
        regions=[region((3999, 29, 4000, 30), id="m/1"), region((1234.5, 0, 4000, 30), label="line", id="m/2")],
        phrases=[phrase("m/0", 0, 11, ["m/2", "m/1"])],
    )
    return [[annotated(drawn("JPEG", 1)), annotated(drawn("PNG", 2, orientation=6))], [crowded(), wide]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test changes."""
    shards = [*hostile(), [annotated(drawn("JPEG", 7), regions=[region((0, 0, 9, 9), label="tree")])]]
    recipe = {"emit": {"formats": ["webdataset", "odvg"]}}
    return write(tmp_path_factory.mktemp("odvg") / "v1", *shards, recipe=recipe, splits=["train", "train", "valid"])


@pytest.fixture
def release(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "v1"))


def edited(path: Path, change: Callable[[list[Any]], None]) -> None:
    """Rewrites a file after a change to its parsed lines."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def fault(release: Path) -> str:
    """The only fault, of ODVG, when the manifest has the digests and numbers of the damaged files."""

    def rows(manifest: dict[str, Any]) -> None:
        for file in manifest["files"]:
            if file["name"].endswith(".jsonl"):
                file["rows"] = len((release / file["name"]).read_text(encoding="utf-8", errors="replace").splitlines())

    restate(release, rows)
    found = faults(verify(str(release)))
    assert list(found) == [ODVG], found
    return "; ".join(found[ODVG])


def test_a_hostile_release_passes(release: Path) -> None:
    checks = verify(str(release))
    assert faults(checks) == {}, render_checks(checks)
    (detail,) = [check.detail for check in checks if check.name == ODVG]
    assert detail == "5 images, 2005 objects, 2 captions, 5 phrases"
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["formats"]["odvg"]["left_out"] == {"crowd": 1}
    first = (release / DETECTION).read_text(encoding="utf-8").splitlines()[0]
    assert first.endswith('"detection":{"instances":[]}}')


def test_a_release_of_no_images_passes(tmp_path: Path) -> None:
    release = write(tmp_path / "v1", recipe={"emit": {"formats": ["webdataset", "odvg"]}})
    assert faults(verify(str(release))) == {}


@pytest.mark.parametrize(
    ("convention", "change"),
    [
        ("x, y, width, height", lambda x1, y1, x2, y2: [x1, y1, x2 - x1, y2 - y1]),
        ("y first", lambda x1, y1, x2, y2: [y1, x1, y2, x2]),
        ("shares of the sides", lambda x1, y1, x2, y2: [x1 / 4000, y1 / 30, x2 / 4000, y2 / 30]),
        ("thousandths", lambda x1, y1, x2, y2: [x1 / 4, y1 / 0.03, x2 / 4, y2 / 0.03]),
        ("whole pixels", lambda *box: [float(int(value)) for value in box]),
    ],
)
@pytest.mark.parametrize("kind", ["detection", "grounding"])
def test_a_box_in_another_convention_is_a_fault(
    release: Path, kind: str, convention: str, change: Callable[..., list[float]]
) -> None:
    def convert(lines: list[Any]) -> None:
        regions = lines[-1][kind]["instances" if kind == "detection" else "regions"]
        one = next(one for one in regions if one["bbox"][0] == 1234.5)
        one["bbox"] = change(*one["bbox"])

    edited(release / f"odvg/{kind}_train.jsonl", convert)
    assert "its record has [1234.5, 0.0, 4000.0, 30.0]" in fault(release)


def test_spans_of_bytes_are_a_fault(release: Path) -> None:
    def convert(lines: list[Any]) -> None:
        grounding = lines[0]["grounding"]
        for one in grounding["regions"]:
            start, end = one["tokens_positive"][0]
            one["tokens_positive"] = [[len(grounding["caption"][:place].encode()) for place in (start, end)]]

    edited(release / GROUNDING, convert)
    assert fault(release).endswith("its record has '👩\\u200d👩\\u200d👧\\u200d👦' at [[0, 7]]")


def test_a_changed_caption_is_a_fault(release: Path) -> None:
    edited(release / GROUNDING, lambda lines: lines[1]["grounding"].update(caption="A thick line."))
    assert "has the caption 'A thick line.', its record has 'A thin line.'" in fault(release)


@pytest.mark.parametrize("name", [DETECTION, GROUNDING])
def test_a_file_that_was_cut_is_a_fault(release: Path, name: str) -> None:
    data = (release / name).read_bytes()
    (release / name).write_bytes(data[:-40])
    assert fault(release).startswith(f"{name}, line {data.count(bytes([10]))}: JSONDecodeError: ")


def test_a_missing_last_line_is_a_fault(release: Path) -> None:
    edited(release / DETECTION, lambda lines: lines.pop())
    assert fault(release).startswith(f"{DETECTION} ends before the line of train/")


@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_duplicated_line_is_a_fault(release: Path, position: int) -> None:
    edited(release / DETECTION, lambda lines: lines.insert(position, lines[position]))
    assert fault(release).startswith(f"{DETECTION}, line {position + 2} is of train/")


def test_a_byte_that_is_no_text_is_a_fault(release: Path) -> None:
    data = bytearray((release / DETECTION).read_bytes())
    data[20] ^= 0xFF
    (release / DETECTION).write_bytes(data)
    assert fault(release).startswith(f"{DETECTION}, line 0: UnicodeDecodeError: ")


def test_a_changed_digit_is_a_fault(release: Path) -> None:
    path = release / DETECTION
    path.write_bytes(path.read_bytes().replace(b"[1234.5,0.0,", b"[1234.5,0.1,"))
    assert "object 1 has the box [1234.5, 0.1, 4000.0, 30.0], its record has [1234.5, 0.0, 4000.0, 30.0]" in fault(
        release
    )


def test_another_number_of_a_label_is_a_fault(release: Path) -> None:
    edited(release / DETECTION, lambda lines: lines[-1]["detection"]["instances"][0].update(label=1))
    assert "object 0 has the label 1 ('Nr. 1 😺') and the category 'cat', its record has 'cat'" in fault(release)


def test_exchanged_labels_of_the_label_map_are_a_fault(release: Path) -> None:
    labels = json.loads((release / LABELS).read_bytes())
    labels["0"], labels["1"] = labels["1"], labels["0"]
    (release / LABELS).write_text(json.dumps(labels))
    assert f"{LABELS} has Nr. 1 😺, Nr. 0 😺, " in fault(release)


def test_a_label_map_that_starts_with_one_is_a_fault(release: Path) -> None:
    labels = json.loads((release / LABELS).read_bytes())
    (release / LABELS).write_text(json.dumps({str(int(number) + 1): label for number, label in labels.items()}))
    assert fault(release).startswith(f"{LABELS}: ValueError: its keys are not the numbers from 0")


def test_a_missing_file_is_a_fault_of_the_files_and_of_odvg(release: Path) -> None:
    (release / GROUNDING).unlink()
    found = faults(verify(str(release)))
    assert found["files are those of the manifest"] == [f"{GROUNDING} is missing"]
    assert found[ODVG][0].startswith(f"{GROUNDING}, line 0: FileNotFoundError")


def test_a_file_that_the_manifest_no_longer_lists_is_a_fault(release: Path) -> None:
    (release / GROUNDING).unlink()
    restated = json.loads((release / "manifest.json").read_text())
    restated["files"] = [file for file in restated["files"] if file["name"] != GROUNDING]
    (release / "manifest.json").write_text(json.dumps(restated))
    assert f"{GROUNDING}: 2 rows by the records, the manifest has None" in fault(release)


def test_a_missing_image_is_a_fault(release: Path) -> None:
    image = next((release / "images/valid").iterdir())
    image.unlink()
    found = faults(verify(str(release)))
    assert found[ODVG] == [f"images/valid/{image.name} is missing, odvg/ names it"]


@pytest.mark.parametrize("lie", ["rows", "left_out"])
def test_a_lying_manifest_is_a_fault(release: Path, lie: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        if lie == "rows":
            next(file for file in manifest["files"] if file["name"] == DETECTION)["rows"] = 5
        else:
            manifest["formats"]["odvg"]["left_out"] = {}

    restate(release, change)
    expected = {
        "rows": f"{DETECTION}: 4 rows by the records, the manifest has 5",
        "left_out": "odvg/ left out 1 crowd, the manifest has none",
    }
    assert faults(verify(str(release)))[ODVG] == [expected[lie]]


def test_the_size_of_another_image_is_a_fault(release: Path) -> None:
    edited(release / DETECTION, lambda lines: lines[1].update(width=60, height=40))
    assert "is 60x40, its record has 40x60" in fault(release)
