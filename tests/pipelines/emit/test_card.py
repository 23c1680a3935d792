"""The data card: its front matter, its page, and the code blocks on it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.images.decode import EXTENSIONS
from engine.reading.release_manifest import Manifest
from engine.storage.commits import File, Record
from pipelines.emit.card import card
from pipelines.emit.writers.webdataset import MEMBER
from tests.pipelines.emit.golden import golden
from tests.pipelines.emit.small_release import drawn, full, manifest_of, mixed, write


def written(extensions: Sequence[str] = ("jpg", "png"), tars: Sequence[str] = (), **recipe: Any) -> Manifest:
    """The manifest of a release of one shard, with images of these extensions and files of these names."""
    files = {name: File(f"releases/v1/{name}", "", 1, 1) for name in tars}
    counts = {"images": 3, **{f"images.{extension}": 1 for extension in extensions}}
    return manifest_of([Record(0, 0, files, counts=counts)], recipe=recipe)


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_front_matter_of_the_card_is_the_golden_one() -> None:
    found = card(written()).split("---\n")[1].encode()
    assert found == golden("card-front-matter.yaml", found)


def test_the_card_declares_every_extension_that_occurs() -> None:
    features = front(card(written(extensions=sorted(set(EXTENSIONS.values())))))["dataset_info"]["features"]
    declared = {feature["name"] for feature in features if feature.get("dtype") == "image"}
    assert declared == set(EXTENSIONS.values())


def test_the_features_of_the_card_are_those_datasets_finds_in_the_table() -> None:
    datasets = pytest.importorskip("datasets")
    declared = datasets.Features._from_yaml_list(front(card(written()))["dataset_info"]["features"])
    assert declared["json"] == datasets.Features.from_arrow_schema(MEMBER)


def test_every_code_block_on_the_card_runs_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pytest.importorskip("webdataset")
    folder = write(tmp_path / "r-1.0", mixed(), [full(drawn("PNG", 9))])
    page = (folder / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The png is stored 60 x 40 and turned by EXIF: both loaders must show it upright.
    assert done.stdout.count("(40, 60)") == 2
    assert done.stdout.count("['cat', 'cat']") == 2


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], "train-00000.tar"),
        ([0], "train-00000.tar"),
        ([3], "train-00003.tar"),
        ([0, 1, 2], "train-{00000..00002}.tar"),
        ([0, 2], "train-{00000,00002}.tar"),
        ([0, 1, 2, 4, 6, 7], "train-{{00000..00002},00004,{00006..00007}}.tar"),
    ],
)
def test_the_card_names_the_existing_tars(numbers: list[int], expected: str) -> None:
    """A shard whose images were all lost leaves a gap."""
    names = [f"train-{number:05d}.{kind}" for number in numbers for kind in ("parquet", "tar")]
    page = card(written(tars=names))
    assert f'WebDataset("v1/{expected}"' in page
    if numbers:
        braceexpand = pytest.importorskip("braceexpand")  # what webdataset expands with
        assert list(braceexpand.braceexpand(expected)) == [name for name in names if name.endswith(".tar")]


def test_the_query_on_the_card_counts_regions(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    folder = write(tmp_path / "v1", mixed())
    query = re.findall(r"```sql\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)[0]
    with contextlib.chdir(tmp_path):
        assert duckdb.sql(query).fetchall() == [("cat", 2)]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("ours: 'ask' # first", {"license": "other", "license_name": "ours: 'ask' # first"}),
        ("", {"license": "other"}),
    ],
)
def test_a_licence_unknown_to_the_hub_is_given_by_name(stated: str, expected: dict[str, str]) -> None:
    found = front(card(written(emit={"licence": stated})))
    assert {name: value for name, value in found.items() if name.startswith("license")} == expected
