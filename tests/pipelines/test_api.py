"""The public functions of `pipelines`, and the engine beside modules of the user's that have its packages' names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pipelines

ROOT = Path(pipelines.__file__).parents[1]
API = """load_recipe run dry_run what_if open_dataset account query report why show evaluate calibrate train remove
    verify components"""


def python(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program as a notebook in `folder` would: that folder comes first on sys.path."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model.py and a package `filters` of the user's own."""
    (tmp_path / "model.py").write_text("WHOSE = 'mine'\n")
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    return tmp_path


@pytest.mark.parametrize("name", API.split())
def test_each_function_exists_and_has_a_docstring(name: str) -> None:
    assert name in pipelines.__all__
    assert name in dir(pipelines)
    assert getattr(pipelines, name).__doc__


def test_the_list_of_functions_is_complete() -> None:
    assert sorted(pipelines.__all__) == sorted(API.split())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn': it has load_recipe, run, dry_run"):
        _ = pipelines.runn


def test_the_api_works_beside_user_modules_of_the_same_names(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(
        "dataset: set\ningest: {sources: ['world://?images=3&size=48'], shard_size: 2}\n"
        "annotate: {noisy: {use: noisy_annotator}, objects: {use: consensus}}\n"
        "filter: [box_sanity, {min_score: {floor: 0.3}}]\nemit: {name: v1}\n"
    )
    ended = python(
        folder,
        "from pipelines import account, dry_run, load_recipe, open_dataset, query, run, show, verify, what_if, why\n"
        "import model\n"
        "assert not hasattr(model, 'WHOSE')\n"
        "recipe = load_recipe('recipe.yaml', {'filter.min_score.floor': 0.5})\n"
        "print(run(recipe, runner='local'))\n"
        "print(dry_run(recipe))\n"
        "print(what_if(recipe))\n"
        "data = open_dataset(recipe)\n"
        "print(account(data))\n"
        "table = query(data, 'SELECT image_id, annotation_id FROM regions')\n"
        "print(type(table).__module__)\n"
        "print(why(data, table['image_id'][0].as_py(), table['annotation_id'][0].as_py()))\n"
        "print(show(data).size)\n"
        "print(verify('set/releases/v1'))\n",
    )
    assert ended.returncode == 0, ended.stderr
    for line in ("set: 2 shards, 3 new inputs", "Nothing to do.", "(adds up)", "pyarrow.lib", "ok   "):
        assert line in ended.stdout, (line, ended.stdout)


def test_workers_on_ray_import_the_packages_of_the_engine_too(folder: Path) -> None:
    ended = python(
        folder,
        "from engine.running.backends.ray_cluster import start_ray\n"
        "ray = start_ray()\n"
        "@ray.remote\n"
        "def whose():\n"
        "    import model\n"
        "    return getattr(model, 'WHOSE', 'of the engine')\n"
        "print(ray.get(whose.remote()))\n",
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "of the engine"), ended.stderr


def test_a_module_imported_under_a_name_of_the_engine_is_an_error_in_one_sentence(folder: Path) -> None:
    ended = python(folder, "import model\nimport pipelines\n")
    assert ended.returncode == 1
    assert "model.py' was imported as 'model', which is the name of a package of the engine: import" in ended.stderr
