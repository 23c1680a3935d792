"""`engine verify` finds every damage in every format, even if the manifest was changed to fit the damaged files.

A new format is damaged here too, without a change of this file: damage.py finds its files, its rows and its boxes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.emit.writers import FORMATS
from tests.pipelines.emit import damage
from tests.pipelines.emit.damage import found
from tests.pipelines.emit.every_format import CHOSEN
from tests.pipelines.emit.every_task import every_task, noise
from tests.pipelines.emit.small_release import annotated, drawn, write

pytestmark = pytest.mark.usefixtures("own_rules_only")

WITHOUT_BOXES = ("embeddings", "energon")
# An image may have no vector, so only the digests and rows in the manifest show that one was removed.
NEEDS_MANIFEST = {("embeddings", "gone"), ("embeddings", "last row gone")}
LABELS = ["mat", "ball"]  # not in alphabetical order
Damage = Callable[[Path], int | None]

# Each returns the number of rows that it adds, or None if it cannot be done to this file.
DAMAGES: dict[str, Damage] = {
    "cut": damage.cut,
    "bit at a quarter": lambda path: damage.flip(path, 0.25),
    "bit at the middle": damage.flip,
    "bit at the end": lambda path: damage.flip(path, 0.99),
    "gone": damage.remove,
    "last row twice": lambda path: damage.edit(path, damage.repeat_last),
    "last row gone": lambda path: damage.edit(path, damage.drop_last),
}
CONVENTIONS: dict[str, Damage] = {
    name: lambda path, name=name: damage.edit(path, damage.change_boxes(name))  # type: ignore[misc]
    for name in damage.CONVENTIONS
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release in every format: two shards of train, the first with an image without annotations, and one of valid."""
    shards = [
        [annotated(drawn("PNG", 5)), every_task(noise(61, 40, seed=1), 61, 40)],
        [every_task(noise(64, 44, "JPEG", 2), 64, 44)],
        [every_task(noise(62, 42, seed=3), 62, 42)],
    ]
    recipe = {"emit": {"formats": CHOSEN, "label_list": LABELS, "embeddings": ["embed"]}}
    folder = write(tmp_path_factory.mktemp("whole") / "v1", *shards, recipe=recipe, splits=["train", "train", "valid"])
    damage.restate(folder)
    return folder


@pytest.fixture
def release(whole: Path, tmp_path: Path) -> Path:
    """A copy. Its files are links, so a test has to replace a file instead of writing into it."""
    return Path(shutil.copytree(whole, tmp_path / "v1"))


def test_the_whole_release_has_no_fault(release: Path) -> None:
    assert found(release) == []


def damaged(release: Path, name: str, ways: dict[str, Damage]) -> Iterator[tuple[str, Path]]:
    """Damages one file of each kind of a format in each way, in a copy each. Yields what was done, and the copy.

    The manifest fits the damaged files.
    """
    for kind, file in damage.kinds_of(release, name).items():
        for way, work in ways.items():
            if (name, way) in NEEDS_MANIFEST:
                continue
            copy = Path(shutil.copytree(release, release.parent / "copies" / f"{kind.replace('/', '_')}-{way}" / "v1"))
            if (rows := work(copy / file)) is not None:
                damage.restate(copy, {file: rows})
                yield f"{kind}: {way}", copy


@pytest.mark.parametrize("name", FORMATS)
def test_a_damage_that_the_manifest_fits_is_found(release: Path, name: str) -> None:
    results = {what: found(copy) for what, copy in damaged(release, name, DAMAGES)}
    assert results
    assert [what for what, faults in results.items() if not faults] == []


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in WITHOUT_BOXES])
def test_boxes_in_another_convention_are_found(release: Path, name: str) -> None:
    results = {what: found(copy) for what, copy in damaged(release, name, CONVENTIONS)}
    assert len(results) >= len(CONVENTIONS)
    assert [what for what, faults in results.items() if not faults] == []


@pytest.mark.parametrize("tables", [False, True], ids=["files", "tables of loose files"])
@pytest.mark.parametrize("damaging", [damage.cut, damage.flip, damage.remove], ids=["cut", "flip", "gone"])
def test_damages_that_the_manifest_does_not_fit_are_found_in_every_file(
    release: Path, damaging: Damage, *, tables: bool
) -> None:
    """A damaged table of loose files hides faults of the files that it lists, so tables are damaged on their own."""
    paths = [path for path in release.rglob("*") if path.is_file() and path.stat().st_size]
    files = [str(path.relative_to(release)) for path in paths if path.name.startswith("files-") == tables]
    files = [file for file in files if file not in ("README.md", "manifest.json")]
    for file in files:
        damaging(release / file)
    sentences = found(release)
    assert files
    assert [file for file in files if not any(file in sentence for sentence in sentences)] == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_without_a_single_file_is_found(release: Path, name: str) -> None:
    for file in damage.files_of(release, name):
        (release / file).unlink()
    damage.restate(release)
    assert found(release) or name in {form for form, _ in NEEDS_MANIFEST}


@pytest.mark.parametrize("name", FORMATS)
def test_wrong_rows_and_counts_of_a_format_in_the_manifest_are_found(release: Path, name: str) -> None:
    kinds = damage.kinds_of(release, name)
    listed = {kind: file for kind, file in kinds.items() if file in damage.manifest_files(release)}
    for kind, file in listed.items():
        damage.restate(release, {file: 1})
        assert found(release), f"one row more of {kind}"
        damage.restate(release, {file: -1})

    def one_more(manifest: Any) -> None:
        manifest["formats"][name]["left_out"]["merged"] = 1 + manifest["formats"][name]["left_out"].get("merged", 0)

    damage.restate(release, change=one_more)
    assert found(release), "one left out more"


def _moved(manifest: Any) -> None:
    manifest["splits"] = {"train": manifest["splits"]["train"] - 1, "valid": manifest["splits"]["valid"] + 1}


LIES: dict[str, Callable[[Any], object]] = {
    "an image more": lambda manifest: manifest["counts"].update(images=manifest["counts"]["images"] + 1),
    "a region less": lambda manifest: manifest["counts"].update(regions=manifest["counts"]["regions"] - 1),
    "an image in another split": _moved,
    "a split without images": lambda manifest: manifest["splits"].update(test=1),
    "a pair more": lambda manifest: manifest["pairs"]["proven"].update({"<OD>": 9}),
    "a task more": lambda manifest: manifest["pairs"]["proven"].update({"<OCR>": 9}),
    "an extension less": lambda manifest: manifest["image_extensions"].pop(),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_manifest_is_found(release: Path, lie: str) -> None:
    damage.restate(release, change=LIES[lie])
    assert found(release)


@pytest.mark.parametrize("damaging", [damage.cut, damage.flip, damage.remove], ids=["cut", "flip", "gone"])
def test_a_damaged_loose_image_that_the_manifest_fits_is_found(release: Path, damaging: Damage) -> None:
    damaging(sorted(release.glob("images/*/*.*"))[1])
    damage.restate(release)
    assert found(release)


def test_loose_images_that_were_exchanged_are_found(release: Path) -> None:
    one, other = sorted(release.glob("images/train/*.png"))[:2]
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    damage.restate(release)
    assert found(release)
