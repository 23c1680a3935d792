"""This checkout is installed, the command line starts quickly, and no file contains a path or host of one machine.

Sources are compared by resolved path: an editable install of another checkout would pass every other test.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs import children_seconds

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
HEAVY = (
    *("cv2", "datasets", "duckdb", "lance", "megatron", "onnxruntime", "pandas", "ray", "skimage", "spacy"),
    *("supervision", "torch", "trl", "webdataset"),
)

# Written in pieces, so that this file does not contain the strings that it searches for.
REGISTRY_HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "download.pytorch" + ".org", "anaconda" + ".org")
MACHINE_PATHS = (r"/(?:home|Users)/\w+", r"/" + r"root/", r"/" + r"work/(?:main|shared)", r"/" + r"opt/\w+")
PIP_SOURCES = ("--extra-" + "index-url", "--index" + "-url", "--find" + "-links", "--trusted" + "-host")


def sources() -> Iterator[tuple[str, str]]:
    """(name, text) of every text file git tracks, or would track if it were added."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file() or b"\0" in path.read_bytes()[:8192]:
            continue
        yield name, path.read_text(encoding="utf-8", errors="replace")


def found_in_sources(pattern: str) -> list[str]:
    return [f"{name}: {match[0]}" for name, text in sources() for match in re.finditer(pattern, text)]


def run_python(code: str) -> str:
    """Runs code in a new interpreter outside of the checkout, which finds the packages only if they are installed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_resolves_to_this_checkout(package: str) -> None:
    found = run_python(f"import importlib; print(list(importlib.import_module({package!r}).__path__)[0])").strip()
    assert Path(found).resolve() == ROOT / package


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_is_a_namespace_package(package: str) -> None:
    assert importlib.import_module(package).__file__ is not None


def test_help_takes_under_half_a_second() -> None:
    engine = Path(sys.executable).with_name("engine")
    took = []
    for _ in range(3):
        before = children_seconds()
        done = subprocess.run([engine, "--help"], capture_output=True, text=True, check=False)
        took.append(children_seconds() - before)
        assert done.returncode == 0, done.stderr
    assert min(took) < 0.5, f"{min(took):.2f} s: run `python -X importtime -c 'import pipelines.cli.commands'`"


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, pipelines.cli.commands; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("host", REGISTRY_HOSTS)
def test_no_source_names_a_registry_host(host: str) -> None:
    assert found_in_sources(re.escape(host)) == []


@pytest.mark.parametrize("pattern", MACHINE_PATHS)
def test_no_source_names_a_path_of_one_machine(pattern: str) -> None:
    assert found_in_sources(rf"(?<![\w.$}}-]){pattern}") == []


@pytest.mark.parametrize("option", PIP_SOURCES)
def test_no_source_sets_an_index_for_pip(option: str) -> None:
    assert found_in_sources(re.escape(option)) == []


def test_every_constraint_is_one_exact_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[a-z0-9.-]+==[0-9][0-9a-z.]*", line)] == []


def test_the_installed_versions_are_those_of_the_constraints() -> None:
    """Includes the dependencies of dependencies, because a version that is not pinned may change."""
    import sysconfig
    from importlib.metadata import distributions

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    ours = {"pip", "setuptools", PROJECT["project"]["name"]}
    place = sysconfig.get_path("purelib")  # only this folder, because ray adds its own packages to the path
    installed = {
        re.sub("[-_.]+", "-", dist.name).lower(): dist.version.partition("+")[0] for dist in distributions(path=[place])
    }
    assert {
        f"{name}=={version}" for name, version in installed.items() if name not in ours and pinned.get(name) != version
    } == set()


def test_torch_is_not_needed_for_the_demo() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [
        requirement
        for extra, requirements in extras.items()
        if extra not in ("florence", "models", "similarity")
        for requirement in (*requirements, *PROJECT["project"]["dependencies"])
    ]
    assert [requirement for requirement in wanted if re.match(r"torch|transformers|fld5b.*florence", requirement)] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel, built with the installed hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-build-isolation", "--no-deps", "-w", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_holds_the_six_packages_and_nothing_else(wheel: list[str]) -> None:
    folders = {name.partition("/")[0] for name in wheel}
    assert {name for name in folders if not name.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_holds_every_module_and_every_data_file_of_the_packages(wheel: list[str]) -> None:
    kept = {".py", ".yaml", ".json", ".sql"}
    here = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in kept
    }
    assert here - set(wheel) == set()


def test_the_wheel_holds_the_recipes(wheel: list[str]) -> None:
    assert {"pipelines/recipes/quickstart.yaml", "pipelines/recipes/folder.yaml"} <= set(wheel)
