"""Faults that `engine verify` finds in files of messages. Each test breaks one thing in a correct release."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from model.pairs.options import PairOptions
from pipelines.emit.verifiers.check import render_checks
from pipelines.emit.verifiers.messages_program import read_jsonl
from pipelines.emit.verify import verify
from tests.builders import region, text
from tests.pipelines.emit.chat.releases import FORMATS, RECIPE, lines, photo, sized
from tests.pipelines.emit.small_release import annotated, drawn, mixed, write
from tests.pipelines.emit.test_verify import faults, flip, only, restate

pytestmark = pytest.mark.usefixtures("without_datasets")
Row = dict[str, Any]
each_format = pytest.mark.parametrize("name", FORMATS)


def released(tmp_path: Path) -> Path:
    """Four images: the first without annotations, the last rotated."""
    items = [annotated(drawn("PNG", 1)), photo(2), photo(3), photo(4, orientation=6)]
    return write(tmp_path / "v1", items, recipe=RECIPE)


def found(folder: Path, name: str) -> str:
    """The only fault, after sizes and digests in the manifest are adjusted to the broken files."""
    restate(folder)
    return only(verify(str(folder)), f"{name}: every question")


def all_found(folder: Path, name: str) -> str:
    restate(folder)
    failed = faults(verify(str(folder)))
    assert [check.partition(":")[0] for check in failed] == [name]
    return "\n".join(sentence for sentences in failed.values() for sentence in sentences)


def rewrite(folder: Path, name: str, change: Callable[[list[Row]], object]) -> None:
    rows = lines(folder, name)
    change(rows)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / name / "train.jsonl").write_text(content, encoding="utf-8")


def converted(rows: list[Row], change: Callable[[list[float]], list[float]]) -> None:
    """Writes all boxes of a file in another convention."""
    for row in rows:
        if "objects" in row:
            row["objects"]["bbox"] = [change(box) for box in row["objects"]["bbox"]]
        elif row["messages"][1]["content"].startswith("["):
            answer = [
                {**item, "bbox_2d": change(item["bbox_2d"])} for item in json.loads(row["messages"][1]["content"])
            ]
            row["messages"][1]["content"] = json.dumps(answer, ensure_ascii=False)


def test_a_release_in_every_format_of_messages_has_no_fault(tmp_path: Path) -> None:
    folder = released(tmp_path)
    checks = verify(str(folder))
    assert faults(checks) == {}, render_checks(checks)
    details = {check.name.partition(":")[0]: check.detail for check in checks}
    assert {name: details[name] for name in FORMATS} == dict.fromkeys(
        FORMATS, f"{len(lines(folder, 'swift'))} questions"
    )


def test_releases_of_nothing_and_of_2000_regions_have_no_fault(tmp_path: Path) -> None:
    assert faults(verify(str(write(tmp_path / "none", [annotated(drawn())], recipe=RECIPE)))) == {}
    many = [region((n % 50, n // 50, n % 50 + 1.5, n // 50 + 1.5), label=f"dot {n % 7}") for n in range(2000)]
    options = {"max_tokens": 50_000, "tasks": ["<OD>", "<OPEN_VOCABULARY_DETECTION>"]}
    recipe = {"emit": {**RECIPE["emit"], "pairs": options}}
    folder = write(tmp_path / "many", [annotated(drawn(), regions=many)], recipe=recipe, options=PairOptions(**options))
    assert faults(verify(str(folder))) == {}
    assert max(len(row["objects"]["bbox"]) for row in lines(folder, "swift")) == 2000


def test_a_release_of_a_task_without_questions_has_no_fault(tmp_path: Path) -> None:
    options = {"tasks": ["<REGION_PROPOSAL>"]}
    recipe = {"emit": {**RECIPE["emit"], "pairs": options}}
    folder = write(tmp_path / "v1", [photo(1)], recipe=recipe, options=PairOptions(**options))
    assert not (folder / "swift").exists()
    assert faults(verify(str(folder))) == {}


def test_boxes_at_the_border_of_one_pixel_and_in_large_images_have_no_fault(tmp_path: Path) -> None:
    boxes = [(3999, 0, 4000, 1), (0, 0, 4000, 30), (2000.25, 7.5, 2001.25, 8.5), (3990, 20, 4003, 31)]
    regions = [region(box, label=f"thing {n}", score=None, score_kind="") for n, box in enumerate(boxes)]
    folder = write(tmp_path / "v1", [annotated(sized(4000, 30), regions=regions)], recipe=RECIPE)
    assert faults(verify(str(folder))) == {}


def test_the_first_image_may_have_no_annotation_in_any_split(tmp_path: Path) -> None:
    shards = [mixed(), [photo(1)], [photo(2)]]
    folder = write(tmp_path / "v1", *shards, recipe=RECIPE, splits=["train", "valid", "test"])
    assert faults(verify(str(folder))) == {}


@each_format
def test_a_truncated_file_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    path = folder / name / "train.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert "is no JSON, the file ends in the middle of it" in all_found(folder, name)


@each_format
def test_a_flipped_byte_is_reported_even_if_the_digests_fit(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    path = folder / name / "train.jsonl"
    size, clean = path.stat().st_size, path.read_bytes()
    for position in range(5, size, size // 12):
        path.write_bytes(clean)
        flip(path, position)
        assert f"{name}/train.jsonl" in all_found(folder, name)


@each_format
def test_a_missing_file_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    (folder / name / "train.jsonl").unlink()
    failed = faults(verify(str(folder)))
    assert failed["files are those of the manifest"] == [f"{name}/train.jsonl is missing"]
    (own,) = [sentences for check, sentences in failed.items() if check.startswith(name)]
    assert f"{name}/train.jsonl is missing" in own


@each_format
def test_a_file_that_the_manifest_forgets_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    (folder / name / "train.jsonl").unlink()
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = [file for file in manifest["files"] if not file["name"].startswith(f"{name}/")]
    path.write_text(json.dumps(manifest))
    if (folder / name / "dataset_info.json").exists():
        (folder / name / "dataset_info.json").unlink()
    assert f"{name} has 0 lines about" in all_found(folder, name)


@each_format
def test_a_duplicated_line_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    rewrite(folder, name, lambda rows: rows.insert(3, rows[3]))
    sentences = all_found(folder, name)
    assert f"{name} has 11 lines about" in sentences
    assert f"{name}/train.jsonl has 31 lines, the manifest has 30" in sentences


@each_format
def test_lines_of_an_earlier_image_are_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    rewrite(folder, name, lambda rows: rows.append(rows[1]))
    assert "again, out of its place" in all_found(folder, name)


@each_format
def test_a_missing_line_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    rewrite(folder, name, lambda rows: rows.pop(4))
    assert "its record makes" in all_found(folder, name)


CONVENTIONS: Mapping[str, Callable[[list[float]], list[float]]] = {
    "x, y, width and height": lambda box: [box[0], box[1], box[2] - box[0], box[3] - box[1]],
    "y first": lambda box: [box[1], box[0], box[3], box[2]],
    "normalised": lambda box: [value / 1000 for value in box],
    "twice as large": lambda box: [value * 2 for value in box],
    "from the right": lambda box: [box[2], box[1], box[0], box[3]],
}


@each_format
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_boxes_in_another_convention_are_reported(tmp_path: Path, name: str, convention: str) -> None:
    folder = released(tmp_path)
    rewrite(folder, name, lambda rows: converted(rows, CONVENTIONS[convention]))
    assert "has the box" in all_found(folder, name)


def test_boxes_of_the_upright_image_are_reported_for_a_rotated_photo(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [photo(4, orientation=6)], recipe=RECIPE)
    upright = {tuple(box) for box in ([6.0, 4.0, 30.25, 36.0], [12.0, 8.0, 40.0, 30.0])}

    def turn(rows: list[Row]) -> None:
        for row in rows:
            for number, _ in enumerate(row["objects"]["bbox"]):
                row["objects"]["bbox"][number] = list(max(upright))

    rewrite(folder, "swift", turn)
    assert "which is not that of its record" in all_found(folder, "swift")


@each_format
def test_boxes_of_another_qwen_are_reported(tmp_path: Path, name: str) -> None:
    """The files of the two models look alike, so one must not pass for the other."""
    other = {"qwen3_vl": "qwen2_5_vl", "qwen2_5_vl": "qwen3_vl", "swift": "qwen3_vl"}[name]
    folder = released(tmp_path)
    (folder / name / "train.jsonl").write_bytes((folder / other / "train.jsonl").read_bytes())
    sentences = all_found(folder, name)
    assert ("has the box" if name != "swift" else "has other keys") in sentences


@each_format
def test_a_manifest_with_other_counts_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)
    number = len(lines(folder, name))

    def lie(manifest: Any) -> None:
        next(file for file in manifest["files"] if file["name"] == f"{name}/train.jsonl")["rows"] += 1

    restate(folder, lie)
    assert only(verify(str(folder)), name) == f"{name}/train.jsonl has {number} lines, the manifest has {number + 1}"


@each_format
def test_a_manifest_that_states_other_annotations_as_left_out_is_reported(tmp_path: Path, name: str) -> None:
    folder = released(tmp_path)

    def lie(manifest: Any) -> None:
        manifest["formats"][name]["left_out"] = {"no_area": 2}

    restate(folder, lie)
    assert only(verify(str(folder)), name) == f"{name} lacks nothing for reasons, the manifest has 2 no_area"


@each_format
def test_an_image_with_other_bytes_is_reported(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "v1", [photo(2)], recipe={"emit": {"formats": ["webdataset", name]}})
    (image,) = (folder / "images/train").iterdir()
    image.write_bytes(drawn("PNG", 99))
    failed = faults(verify(str(folder)))
    (own,) = [sentences for check, sentences in failed.items() if check.startswith(name)]
    assert own == [f"images/train/{image.name} is another image than that of its record"]


def answer(rows: list[Row], words: str) -> Row:
    """The message with the answer to a question."""
    return next(row["messages"][1] for row in rows if words in row["messages"][0]["content"])  # type: ignore[no-any-return]


CHANGES: Mapping[str, tuple[Callable[[list[Row]], object], str]] = {
    "caption": (lambda rows: answer(rows, "briefly").update(content="A dog."), "answers 'A dog.', its record has"),
    "question": (
        lambda rows: rows[0]["messages"][0].update(content="<image>What is it?"),
        "asks 'What is it?', which is no question of a task",
    ),
    "roles": (
        lambda rows: rows[0]["messages"].reverse(),
        "has the roles ['assistant', 'user'], not user and assistant",
    ),
    "no image": (lambda rows: rows[0]["messages"][0].update(content="x"), "does not begin with its only <image>"),
    "two images": (
        lambda rows: rows[0]["messages"][1].update(content="<image>"),
        "does not begin with its only <image>",
    ),
    "messages": (lambda rows: rows[0]["messages"].pop(), "has other messages than a question and an answer"),
    "keys": (lambda rows: rows[0].update(more=1), "has other keys than messages"),
}


@each_format
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_line_is_reported(tmp_path: Path, name: str, change: str) -> None:
    folder = released(tmp_path)
    edit, sentence = CHANGES[change]
    rewrite(folder, name, edit)
    assert sentence in found(folder, name)


@pytest.mark.parametrize("key", ["ref", "bbox"])
def test_fewer_values_than_placeholders_are_reported(tmp_path: Path, key: str) -> None:
    folder = released(tmp_path)
    rewrite(folder, "swift", lambda rows: next(row for row in rows if row["objects"][key])["objects"][key].pop())
    assert "values, and ms-swift needs as many" in found(folder, "swift")


@pytest.mark.parametrize("name", FORMATS[1:])
@pytest.mark.parametrize("content", [None, "{}\n"])
def test_a_damaged_list_of_datasets_is_reported(tmp_path: Path, name: str, content: str | None) -> None:
    folder = released(tmp_path)
    path = folder / name / "dataset_info.json"
    if content:
        path.write_text(content)
        assert found(folder, name) == f"{name}/dataset_info.json has other entries than the files of this release need"
    else:
        path.unlink()
        sentences = [one for own in faults(verify(str(folder))).values() for one in own]
        assert f"{name}/dataset_info.json is missing: LLaMA-Factory finds no dataset without it" in sentences


def test_datasets_reads_names_that_come_after_megabytes_of_captions(tmp_path: Path) -> None:
    """It takes the types from the first 10 MB, and an empty list has none."""
    pytest.importorskip("datasets")
    words = "A cat. " * 40_000
    captioned = [annotated(drawn("PNG", n), texts=[text(words + f"{n}", id="m/0")]) for n in range(50)]
    recipe = {"emit": {"formats": ["swift"], "pairs": {"max_tokens": 200_000}}}
    folder = write(tmp_path / "v1", [*captioned, photo(99)], recipe=recipe, options=PairOptions(max_tokens=200_000))
    path = folder / "swift/train.jsonl"
    assert path.stat().st_size > 11_000_000
    assert read_jsonl({"swift": ([str(path)], ["datasets"])}) == {"swift": {"datasets": {"rows": 60}}}


def test_lines_that_datasets_cannot_read_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = released(tmp_path)
    answers = {"datasets": {"error": "TypeError: Couldn't cast"}, "trl": {"missing": "trl"}}
    monkeypatch.setattr("pipelines.emit.verifiers.chat.read_jsonl", lambda wanted: dict.fromkeys(wanted, answers))
    found = {check.name.partition(":")[0]: check for check in verify(str(folder))}
    assert found["qwen3_vl"].faults == ["datasets cannot read qwen3_vl/train.jsonl: TypeError: Couldn't cast"]
    assert [sentence.partition(":")[0] for sentence in found["qwen3_vl"].skipped] == ["trl is not installed"]
