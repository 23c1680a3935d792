"""Environments: terminals that cannot encode a label, temporary folders with paths too long for Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.running.backends.ray_cluster import short_folder
from tests.runs import draw_photos, engine, recipe_data, write_recipe


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_label_that_the_terminal_cannot_print_is_no_error(tmp_path: Path, encoding: str) -> None:
    draw_photos(tmp_path / "photos", 2)
    data = recipe_data(tmp_path / "set", tmp_path / "photos", {"labels": ["\u732b"]}, emit={"name": "\u732b"})
    recipe = str(write_recipe(tmp_path / "recipe.yaml", data))
    env = {"PYTHONIOENCODING": encoding}
    assert engine("run", "-c", recipe, "--runner", "inline", env=env).returncode == 0
    done = engine("why", "00000.png", "objects/0", "-c", recipe, env=env)
    assert done.returncode == 0, done.stderr


def test_a_temporary_folder_too_long_for_sockets_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/short")
    assert short_folder() == {}
    monkeypatch.setenv("RAY_TMPDIR", "/" + "long" * 50)
    assert short_folder() == {"_temp_dir": "/tmp/ray"}
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match="too long for Ray's sockets: set RAY_TMPDIR to a path of at most"):
        short_folder()
