"""Reports of confused labels end to end. The students are told what to say: nothing is trained."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from pipelines.annotate.annotate import Runtime
from pipelines.recipe import parse_recipe
from pipelines.refine.confusion import notes, recipe_line
from pipelines.refine.confusion_sheet import TILE, drawn, window
from pipelines.refine.propose import Propose
from pipelines.refine.rows import box_of, region_row
from pipelines.stages.run import Summary, run
from tests.handmade import handmade

Data = dict[str, Any]
HOLD = "refine: {hold_labels: [[ring, ball]]}"


def recipe_data(dataset: Path, **refine: Any) -> Data:
    """Most balls are called rings. Most images are labelled by people."""
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


def as_most_say(
    self: Propose, model: Any, rows: Any, kept: Any, inputs: Any, answers: Any, evidence: list[Any], *others: Any
) -> None:
    """Students that have learned what annotators do: every ball is a ring to them, the surer the further left."""
    for row in rows:
        made = []
        for region in row["regions"]:
            label = "ring" if region["label"] == "ball" else region["label"]
            name, sure = f"{self.name}/{len(made)}", max(0.0, 0.95 - region["x1"] / 45)
            made.append(region_row(name, self.name, self.round, label, box_of(region), sure, "label_probability", []))
            told = {"image_id": row["image_id"], "location": 0.9}
            own = sure if label == region["label"] else 1 - sure
            evidence += [told | {"region_id": region["id"], "proposed": False, "label": own}]
            evidence += [told | {"region_id": name, "proposed": True, "label": sure}]
        answers[row["image_id"]] = {"image_id": row["image_id"], "regions": made}


@pytest.fixture(scope="module", autouse=True)
def told_students() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.refine.rounds, "train_students", untrained)
        patch.setattr(Propose, "load", lambda self: setattr(self, "models", [0, 1]))
        patch.setattr(Propose, "_look", as_most_say)
        yield


@dataclass
class Told:
    """A data set, what two runs said at once, the first stopped before it trained, and what the second said at last."""

    data: Data
    before: list[str]
    later: list[str]
    notes: list[str]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Told:
    def stop(*given: Any) -> None:
        raise ConfigError("stopped")

    told = Told(recipe_data(tmp_path_factory.mktemp("noise") / "set", gate={"max_relabelled": 0.0}), [], [], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines.refine.rounds, "train_students", stop)
        with pytest.raises(ConfigError, match="stopped"):
            go(told.data, told.before)
    told.notes = go(told.data, told.later).notes
    assert any("REFUSED" in note for note in told.notes), told.notes
    return told


def go(data: Data, at_once: list[str] | None = None, stage: str | None = None) -> Summary:
    return run(parse_recipe(data), stage=stage, runner="local", tell=at_once.append if at_once is not None else None)


def report(data: Data, by: str) -> tuple[Path, dict[str, Any]]:
    (path,) = Path(data["dataset"], "rounds", "noise").glob(f"1-{by}-*.json")
    return path, json.loads(path.read_bytes())


def test_people_tell_it_before_a_student_is_trained(refused: Told) -> None:
    path, told = report(refused.data, "people")

    assert [(pair["given"], pair["likely"]) for pair in told["pairs"]] == [("ring", "ball")]
    assert refused.before[0].startswith("round 1 CONFUSED: 'ring' is 'ball' to people in ")
    assert refused.before[1:] == [f"  the boxes: {path.with_suffix('.png')}", f"  to hold such pairs out: {HOLD}"]
    assert told["recipe"] == HOLD
    assert told["labels"][0]["label"] == "ring"
    assert told["labels"][0]["agreed"] < 0.8


def test_a_round_that_is_refused_leaves_what_its_students_said(refused: Told) -> None:
    _, told = report(refused.data, "students")
    (decision,) = (json.loads(path.read_bytes()) for path in Path(refused.data["dataset"]).glob("rounds/*.json"))

    (pair,) = told["pairs"]
    assert (pair["given"], pair["likely"]) == ("ball", "ring")
    assert decision["confused"]["students"] == [{name: pair[name] for name in pair if name != "boxes"}]
    assert [one["given"] for one in decision["confused"]["people"]] == ["ring"]
    assert [line.split(" in ")[0] for line in refused.later if "CONFUSED" in line] == [
        "round 1 CONFUSED: 'ball' is 'ring' to students"
    ]
    assert refused.notes[: len(refused.before + refused.later)] == refused.before + refused.later


def test_boxes_to_look_at_are_the_annotators_and_the_surest_come_first(refused: Told) -> None:
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


def test_the_same_command_finds_the_reports_and_draws_again_what_was_lost(refused: Told) -> None:
    folder, at_once = Path(refused.data["dataset"], "rounds", "noise"), list[str]()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.glob("*.png"):
        path.unlink()
    report(refused.data, "students")[0].unlink()

    again = go(refused.data, at_once, "refine")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(before) == 4
    assert again.notes == refused.notes
    assert at_once == refused.later  # of what people said nothing is news


def test_the_line_holds_the_pair_out_and_students_need_not_look_again(refused: Told) -> None:
    data = refused.data | yaml.safe_load(report(refused.data, "people")[1]["recipe"])
    data["refine"] |= {"rounds": 1, "gate": {"max_relabelled": 0.0}}

    notes_now = go(data, stage="refine").notes

    folder = Path(data["dataset"])
    assert len(list(folder.glob("round-1-propose/*"))) == 1
    assert len(list(folder.glob("round-1-merge/*"))) == 2
    assert not any("REFUSED" in note for note in notes_now)  # nothing was relabelled
    assert [note.endswith(", held out") for note in notes_now if "CONFUSED" in note] == [True, True]
    assert not any("hold such pairs out" in note for note in notes_now)


def test_without_labels_of_people_only_students_tell(tmp_path: Path) -> None:
    data = recipe_data(tmp_path / "set")
    data["ingest"] = {"sources": ["world://?images=12&size=48&words=0"], "shard_size": 20}

    go(data)

    assert {path.name.split("-")[1] for path in Path(data["dataset"], "rounds", "noise").iterdir()} == {"students"}


def test_what_is_held_out_already_is_not_asked_for_again() -> None:
    pairs = [
        {"given": "ring", "likely": "ball", "count": 20, "share": 0.5},
        {"given": "big cat", "likely": "dog", "count": 9, "share": 0.2},
    ]
    told = {"round": 1, "by": "students", "name": "n", "pairs": pairs, "hold": [["ring", "ball"], ["big cat", "dog"]]}

    lines = notes(told, "set", [["Ball", "ring"]])
    assert lines[0].endswith("(50% of what annotators call 'ring'), held out")
    assert lines[1].endswith("(20% of what annotators call 'big cat')")
    assert lines[-1] == "  to hold such pairs out: refine: {hold_labels: [[Ball, ring], [big cat, dog]]}"
    assert notes(told, "set", told["hold"])[-1] == "  the boxes: set/n.png"
    assert notes(told | {"pairs": [], "hold": []}, "set", []) == []


def test_the_line_is_yaml_whatever_the_labels_are() -> None:
    pairs = [["no", "yes, sir"], ["[", "a: b"]]
    assert yaml.safe_load(recipe_line(pairs)) == {"refine": {"hold_labels": pairs}}


# --- the sheet ---------------------------------------------------------------------------------


def sheet(dataset: Dataset, names: Sequence[str]) -> Any:
    """Of boxes in these photos; their places on the sheet are in order."""
    ids = {
        row["uri"].rsplit("/", 1)[-1].split(".")[0]: row["image_id"]
        for row in query(dataset, "SELECT image_id, uri FROM images").to_pylist()
    }
    boxes = [
        {"image_id": ids.get(name, "f" * 32), "region_id": "a/0", "box": [10, 10, 60, 60], "score": None}
        for name in names
    ]
    pair = {"given": "an uncommonly long label of a thing", "likely": "cat", "count": 3, "share": 0.5}
    pairs = [pair | {"expected": 1.0, "back": 0, "boxes": boxes}]
    told = {"round": 1, "by": "people", "of": "of them", "pairs": pairs, "recipe": "refine: {}"}
    return np.asarray(Image.open(io.BytesIO(drawn(dataset.storage, told))).convert("RGB"))


def test_a_photo_that_is_gone_costs_its_tile(tmp_path: Path) -> None:
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
    ("box", "size", "cut"),
    [
        ((40, 40, 60, 50), (200, 100), (30, 25, 70, 65)),  # twice its longer side, in the middle
        ((50, 50, 54, 54), (200, 100), (36, 36, 68, 68)),  # a tiny one is shown with 32 pixels
        ((0, 0, 30, 30), (200, 100), (0, 0, 60, 60)),  # moved in from the edge
        ((10, 5, 190, 95), (200, 100), (0, 0, 200, 100)),  # no more than there is
        ((180, 80, 200, 100), (200, 100), (160, 60, 200, 100)),
    ],
)
def test_a_box_is_cut_out_with_what_surrounds_it(box: Any, size: tuple[int, int], cut: Any) -> None:
    assert window(box, size) == cut
