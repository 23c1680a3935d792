"""The script of the gallery as one text, and what a page with a strict policy must not do."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pipelines.gallery import script
from pipelines.gallery.script import gallery_script, gallery_style

FILES = sorted((Path(script.__file__).parent / "assets").glob("*.js"))
_NAMES = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


def test_the_files_are_joined_without_imports_and_every_one_once() -> None:
    text = gallery_script()
    assert not re.search(r"^\s*(import|export)\b", text, re.MULTILINE)
    for path in FILES:
        opening = path.read_text(encoding="utf-8").splitlines()[0]
        assert opening.startswith("// ")
        assert text.count(opening) == 1, path.name
    assert "globalThis.engineGallery = { mount, embedded, complete };" in text


def test_names_are_unique_over_all_files() -> None:
    assert [name for name, number in Counter(_NAMES.findall(gallery_script())).items() if number > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_makes_markup_or_styles_from_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\.style\b|cssText", text
    )
    assert found == []
    assert len(text.splitlines()) <= 350


def test_the_style_uses_the_colours_of_the_page_and_loads_nothing() -> None:
    style = gallery_style()
    assert set(re.findall(r"var\((--(?!gallery)[\w-]+)\)", style)) <= {
        "--ink", "--paper", "--faint", "--line", "--accent", "--bad", "--good",
    }  # fmt: skip
    assert "url(" not in style
    assert "@import" not in style
