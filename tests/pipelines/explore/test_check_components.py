"""Components are loaded and timed on a drawn scene."""

from __future__ import annotations

import re

import pytest

from pipelines.explore.check_components import check_components
from tests.pipelines.explore.broken_components import BROKEN


@pytest.mark.parametrize("name", ["fake_detector", "consensus", "human", "grabcut", "decodes", "min_score", "nms"])
def test_a_component_is_loaded_and_timed(name: str) -> None:
    checks = check_components(name)
    assert checks.ok
    assert re.search(rf"{name} +\d+\.\d ms an image", str(checks))


def test_filters_that_read_the_parse_get_one() -> None:
    assert check_components("min_complexity").ok
    assert check_components("ungrounded_phrase").ok


def test_a_component_with_a_required_option_is_not_tried_and_does_not_fail() -> None:
    checks = check_components("onnx_detector")
    assert "needs option weights and head: not tried" in str(checks)
    assert checks.ok


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("Unstartable", "cannot start: RuntimeError: no such weights"),
        ("Unanswering", "cannot start: ValueError: these are no pixels"),
        ("Uninstalled", "is missing a package: .* pip install nothing-at-all"),
    ],
)
def test_a_component_chosen_by_name_that_does_not_work_fails(name: str, result: str) -> None:
    checks = check_components(f"{BROKEN}:{name}")
    assert re.search(result, str(checks))
    assert not checks.ok


def test_a_missing_package_does_not_fail_the_check_of_all_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.explore.components.SPECIALISTS", {"one": f"{BROKEN}:Uninstalled", "two": "no_such_package:X"}
    )
    monkeypatch.setattr("pipelines.explore.components.FILTERS", {})
    checks = check_components()
    assert str(checks).count("is missing a package") == 2
    assert checks.ok
    monkeypatch.setattr("pipelines.explore.components.SPECIALISTS", {"one": f"{BROKEN}:Unstartable"})
    assert not check_components().ok
