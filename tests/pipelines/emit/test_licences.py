"""A release is refused if its nodes state licences that emit.licences does not list."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.errors import ConfigError
from engine.storage.files import Storage
from pipelines.emit.licences import check_licences
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from pipelines.stages.current import current_nodes
from pipelines.stages.dry_run import dry_run
from pipelines.stages.state import annotators
from tests.runs import draw_photos, recipe_data


class Tagger:
    """Without weights of its own; `revision` is what the driver found."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True
    code_licence = "mit"
    weights_licence = "cc-by-nc-4.0"
    commit: ClassVar[str] = "a" * 40

    def __init__(self, *, revision: str = "") -> None:
        self.resolved = {"revision": revision or Tagger.commit}

    def load(self) -> None: ...

    def annotate(self, batch: Any) -> list[Any]:
        from engine.schema import Answer

        return [Answer() for _ in batch]


TAGGER = f"{__name__}:Tagger"


def data(folder: Path, licences: list[str], **tagger: str) -> dict[str, Any]:
    made = recipe_data(folder / "set", folder / "photos", {}, emit={"name": "v1", "licences": licences})
    return made | {"annotate": {**made["annotate"], "captions_nc": {"use": TAGGER, **tagger}}}


def test_a_licence_that_is_not_listed_is_refused_before_any_work(tmp_path: Path) -> None:
    recipe = parse_recipe(data(tmp_path, ["apache-2.0", "mit"]))
    sentence = rf"captions_nc \({TAGGER}\) has weights under 'cc-by-nc-4.0': use other"
    for work in (lambda: stages.run(recipe, runner="inline"), lambda: dry_run(recipe)):
        with pytest.raises(ConfigError, match=sentence):
            work()
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("licences", "tagger"),
    [
        ([], {}),
        (["mit", "apache-2.0", "cc-by-nc-4.0"], {}),
        (["mit", "apache-2.0"], {"weights_licence": "mit"}),
        (["mit", "apache-2.0"], {"weights_licence": "own"}),
    ],
)
def test_listed_licences_and_own_models_may_be_released(
    tmp_path: Path, licences: list[str], tagger: dict[str, str]
) -> None:
    recipe = parse_recipe(data(tmp_path, licences, **tagger))
    check_licences(recipe, annotators(recipe))


def test_an_unknown_licence_is_refused_and_every_node_is_named(tmp_path: Path) -> None:
    recipe = parse_recipe(data(tmp_path, ["bsd-3-clause"], code_licence="unknown"))
    with pytest.raises(ConfigError) as error:
        check_licences(recipe, annotators(recipe))
    assert f"captions_nc ({TAGGER}) has code under 'unknown'" in str(error.value)
    assert f"captions_nc ({TAGGER}) has weights under 'cc-by-nc-4.0'" in str(error.value)
    assert "has code under 'apache-2.0'" in str(error.value), "the other nodes are the engine's own"


def test_the_manifest_and_the_card_list_licences_and_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_photos(tmp_path / "photos", 2)
    recipe = parse_recipe(data(tmp_path, []))
    manifest = stages.run(recipe, runner="inline").manifest
    assert manifest is not None
    nodes = {node["name"]: node for node in manifest["nodes"]}
    assert nodes["captions_nc"]["weights_licence"] == "cc-by-nc-4.0"
    assert nodes["captions_nc"]["resolved"] == {"revision": "a" * 40}
    assert (nodes["judge"]["code_licence"], nodes["judge"]["weights_licence"]) == ("apache-2.0", "")
    card = (tmp_path / "set/releases/v1/README.md").read_text(encoding="utf-8")
    assert f"| captions_nc | `{TAGGER}` | 1 | `{nodes['captions_nc']['key'][:8]}` | mit | cc-by-nc-4.0 |" in card
    assert "| apache-2.0 | no weights |" in card
    assert current_nodes(Storage(recipe.dataset))["captions_nc"].resolved == {"revision": "a" * 40}

    monkeypatch.setattr(Tagger, "commit", "b" * 40)
    why = {row.node: row.why for row in dry_run(recipe)}
    assert why["captions_nc"].startswith("the revision of its weights was aaaaaaaa, now bbbbbbbb (was ")
