"""A new kind of source needs its class and a line of KINDS, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from engine.errors import ConfigError
from pipelines.explore.reference import reference
from pipelines.ingest.sources.open import KINDS, open_source, source_kind
from pipelines.ingest.sources.source import LICENCE, Entry


class Numbered:
    """The files 0.jpg, 1.jpg, ... of a folder."""

    OPTIONS: ClassVar = {"path": "the folder of the files", "count": "how many there are", "licence": LICENCE}

    def __init__(self, path: str, count: str = "2", licence: str = "") -> None:
        self.name, self.count, self.licence = path, int(count), licence
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        return (Entry(f"{self.name}/{number}.jpg", licence=self.licence) for number in range(self.count))


@pytest.fixture(autouse=True)
def numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "numbered", f"{__name__}:Numbered")


def test_a_recipe_can_name_it_and_its_options(tmp_path: Path) -> None:
    source = open_source({"numbered": "photos", "count": "3"})
    assert [entry.uri for entry in source.entries()] == ["photos/0.jpg", "photos/1.jpg", "photos/2.jpg"]
    with pytest.raises(ConfigError, match=r"counts.*count"):
        open_source({"numbered": "photos", "counts": "3"})
    with pytest.raises(ConfigError, match="numbered:"):
        open_source({})


def test_the_reference_describes_its_options() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `numbered` ")]
    assert rows == [
        "| `numbered` | `path` | the folder of the files (must be given) |",
        "| `numbered` | `count` | how many there are |",
        "| `numbered` | `licence` | the licence of images without their own |",
    ]


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_describes_exactly_the_options_that_it_has(name: str) -> None:
    kind = source_kind(name)
    assert all(kind.options.values())
    assert set(kind.make.OPTIONS) == set(kind.options)  # type: ignore[attr-defined]
