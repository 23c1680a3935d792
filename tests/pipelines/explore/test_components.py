"""What a recipe may name is listed from the catalogs; checks and probes load components and leave nothing behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from engine.errors import ConfigError, StartError
from engine.schema import Answer, Sample
from engine.storage.files import Storage
from filters import CATALOG as FILTERS
from pipelines.explore.components import _copy_images, _images_of, render_check, render_components, render_probe
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from specialists import CATALOG as SPECIALISTS
from specialists import DOUBLES
from specialists.synthetic.fakes import FakeDetector
from tests.runs import draw_photos, recipe_data


class Unstartable(FakeDetector):
    """Fails to load."""

    def load(self) -> None:
        raise RuntimeError("no such weights")


class Uninstalled(FakeDetector):
    """Lacks a package."""

    def load(self) -> None:
        raise StartError("this needs nothing-at-all, which is not installed: pip install nothing-at-all.")


class Unanswering:
    """Loads, but fails on every image."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = True

    def load(self) -> None:
        return None

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        raise ValueError("these are no pixels")


HERE = "tests.pipelines.explore.test_components"


def test_every_name_of_both_catalogs_is_listed_with_what_it_does() -> None:
    listed = render_components()
    for name in [*(name for name in SPECIALISTS if name not in DOUBLES), *FILTERS]:
        assert re.search(rf"^  {name}\n      .+\.\n      (needs|judges) ", listed, re.MULTILINE), name


def test_a_component_shows_its_options_with_types_and_defaults() -> None:
    said = render_components("consensus")
    assert said.startswith("consensus, a specialist: needs boxes; gives regions; version 2")
    assert "  iou: float, default 0.5" in said.splitlines()
    assert "  votes: Mapping[str, float], default {}" in said.splitlines()
    assert "duplicates" in said, "the docstring tells what an option means"


def test_an_option_that_must_be_given_says_so() -> None:
    assert "  weights: str, must be given" in render_components("onnx_detector").splitlines()


def test_a_filter_shows_its_options_and_what_it_reads() -> None:
    said = render_components("min_complexity")
    assert said.startswith("min_complexity, a filter: judges texts, reads the parse")


def test_a_dotted_name_is_a_component_too() -> None:
    assert render_components(f"{HERE}:Unstartable").startswith(
        f"{HERE}:Unstartable, a specialist: needs pixels; gives boxes"
    )
    assert ", a filter: judges images" in render_components("filters.min_side:min_side")


@pytest.mark.parametrize("render", [render_components, render_check])
def test_an_unknown_name_gets_the_nearest_of_both_catalogs(render: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match=r"'min_skore': did you mean 'min_score'\?"):
        render("min_skore")
    with pytest.raises(ConfigError, match=r"'grabcat': did you mean 'grabcut'\?"):
        render("grabcat")


def test_a_component_that_shares_its_name_with_a_filter_is_shown_as_both() -> None:
    said = render_components("image_quality")
    assert said.startswith("image_quality, a specialist: needs pixels; gives image_scores")
    assert "\n\nimage_quality, a filter: judges images, reads image_scores" in said
    assert render_check("image_quality")[0].count("  image_quality  ") == 2


def test_doubles_for_tests_are_not_listed() -> None:
    listed = render_components()
    assert not [name for name in DOUBLES if re.search(rf"^  {name}$", listed, re.MULTILINE)]


@pytest.mark.parametrize("name", ["fake_detector", "consensus", "human", "grabcut", "decodes", "min_score", "nms"])
def test_a_component_is_loaded_and_timed(name: str) -> None:
    text, ok = render_check(name)
    assert ok
    assert re.search(rf"{name} +\d+\.\d ms an image", text)


def test_filters_that_read_the_parse_are_given_one() -> None:
    assert render_check("min_complexity")[1]
    assert render_check("ungrounded_phrase")[1]


def test_what_needs_an_option_is_not_tried_and_no_failure() -> None:
    text, ok = render_check("onnx_detector")
    assert "needs option weights and head: not tried" in text
    assert ok


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Unstartable", "cannot start: RuntimeError: no such weights"),
        ("Unanswering", "cannot start: ValueError: these are no pixels"),
        ("Uninstalled", "is missing a package: .* pip install nothing-at-all"),
    ],
)
def test_what_was_asked_for_and_does_not_work_is_not_ok(name: str, said: str) -> None:
    text, ok = render_check(f"{HERE}:{name}")
    assert re.search(said, text)
    assert not ok


def test_a_package_that_is_not_installed_is_no_failure_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipelines.explore.components.SPECIALISTS", {"one": f"{HERE}:Uninstalled", "two": "no_such_package:X"}
    )
    monkeypatch.setattr("pipelines.explore.components.FILTERS", {})
    text, ok = render_check()
    assert text.count("is missing a package") == 2
    assert ok
    monkeypatch.setattr("pipelines.explore.components.SPECIALISTS", {"one": f"{HERE}:Unstartable"})
    assert not render_check()[1]


# --- probes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    draw_photos(folder / "photos", 7)
    ingest = {"sources": [{"folder": str(folder / "photos")}, "world://?images=2"], "shard_size": 4}
    stages.run(parse_recipe(_data(folder, ingest=ingest)), stage="ingest", runner="local")
    return folder


def _data(folder: Path, **changes: object) -> dict[str, object]:
    return recipe_data(folder / "set", folder / "photos", {}, **changes)


def _human(folder: Path) -> dict[str, object]:
    nodes = {"human": {"use": "human"}, "boxes": {"use": "fake_detector"}, "objects": {"use": "consensus"}}
    return _data(folder, annotate=nodes)


def test_a_probe_times_each_node_and_foretells_the_whole(ingested: Path) -> None:
    said = render_probe(parse_recipe(_human(ingested)), 5)
    assert said.startswith("probe: 5 of 9 images")
    for node in ("human", "boxes", "objects", "together"):
        assert re.search(rf"^{node} +\d+\.\d ", said, re.MULTILINE)


def test_a_probe_takes_images_and_labels_of_as_many_shards_as_it_needs(ingested: Path, tmp_path: Path) -> None:
    data_set = Storage(str(ingested / "set"))
    assert _copy_images(data_set, Storage(str(tmp_path / "trial")), 6) == 6
    assert _copy_images(data_set, Storage(str(tmp_path / "all")), 100) == 9
    assert _images_of(data_set) == 9


def test_a_probe_leaves_the_data_set_as_it_was(ingested: Path) -> None:
    before = sorted(str(path) for path in (ingested / "set").rglob("*"))
    render_probe(parse_recipe(_data(ingested)), 3)
    assert sorted(str(path) for path in (ingested / "set").rglob("*")) == before


def test_a_probe_before_ingest_says_what_to_do(tmp_path: Path) -> None:
    said = render_probe(parse_recipe(_data(tmp_path)), 3)
    assert said.startswith("probe: '")
    assert "run --stage ingest first" in said


def test_a_probe_of_what_cannot_start_says_so(ingested: Path) -> None:
    broken = {"boxes": {"use": "faulty", "start_fails": True}}
    said = render_probe(parse_recipe(_data(ingested, annotate=broken)), 3)
    assert said.startswith("probe: boxes cannot start: RuntimeError: start_fails is set (fakes.py:")
