from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.keys import node_key


def key(
    options: dict[str, Any], weights: tuple[str, ...] = (), version: int = 1, inputs: dict[str, str] | None = None
) -> str:
    return node_key("m:C", version, options, {"floor": 0.3, "batch_size": 16}, weights, inputs or {})


def test_an_option_at_its_default_does_not_change_the_key() -> None:
    assert key({"floor": 0.3}) == key({})


def test_options_that_change_answers_change_the_key() -> None:
    assert len({key({}), key({"floor": 0.4}), key({}, version=2), key({}, inputs={"a": "1"})}) == 4


def test_options_of_running_do_not_change_the_key() -> None:
    assert key({"batch_size": 4, "gpus": 1.0, "timeout_s": 9.0}) == key({})


def test_the_content_of_weights_changes_the_key_and_their_path_does_not(tmp_path: Path) -> None:
    one, two = tmp_path / "one.onnx", tmp_path / "two.onnx"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    assert key({"weights": str(one)}, (str(one),)) == key({"weights": str(two)}, (str(two),))
    two.write_bytes(b"other")
    assert key({"weights": str(one)}, (str(one),)) != key({"weights": str(two)}, (str(two),))


def test_weights_at_a_url_need_a_digest() -> None:
    with pytest.raises(ConfigError, match="sha256"):
        key({}, ("s3://models/x.onnx",))
    assert key({"sha256": "ab" * 32}, ("s3://models/x.onnx",))


def test_the_content_of_a_file_in_another_option_changes_the_key(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_bytes(b"{}")
    two.write_bytes(b"{}")
    assert key({"calibration": str(one)}, (str(one),)) == key({"calibration": str(two)}, (str(two),)) != key({})
    two.write_bytes(b"{ }")
    assert key({"calibration": str(one)}, (str(one),)) != key({"calibration": str(two)}, (str(two),))


def test_a_json_at_a_url_is_hashed_without_a_given_digest(tmp_path: Path) -> None:
    table = tmp_path / "one.json"
    table.write_bytes(b"{}")
    assert key({}, (f"file://{table}",)) == key({}, (str(table),))
    with pytest.raises(ConfigError, match=r"No file at 'file://.*gone\.json': correct the path"):
        key({}, (f"file://{tmp_path}/gone.json",))


def test_the_path_of_a_folder_of_hashed_files_does_not_change_the_key(tmp_path: Path) -> None:
    keys = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.bin").write_bytes(b"same")
        weights = (f"{tmp_path / name}/w.bin",)
        keys |= {key({"checkpoint": f"{tmp_path / name}{slash}"}, weights) for slash in ("", "/")}
    assert len(keys) == 1
    assert key({"checkpoint": ""}, weights) != key({"checkpoint": str(tmp_path / "one")}, weights)
