"""A wrong module:Name is one sentence with the nearest name, or with the file and line of the error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.config.catalog import resolve
from engine.errors import ConfigError
from engine.running.graph import build

FILES = {
    "own_sharpness.py": "class Sharpness: ...\nLIMIT = 3\n",
    "own_typo.py": "x = 1\nclass Sharpness\n    pass\n",
    "own_raises.py": "x = 1\nraise ValueError('two\\nlines')\n",
    "own_exits.py": "import sys\nsys.exit('bye')\n",
    "own_needs.py": "import no_such_package_at_all\n",
    "own_made.py": (
        "class Made:\n    needs = ('pixels',)\n    gives = ('boxes',)\n    version = 1\n    deterministic = True\n"
        "    def __init__(self):\n        raise RuntimeError('no camera')\n"
    ),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder with these modules."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


WRONG = [
    ("own_sharpnes:Sharpness", r"no module 'own_sharpnes' .*: did you mean 'own_sharpness'\?"),
    ("specialists.consenus:Consensus", r"no module 'specialists.consenus' .*: did you mean 'specialists.consensus'\?"),
    ("nothing_alike:X", r"no module 'nothing_alike' .*: put its file into the folder where the command runs"),
    ("own sharpness:X", r"is not a module:Name: write it as Python imports it"),
    (":X", r"is not a module:Name"),
    ("own_sharpness:", r"is not a module:Name"),
    ("own_sharpness:Sharpnes", r"Unknown component in 'own_sharpness' 'Sharpnes': did you mean 'Sharpness'\?"),
    ("own_sharpness:LIMIT", r"is the number 3, not a component: name a class or a function"),
    ("own_typo:Sharpness", r"cannot be imported: SyntaxError: .* \(.*own_typo.py, line 2\)"),
    ("own_raises:X", r"cannot be imported: ValueError: two lines \(.*own_raises.py, line 2\)"),
    ("own_exits:X", r"cannot be imported: SystemExit: bye \(.*own_exits.py, line 2\)"),
    ("own_needs:X", r"needs the package no_such_package_at_all: .*pip install .*no-such-package-at-all"),
]


@pytest.mark.parametrize(("name", "message"), WRONG, ids=[name for name, _ in WRONG])
def test_a_wrong_name_is_one_sentence(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        resolve("component", name, {})
    assert "\n" not in str(raised.value)


def test_a_module_in_the_folder_where_the_command_runs_is_found() -> None:
    assert resolve("component", "own_sharpness:Sharpness", {})[1].__name__ == "Sharpness"


def test_a_component_that_cannot_be_created_is_reported_with_its_line() -> None:
    with pytest.raises(
        ConfigError, match=r"annotate.a \(own_made:Made\) cannot be created: RuntimeError: no camera .*line 7"
    ):
        build({"a": {"use": "own_made:Made"}}, {})
