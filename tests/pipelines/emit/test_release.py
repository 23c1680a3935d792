"""What a release is made of: rows, json members, shards, manifest, card."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from engine.images.decode import EXTENSIONS, image_id
from engine.schema import ANNOTATIONS
from engine.storage.commits import File
from pipelines.emit.card import card
from pipelines.emit.shard import (
    MEMBER,
    RELEASE,
    SAMPLE,
    ShardFiles,
    manifest,
    release_rows,
    sample_json,
    shard_names,
    write_shard,
)
from tests.builders import images, record, row
from tests.pipelines.emit.small_release import annotated, drawn, full, mixed, table, write

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(name: str, found: bytes) -> bytes:
    """What the file says; UPDATE_GOLDEN=1 writes it anew, to be read before it is committed."""
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_bytes(found)
    return (GOLDEN / name).read_bytes()


def written(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"name": "v1", "content": "c0", "counts": {"images": 3}, "files": [], "recipe": {}}
    given |= {"nodes": [], "lost": [], "versions": {}, "extensions": ["png", "jpg"]}
    return manifest(**given | changes)


def member(rows: pa.Table) -> dict[str, Any]:
    """The first row as its json tells it, with a pair."""
    pair = {"task": "<CAPTION>", "prompt": "What?", "target": "Kätzchen", "annotation_ids": ["m/0"]}
    return rows.to_pylist()[0] | {"pairs": [pair]}


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_json_of_a_sample_is_the_golden_one() -> None:
    fixed = row("0" * 32, **{name: full(b"any")[1][name] for name in ANNOTATIONS})
    sample = member(release_rows(record(fixed), images(record(fixed))))
    assert sample_json(sample) == golden("sample.json", sample_json(sample))


def test_the_front_matter_of_the_card_is_the_golden_one() -> None:
    found = card(written()).split("---\n")[1].encode()
    assert found == golden("card-front-matter.yaml", found)


def test_the_columns_of_a_release_are_the_golden_ones() -> None:
    """By hand, because the notation of a whole schema changes with Arrow; 'not null' is part of a type's."""
    lines = [f"{column.name}: {column.type}{'' if column.nullable else ' not null'}\n" for column in RELEASE]
    assert "".join(lines).encode() == golden("release-schema.txt", "".join(lines).encode())


def test_a_sample_without_annotations_has_every_field_in_its_json() -> None:
    sample = json.loads(sample_json(table([annotated(drawn())]).to_pylist()[0] | {"pairs": []}))
    assert list(sample) == MEMBER.names
    assert all(sample[name] == [] for name in (*ANNOTATIONS, "pairs"))


def test_a_human_score_is_null_in_the_json() -> None:
    sample = json.loads(sample_json(member(table([full(drawn())]))))
    assert [region["score"] for region in sample["regions"]] == [None, 0.9]


def test_a_number_that_json_does_not_know_is_refused() -> None:
    sample = member(table([full(drawn())]))
    sample["image_scores"][0]["value"] = math.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        sample_json(sample)


def test_rows_of_other_images_are_refused() -> None:
    one, other = record(row("a" * 32)), record(row("b" * 32))
    with pytest.raises(ValueError, match="different images"):
        release_rows(one, images(other))


def test_a_shard_is_the_same_bytes_again(tmp_path: Path) -> None:
    first, again = write(tmp_path / "a" / "v1", mixed()), write(tmp_path / "b" / "v1", mixed())
    for name in ("train-00000.tar", "train-00000.parquet", "pairs-00000.parquet", "README.md", "manifest.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def test_a_tar_holds_the_original_bytes_each_before_its_json(tmp_path: Path) -> None:
    items = mixed()
    with tarfile.open(write(tmp_path / "v1", items) / "train-00000.tar") as tar:
        names = [member.name for member in tar]
        held = [tar.extractfile(name) for name in names[::2]]
        assert [file.read() for file in held if file] == [data for data, _ in items]
    ids = [image_id(data) for data, _ in items]
    endings = zip(ids, ("jpg", "png", "webp"), strict=True)
    assert names == [name for key, ending in endings for name in (f"{key}.{ending}", f"{key}.json")]


def test_the_locator_finds_the_bytes_of_every_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", mixed())
    rows = pq.read_table(folder / "train-00000.parquet")
    assert rows.schema.equals(RELEASE)
    for place in rows.select(["image_id", "tar", "offset", "length"]).to_pylist():
        data = (folder / place["tar"]).read_bytes()[place["offset"] : place["offset"] + place["length"]]
        assert image_id(data) == place["image_id"]


def test_a_shard_of_no_rows_is_a_readable_one_without_pairs(tmp_path: Path) -> None:
    tar, parquet, pairs = (str(tmp_path / name) for name in shard_names(0))
    write_shard(ShardFiles(tar, parquet, pairs), SAMPLE.empty_table(), lambda _: b"", "train-00000.tar")
    assert not Path(pairs).exists()
    assert pq.read_table(parquet).equals(RELEASE.empty_table())
    with tarfile.open(tar) as file:
        assert file.getnames() == []


def test_the_manifest_tells_the_type_of_every_column() -> None:
    said = {column["name"]: column["type"] for column in written()["schema"]}
    assert list(said) == RELEASE.names
    assert said["offset"] == "int64"


def test_the_card_declares_every_extension_that_occurs() -> None:
    features = front(card(written(extensions=sorted(set(EXTENSIONS.values())))))["dataset_info"]["features"]
    declared = {feature["name"] for feature in features if feature.get("dtype") == "image"}
    assert declared == set(EXTENSIONS.values())


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("ours: 'ask' # first", {"license": "other", "license_name": "ours: 'ask' # first"}),
        ("", {"license": "other"}),
    ],
)
def test_a_licence_the_hub_does_not_know_is_told_by_name(stated: str, expected: dict[str, str]) -> None:
    found = front(card(written(recipe={"emit": {"licence": stated}})))
    assert {name: value for name, value in found.items() if name.startswith("license")} == expected


def test_the_features_of_the_card_are_those_datasets_sees_in_the_table() -> None:
    datasets = pytest.importorskip("datasets")
    declared = datasets.Features._from_yaml_list(front(card(written()))["dataset_info"]["features"])
    assert declared["json"] == datasets.Features.from_arrow_schema(MEMBER)


def test_every_block_of_code_on_the_card_runs_as_it_stands(tmp_path: Path) -> None:
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
def test_the_card_names_the_tars_that_are_there(numbers: list[int], expected: str) -> None:
    """A shard of which every image was gone at emit leaves a gap."""
    names = [f"train-{number:05d}.{kind}" for number in numbers for kind in ("parquet", "tar")]
    files = [File(f"releases/v1/{name}", "", 1, 1) for name in names]
    page = card(written(files=files))
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


def test_rows_survive_the_table_as_they_are_in_the_json(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [full(drawn())])
    read = pq.read_table(io.BytesIO((folder / "train-00000.parquet").read_bytes())).to_pylist()[0]
    with tarfile.open(folder / "train-00000.tar") as tar:
        member = tar.extractfile(tar.getnames()[1])
        assert member is not None
        held = json.load(member)
    assert {name: held[name] for name in SAMPLE.names} == {name: read[name] for name in SAMPLE.names}


def test_a_schema_and_a_table_agree_on_what_may_be_null() -> None:
    made: pa.Table = table(mixed())
    assert made.schema.equals(SAMPLE)
