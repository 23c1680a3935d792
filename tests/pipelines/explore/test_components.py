"""What a recipe may name is listed from the catalogs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from engine.errors import ConfigError
from filters import CATALOG as FILTERS
from pipelines.explore.check_components import check_components
from pipelines.explore.components import components
from specialists import CATALOG as SPECIALISTS
from specialists import DOUBLES
from tests.pipelines.explore.broken_components import BROKEN


def text(name: str = "") -> str:
    return str(components(name))


def test_every_name_of_both_catalogs_is_listed_with_a_description() -> None:
    listed = text()
    for name in [*(name for name in SPECIALISTS if name not in DOUBLES), *FILTERS]:
        assert re.search(rf"^  {name}\n      .+\.\n      (needs|judges) ", listed, re.MULTILINE), name


def test_a_component_shows_its_options_with_types_and_defaults() -> None:
    page = text("consensus")
    assert page.startswith("consensus, a specialist: needs boxes; gives regions; version 2")
    assert "  iou: float, default 0.5" in page.splitlines()
    assert "  votes: Mapping[str, float], default {}" in page.splitlines()
    assert "duplicates" in page, "the docstring explains the options"


def test_a_required_option_is_marked() -> None:
    assert "  weights: str, must be given" in text("onnx_detector").splitlines()


def test_a_filter_shows_its_options_and_what_it_reads() -> None:
    page = text("min_complexity")
    assert page.startswith("min_complexity, a filter: judges texts, reads the parse")


def test_a_dotted_name_is_a_component_too() -> None:
    assert text(f"{BROKEN}:Unstartable").startswith(f"{BROKEN}:Unstartable, a specialist: needs pixels; gives boxes")
    assert ", a filter: judges images" in text("filters.min_side:min_side")


@pytest.mark.parametrize("find", [components, check_components])
def test_an_unknown_name_gets_the_nearest_of_both_catalogs(find: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match=r"'min_skore': did you mean 'min_score'\?"):
        find("min_skore")
    with pytest.raises(ConfigError, match=r"'grabcat': did you mean 'grabcut'\?"):
        find("grabcat")


def test_a_component_that_shares_its_name_with_a_filter_is_shown_as_both() -> None:
    page = text("image_quality")
    assert page.startswith("image_quality, a specialist: needs pixels; gives image_scores")
    assert "\n\nimage_quality, a filter: judges images, reads image_scores" in page
    assert str(check_components("image_quality")).count("  image_quality  ") == 2


def test_fakes_for_tests_are_not_listed() -> None:
    listed = text()
    assert not [name for name in DOUBLES if re.search(rf"^  {name}$", listed, re.MULTILINE)]


def test_what_is_listed_is_data_too() -> None:
    (consensus,) = components("consensus")
    options = {option.name: option for option in consensus.options}
    assert (consensus.kind, options["iou"].type, options["iou"].default) == ("specialist", "float", "0.5")
    assert (consensus.version, consensus.deterministic, consensus.problem) == (2, True, "")
