"""Reports of confused labels end to end. The students' answers are fixed: nothing is trained."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import pipelines.refine.rounds
from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.records.boxes import row_box
from pipelines.annotate.runtime import Runtime
from pipelines.recipe import parse_recipe
from pipelines.refine.confusion_report import ConfusionReport, ExampleBox, ReportedPair, recipe_line
from pipelines.refine.confusion_sheet import TILE, draw_sheet, window
from pipelines.refine.evidence import Evidence
from pipelines.refine.notes import confusion_notes
from pipelines.refine.propose import Propose
from pipelines.refine.propose_texts import Proposals
from pipelines.refine.rows import region_row
from pipelines.stages.run import Summary, run
from refinement.confusion import ConfusedPair
from tests.handmade import handmade

Data = dict[str, Any]
HOLD = "refine: {hold_labels: [[ring, ball]]}"


def recipe_data(dataset: Path, **refine: Any) -> Data:
    """The annotator labels most balls as rings. People labelled most of the images."""
    return {
        "dataset": str(dataset),
        "ingest": {
            "sources": ["world://?images=120&size=64&words=0&min_objects=4&max_objects=6"],
            "shard_size": 40,
            "audit": {"fraction": 0.8},
        },
        "annotate": {
            "noisy": {"use": "noisy_annotator", "flip": 0.02, "confuse": {"ball": "ring"}},
            "objects": {"use": "consensus"},
        },
        "filter": [{"min_score": {"floor": 0.35}}, {"nms": {"across": 0.5}}],
        "emit": {"name": "v1", "pairs": {"tasks": ["<OD>"]}},
        "refine": {"rounds": 1, **refine},
    }


def untrained(runtime: Runtime, now: Any, number: int, before: Sequence[str]) -> list[str]:
    names = [f"models/round-{number}-fold-{fold}" for fold in (0, 1)]
    for name in names:
        runtime.storage.create(f"{name}/training.json", json.dumps({"key": name}).encode())
    return names


def answers_like_annotators(self: Propose, model: Any, rows: Any, kept: Any, inputs: Any, found: Proposals) -> None:
    """Students that learned the annotator's error: they call every ball a ring, with more certainty further left."""
    for row in rows:
        made = []
        for region in row["regions"]:
            label = "ring" if region["label"] == "ball" else region["label"]
            name, sure = f"{self.name}/{len(made)}", max(0.0, 0.95 - region["x1"] / 45)
            made.append(region_row(name, self.name, self.round, label, row_box(region), sure, "label_probability", []))
            own = sure if label == region["label"] else 1 - sure
            found.evidence.append(Evidence(row["image_id"], region["id"], False, own, 0.9))
            found.evidence.append(Evidence(row["image_id"], name, True, sure, 0.9))
        found.answers[row["image_id"]] = {"image_id": row["image_id"], "regions": made}


@pytest.fixture(scope="module", autouse=True)
def fixed_students() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.refine.rounds, "train_students", untrained)
        patch.setattr(Propose, "load", lambda self: setattr(self, "models", [0, 1]))
        patch.setattr(Propose, "_predict_batch", answers_like_annotators)
        yield


@dataclass
class TwoRuns:
    """A data set and the notes of two runs. The first stopped before training, the second refused its round.

    before, later: notes printed at once by the first and by the second run. notes: all notes of the second.
    """

    data: Data
    before: list[str]
    later: list[str]
    notes: list[str]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> TwoRuns:
    def stop(*given: Any) -> None:
        raise ConfigError("stopped")

    runs = TwoRuns(recipe_data(tmp_path_factory.mktemp("noise") / "set", gate={"max_relabelled": 0.0}), [], [], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.refine.rounds, "train_students", stop)
        with pytest.raises(ConfigError, match="stopped"):
            go(runs.data, runs.before)
    runs.notes = go(runs.data, runs.later).notes
    assert any("REFUSED" in note for note in runs.notes), runs.notes
    return runs


def go(data: Data, at_once: list[str] | None = None, stage: str | None = None) -> Summary:
    return run(
        parse_recipe(data), stage=stage, runner="inline", on_note=at_once.append if at_once is not None else None
    )


def report(data: Data, by: str) -> tuple[Path, dict[str, Any]]:
    (path,) = Path(data["dataset"], "rounds", "noise").glob(f"1-{by}-*.json")
    return path, json.loads(path.read_bytes())


def test_the_report_by_people_comes_before_training(refused: TwoRuns) -> None:
    path, content = report(refused.data, "people")

    assert [(pair["given"], pair["likely"]) for pair in content["pairs"]] == [("ring", "ball")]
    assert re.fullmatch(
        r"round 1 CONFUSED: annotators call \d+ boxes 'ring' that people call 'ball' \(.*", refused.before[0]
    )
    assert refused.before[1:] == [
        f"  example boxes: {path.with_suffix('.png')}",
        f"  to hold such pairs out of relabelling: {HOLD}",
    ]
    assert content["recipe"] == HOLD
    assert content["labels"][0]["label"] == "ring"
    assert content["labels"][0]["agreed"] < 0.8


def test_a_refused_round_keeps_the_report_by_its_students(refused: TwoRuns) -> None:
    _, content = report(refused.data, "students")
    (decision,) = (json.loads(path.read_bytes()) for path in Path(refused.data["dataset"]).glob("rounds/*.json"))

    (pair,) = content["pairs"]
    assert (pair["given"], pair["likely"]) == ("ball", "ring")
    assert decision["confused"]["students"] == [{name: pair[name] for name in pair if name != "boxes"}]
    assert [one["given"] for one in decision["confused"]["people"]] == ["ring"]
    (line,) = (line for line in refused.later if "CONFUSED" in line)
    assert line.startswith(f"round 1 CONFUSED: annotators call {pair['count']} boxes 'ball' that students call 'ring'")
    assert refused.notes[: len(refused.before + refused.later)] == refused.before + refused.later


def test_example_boxes_are_the_annotators_and_the_surest_come_first(refused: TwoRuns) -> None:
    sql = "SELECT image_id, annotation_id, label, split FROM regions WHERE kept"
    rows = query(Dataset.open(refused.data["dataset"]), sql).to_pylist()
    labels = {(row["image_id"], row["annotation_id"]): (row["label"], row["split"]) for row in rows}
    for by, given in (("people", "ring"), ("students", "ball")):
        (pair,) = report(refused.data, by)[1]["pairs"]
        found = {labels[box["image_id"], box["region_id"]] for box in pair["boxes"]}
        assert len(pair["boxes"]) == min(8, pair["count"])
        assert {label for label, _ in found} == {given}
        assert by == "students" or {split for _, split in found} == {"audit-fit"}
    scores = [box["score"] for box in pair["boxes"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] >= 0.5


def test_the_same_command_keeps_the_reports_and_draws_lost_sheets_again(refused: TwoRuns) -> None:
    folder, at_once = Path(refused.data["dataset"], "rounds", "noise"), list[str]()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.glob("*.png"):
        path.unlink()
    report(refused.data, "students")[0].unlink()

    again = go(refused.data, at_once, "refine")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(before) == 4
    assert again.notes == refused.notes
    assert at_once == refused.later  # the report by people is not new


def test_the_suggested_line_holds_the_pair_and_students_do_not_run_again(refused: TwoRuns) -> None:
    data = refused.data | yaml.safe_load(report(refused.data, "people")[1]["recipe"])
    data["refine"] |= {"rounds": 1, "gate": {"max_relabelled": 0.0}}

    notes_now = go(data, stage="refine").notes

    folder = Path(data["dataset"])
    assert len(list(folder.glob("round-1-propose/*"))) == 1
    assert len(list(folder.glob("round-1-merge/*"))) == 2
    assert not any("REFUSED" in note for note in notes_now)  # nothing was relabelled
    assert [note.endswith("; already in refine.hold_labels") for note in notes_now if "CONFUSED" in note] == [
        True,
        True,
    ]
    assert not any("hold such pairs out" in note for note in notes_now)


def test_without_labels_of_people_there_is_only_the_report_by_students(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    data["ingest"] = {"sources": ["world://?images=12&size=48&words=0"], "shard_size": 20}

    go(data)

    assert {path.name.split("-")[1] for path in Path(data["dataset"], "rounds", "noise").iterdir()} == {"students"}


def test_pairs_in_the_recipe_are_not_suggested_again() -> None:
    pairs = [
        ReportedPair(ConfusedPair("ring", "ball", 20, 0.5, 1.0, 0), []),
        ReportedPair(ConfusedPair("big cat", "dog", 9, 0.2, 1.0, 0), []),
    ]
    report = ConfusionReport(1, "students", "", pairs, [])

    lines = confusion_notes(report, "set/n", [["Ball", "ring"]])
    assert lines[0].endswith("(50% of all that annotators call 'ring'); already in refine.hold_labels")
    assert lines[1].endswith("(20% of all that annotators call 'big cat')")
    assert lines[-1] == "  to hold such pairs out of relabelling: refine: {hold_labels: [[Ball, ring], [big cat, dog]]}"
    both = [["ring", "ball"], ["big cat", "dog"]]
    assert confusion_notes(report, "set/n", both)[-1] == "  example boxes: set/n.png"
    assert confusion_notes(replace(report, pairs=[]), "set/n", []) == []


def test_the_suggested_line_is_yaml_for_any_labels() -> None:
    pairs = [["no", "yes, sir"], ["[", "a: b"]]
    assert yaml.safe_load(recipe_line(pairs)) == {"refine": {"hold_labels": pairs}}


# --- the sheet ---------------------------------------------------------------------------------


def sheet(dataset: Dataset, names: Sequence[str]) -> Any:
    """The pixels of a sheet with one box in each of these photos, in this order."""
    ids = {
        row["uri"].rsplit("/", 1)[-1].split(".")[0]: row["image_id"]
        for row in query(dataset, "SELECT image_id, uri FROM images").to_pylist()
    }
    boxes = [ExampleBox(ids.get(name, "f" * 32), "a/0", (10, 10, 60, 60), None) for name in names]
    pair = ConfusedPair("an uncommonly long label of a thing", "cat", 3, 0.5, expected=1.0, back=0)
    report = ConfusionReport(1, "people", "of them", [ReportedPair(pair, boxes)], [])
    return np.asarray(Image.open(io.BytesIO(draw_sheet(dataset.storage, report))).convert("RGB"))


def test_a_missing_photo_leaves_its_tile_grey(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    whole = sheet(dataset, ["cat", "cup"])
    (tmp_path / "photos" / "cup.png").unlink()
    less = sheet(dataset, ["cat", "cup", "never was"])

    assert whole.shape == less.shape
    half = whole.shape[1] // 4
    assert (whole[:, :half] == less[:, :half]).all()
    assert grey(whole) < TILE * TILE / 3
    assert grey(less) > 1.5 * TILE * TILE


def grey(pixels: Any) -> int:
    return int((pixels == 215).all(axis=2).sum())


@pytest.mark.parametrize(
    ("box", "size", "crop"),
    [
        ((40, 40, 60, 50), (200, 100), (30, 25, 70, 65)),  # twice the longer side, centred
        ((50, 50, 54, 54), (200, 100), (36, 36, 68, 68)),  # at least 32 pixels
        ((0, 0, 30, 30), (200, 100), (0, 0, 60, 60)),  # shifted at the edge
        ((10, 5, 190, 95), (200, 100), (0, 0, 200, 100)),  # no larger than the image
        ((180, 80, 200, 100), (200, 100), (160, 60, 200, 100)),
    ],
)
def test_the_crop_of_a_box_includes_its_surroundings(box: Any, size: tuple[int, int], crop: Any) -> None:
    assert window(box, size) == crop
