from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError, DamageError
from engine.scores.calibration import Calibration

CURVES: dict[str, Any] = {"ssd": {"x": [0.2, 0.6], "y": [0.1, 0.9]}, "yolo": {"x": [0.5], "y": [0.25]}}


def written(folder: Path, content: Any) -> str:
    path = folder / "calibration.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_score_between_two_points_is_interpolated(tmp_path: Path) -> None:
    calibration = Calibration.read(written(tmp_path, CURVES))
    assert calibration.producers == ("ssd", "yolo")
    assert calibration.apply(["ssd"] * 3, np.array([0.2, 0.3, 0.6])) == pytest.approx([0.1, 0.3, 0.9])


def test_beyond_its_points_a_curve_is_constant(tmp_path: Path) -> None:
    calibration = Calibration.read(written(tmp_path, CURVES))
    assert calibration.apply(["ssd", "ssd", "yolo"], np.array([0.0, 1.0, 0.9])) == pytest.approx([0.1, 0.9, 0.25])


def test_a_producer_without_a_curve_keeps_its_scores(tmp_path: Path) -> None:
    calibration = Calibration.read(written(tmp_path, CURVES))
    assert calibration.apply(["ocr", "ssd"], np.array([0.3, 0.4])).tolist()[0] == 0.3
    assert Calibration({}).apply(["ocr"], np.array([0.3])).tolist() == [0.3]


def test_nan_stays_nan_and_the_given_array_is_not_changed(tmp_path: Path) -> None:
    scores = np.array([np.nan, 0.4])
    answer = Calibration.read(written(tmp_path, CURVES)).apply(np.array(["ssd", "ssd"]), scores)
    assert np.isnan(answer[0])
    assert scores[1] == 0.4


def test_calibration_keeps_the_order_of_a_producers_scores_without_new_ties() -> None:
    flat = Calibration({"ssd": (np.array([0.1, 0.9]), np.array([0.5, 0.5]))})
    raw = np.sort(np.random.default_rng(0).random(500).round(5))
    raw = np.unique(np.concatenate([[0.0, 1.0], raw]))
    assert np.all(np.diff(flat.apply(["ssd"] * len(raw), raw)) > 0)
    sure = Calibration({"ssd": (np.array([0.1]), np.array([1.0]))}).apply(["ssd"], np.array([1.0]))
    assert sure[0] == 1


def test_the_digest_does_not_depend_on_the_layout_of_the_file(tmp_path: Path) -> None:
    one = Calibration.read(written(tmp_path, CURVES)).digest
    assert one == Calibration.read(written(tmp_path, json.dumps(dict(reversed(CURVES.items())), indent=4))).digest
    assert one != Calibration.read(written(tmp_path, CURVES | {"yolo": {"x": [0.5], "y": [0.26]}})).digest


def test_a_written_calibration_is_read_back(tmp_path: Path) -> None:
    calibration = Calibration({"b": (np.array([0.1]), np.array([0.2])), "a": (np.array([1 / 3]), np.array([2 / 3]))})
    again = Calibration.read(written(tmp_path, calibration.as_json()))
    assert again.as_json() == calibration.as_json()
    assert again.digest == calibration.digest


def test_a_calibration_is_read_from_a_url(tmp_path: Path) -> None:
    assert Calibration.read("file://" + written(tmp_path, CURVES)).producers == ("ssd", "yolo")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"is not JSON \(.*use 'engine eval --fit'\.$"),
        ([1], r"names no producer; expected"),
        ({}, r"names no producer; expected"),
        ({"ssd": {"x": [0.1]}}, r"needs exactly the keys 'x' and 'y' for 'ssd'"),
        ({"ssd": [0.1]}, r"needs exactly the keys 'x' and 'y' for 'ssd'"),
        ({"ssd": {"x": ["a"], "y": [0.1]}}, r"a value for 'ssd' that is not a number"),
        ({"ssd": {"x": [], "y": []}}, r"of 'ssd' has 0 x and 0 y"),
        ({"ssd": {"x": [0.1, 0.2], "y": [0.1]}}, r"of 'ssd' has 2 x and 1 y"),
        ({"ssd": {"x": [0.2, 0.1], "y": [0.1, 0.2]}}, r"of 'ssd' is not sorted"),
        ({"ssd": {"x": [0.1, 0.1], "y": [0.1, 0.2]}}, r"of 'ssd' is not sorted: x must increase"),
        ({"ssd": {"x": [0.1, 0.2], "y": [0.2, 0.1]}}, r"of 'ssd' is not sorted"),
        ({"ssd": {"x": [0.1, 1.2], "y": [0.1, 0.2]}}, r"of 'ssd' has values outside of 0 to 1"),
        ({"ssd": {"x": [0.1], "y": [None]}}, r"of 'ssd' has values outside of 0 to 1"),
    ],
)
def test_a_wrong_calibration_is_refused_in_one_sentence(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Calibration.read(written(tmp_path, content))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No calibration at '.*nowhere\.json': correct the path"):
        Calibration.read(str(tmp_path / "nowhere.json"))
    with pytest.raises(ConfigError, match="cannot be read"):
        Calibration.read(str(tmp_path))


def test_a_fitted_calibration_is_checked_against_the_digest_in_its_name(tmp_path: Path) -> None:
    found = Calibration({"yolo": (np.array([0.1, 0.9]), np.array([0.2, 0.7]))})
    path = tmp_path / "calibration" / f"{found.digest[:8]}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(found.as_json()))
    assert Calibration.read(str(path)).digest == found.digest
    path.write_text(path.read_text().replace("0.7", "0.3"))
    with pytest.raises(DamageError, match=r"is damaged.*fit it again"):
        Calibration.read(str(path))
