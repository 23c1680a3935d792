"""The data card: its front matter, its page, and the code blocks on it."""

from __future__ import annotations

import contextlib
import json
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
from pipelines.emit.card import card, size_category
from pipelines.emit.figures import shard_figures, sum_figures
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.webdataset import MEMBER
from pipelines.recipe import parse_recipe
from tests.builders import region
from tests.pipelines.emit.golden import golden
from tests.pipelines.emit.small_release import annotated, drawn, full, manifest_of, mixed, table, write


def written(extensions: Sequence[str] = ("jpg", "png"), tars: Sequence[str] = (), **recipe: Any) -> Manifest:
    """The manifest of a release of one shard, with images of these extensions and files of these names."""
    files = {name: File(f"releases/v1/{name}", "", 1, 1) for name in tars}
    counts = {"images": 3, **{f"images.{extension}": 1 for extension in extensions}}
    return manifest_of([Record(0, 0, files, counts=counts)], recipe=recipe)


def filled(name: str = "") -> Manifest:
    """A manifest with something in every section of the card. `name`: is used wherever other people give names."""
    given: dict[str, Any] = {
        "dataset": "set",
        "emit": {"licence": "cc-by-4.0"},
        "refine": {"folds": 1, "tasks": ["<OD>"]},
        "ingest": {"sources": [{"folder": name or "photos"}]},
        "filter": ["near_duplicate"],
    }
    manifest = written(**given)
    manifest["splits"] = {"train": 1, "valid": 1, "test": 1}
    manifest["counts"] |= {"texts": 3, "regions": 5, "regions.object": 5, "phrases": 1}
    manifest["figures"] = {
        "licences": {name or "CC BY 2.0": 2, "": 1},
        "sources": {name or "photos": 3},
        "sides": {"up to 256": 3},
        "languages": {"en": 200, "de": 100, "fr": 1, "??": 50},
        "labels": {name or "dog": 4, "cat": 1},
        "distinct_labels": 2,
        "labels_cut": 0,
        "producers": {"texts": {"say": {name or "given": 3}}, "regions": {name or "detect": {"confidence": 4}}},
        "objects": 5,
        "words": 9,
        "masks": 0,
    }
    manifest["figures"]["producers"]["regions"]["people"] = {"people": 1}
    manifest["dropped"] = {"regions": {name or "min_score": 7}}
    manifest["lost"] = [["id", name or "gone"]]
    manifest["rounds"] = [
        {"round": 1, "accepted": True, "changed": 0.25, "changes": {"drop": 3}, "reasons": []}
        | {"students": [name or "round-1-fold-0-ab"]}
    ]
    manifest["nodes"] = [
        {"name": name or "detect", "component": name or "d_fine", "version": 1, "key": "ab" * 20}
        | {"deterministic": False, "code_licence": name or "mit", "weights_licence": "unknown"}
        | {"resolved": {"revision": name or "c0ffee"}}
    ]
    return manifest


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
        ("ours: 'ask' # first", {"license": "other", "license_name": "ours-ask-first"}),
        ("一", {"license": "other"}),
        ("", {"license": "other"}),
    ],
)
def test_a_licence_unknown_to_the_hub_is_given_by_name(stated: str, expected: dict[str, str]) -> None:
    found = front(card(written(emit={"licence": stated})))
    assert {name: value for name, value in found.items() if name.startswith("license")} == expected


def test_the_hub_library_reads_the_front_matter() -> None:
    from huggingface_hub import DatasetCard, DatasetCardData

    data = DatasetCard(card(filled())).data
    assert isinstance(data, DatasetCardData)
    assert (data.license, data.language, data.size_categories) == ("cc-by-4.0", ["en", "de"], ["n<1K"])
    assert data.task_categories == ["image-to-text", "object-detection", "zero-shot-object-detection"]
    configs = data.to_dict()["configs"]
    assert [(one["split"], one["path"]) for one in configs[0]["data_files"]] == [
        ("train", "train-*.tar"),
        ("validation", "valid-*.tar"),
        ("test", "test-*.tar"),
    ]


def test_every_value_is_one_that_the_hub_allows() -> None:
    resources = Path(pytest.importorskip("datasets").__file__).parent / "utils" / "resources"
    sizes, languages = (
        json.loads((resources / f"{name}.json").read_text()) for name in ("size_categories", "languages")
    )
    assert {size_category(10**power) for power in range(14)} | {"unknown"} == set(sizes)
    assert set(front(card(filled()))["language"]) <= set(languages)


@pytest.mark.parametrize(
    ("images", "expected"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (126_000_000, "100M<n<1B")],
)
def test_the_class_of_sizes_is_that_of_the_number_of_images(images: int, expected: str) -> None:
    assert size_category(images) == expected


def test_a_release_without_tars_declares_its_tables() -> None:
    found = front(card(written(emit={"formats": ["odvg"]})))
    assert found["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.parquet"}]
    assert "dataset_info" not in found


def test_a_manifest_of_an_earlier_version_has_a_card() -> None:
    manifest: Any = filled()
    for name in ("figures", "dropped", "rounds", "splits", "formats", "left_out", "labels"):
        manifest.pop(name, None)
    page = card(manifest)
    assert "| images | 3 |" in page
    assert "WebDataset" in page


def test_the_card_counts_licences_sources_producers_and_labels() -> None:
    lines = card(filled()).splitlines()
    for row in (
        "| CC BY 2.0 | 2 |",
        "| not stated | 1 |",
        "| photos | 3 |",
        "| dog | 4 |",
        "| regions | people | none: made by people | 1 |",
        "| regions | detect | confidence | 4 |",
        "| texts | 3 | 1.00 |",
        "| `min_score` | regions | 7 |",
        "| 1 | accepted | 25.0% | drop 3 | `round-1-fold-0-ab` |",
    ):
        assert row in lines
    page = "\n".join(lines)
    assert "People made 1 of 8 annotations" in page
    assert "The source of 1 image states no licence." in page
    assert "2 distinct labels" in page


def test_the_recipe_on_the_card_is_a_recipe() -> None:
    shown = {"dataset": "set", "filter": [{"min_score": {"floor": 0.4}}], "run": {"max_workers": 3}}
    given = parse_recipe(shown)
    page = card(manifest_of([], recipe=given.model_dump(mode="json")))
    block = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[0]
    assert "run" not in yaml.safe_load(block)
    again = parse_recipe(yaml.safe_load(block))
    assert again.model_copy(update={"run": given.run}) == given


HOSTILE = "`x` | <script>alert(1)</script> *b* [a](http://b) ```\n# head\n| 1 |\u202e\x00 ~~~ $$ &amp; \\"


def test_hostile_names_stay_text() -> None:
    """Labels, licences, sources and producers with markup, in the cells of tables and in the recipe."""
    markdown_it = pytest.importorskip("markdown_it")
    manifest = filled(name=HOSTILE)
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(card(manifest).split("---\n", 2)[2])
    children = {child.type for one in tokens for child in one.children or ()}
    assert not {"html_inline", "link_open", "image"} & children
    assert "html_block" not in {one.type for one in tokens}
    assert sum("<script>alert(1)</script> *b*" in _text(one) for one in tokens) >= 10
    rows = [line for line in card(manifest).splitlines() if line.startswith("|")]
    assert len(rows) == len([line for line in card(filled()).splitlines() if line.startswith("|")])
    assert "\u202e" not in "".join(rows)
    assert [one.tag for one in tokens if one.type == "heading_open"] == [
        one.tag for one in parser.parse(card(filled()).split("---\n", 2)[2]) if one.type == "heading_open"
    ]


def _text(token: Any) -> str:
    return "".join(child.content for child in token.children or ())


def test_the_order_of_shards_does_not_change_the_figures() -> None:
    parts = [shard_figures(table([item]), table([item])) for item in mixed()]
    assert json.dumps(sum_figures(parts)) == json.dumps(sum_figures(reversed(parts)))
    assert sum_figures(parts)["sides"] == {"up to 256": 3}


def test_rare_labels_of_a_shard_are_cut_and_counted() -> None:
    many = [region((0, 0, 9, 9), label=f"label {n:03d}", id=f"m/{n}") for n in range(320)]
    often = [region((0, 0, 9, 9), label="often", id=f"o/{n}") for n in range(2)]
    rows = table([annotated(drawn(), regions=[*many, *often])])
    figures = sum_figures([shard_figures(rows, rows)] * 2)
    assert (figures["labels_cut"], figures["objects"], figures["distinct_labels"]) == (2, 644, 300)
    assert figures["labels"]["often"] == 4


def test_datasets_opens_the_splits_of_a_release(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    items = [full(drawn("JPEG", 1)), full(drawn("PNG", 2)), annotated(drawn("WEBP", 3))]
    folder = write(tmp_path / "v1", *([item] for item in items), splits=("train", "valid", "test"))
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: [row["__key__"] for row in rows] for split, rows in found.items()} == {
        split: [item[1]["image_id"]] for split, item in zip(("train", "validation", "test"), items, strict=True)
    }
    streamed = datasets.load_dataset(str(folder), split="validation", streaming=True)
    assert [row["png"].size for row in streamed] == [(60, 40)]


def test_the_sections_of_all_formats_are_below_the_one_about_loading(tmp_path: Path) -> None:
    formats = [name for name in FORMATS if name != "embeddings"]
    emit = {"formats": formats, "label_list": ["cat"]}
    page = (write(tmp_path / "v1", mixed(), recipe={"emit": emit}) / "README.md").read_text()
    headings = re.findall(r"^(#+) (.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), flags=re.MULTILINE)
    top = [title for level, title in headings if level == "##"]
    assert top[:3] == ["What it contains", "What a record is", "How to load it"]
    assert len([title for level, title in headings if level == "###"]) >= len(formats)
    assert top[-1] == "Limits"


@pytest.mark.parametrize(("form", "column"), [("coco", "image_id"), ("imagefolder", "image")])
def test_datasets_opens_a_release_without_tars(tmp_path: Path, form: str, column: str) -> None:
    datasets = pytest.importorskip("datasets")
    emit = {"formats": [form]}
    shards = ([full(drawn("JPEG", 1))], [full(drawn("PNG", 2))])
    folder = write(tmp_path / "v1", *shards, recipe={"emit": emit}, splits=("train", "valid"))
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == {"train": 1, "validation": 1}
    assert column in found["train"].column_names
    streamed = datasets.load_dataset(str(folder), split="validation", streaming=True)
    assert [row["image_id"] for row in streamed] == [shards[1][0][1]["image_id"]]
