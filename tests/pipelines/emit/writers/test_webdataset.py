"""The tar of a shard: its members, and the json of a sample."""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.images.decode import image_id
from engine.schema import ANNOTATIONS
from pipelines.emit.shard import release_rows
from pipelines.emit.writers.webdataset import MEMBER, sample_json
from tests.builders import images, record, row
from tests.pipelines.emit.golden import golden
from tests.pipelines.emit.small_release import annotated, drawn, full, mixed, table, write


def member(rows: pa.Table) -> dict[str, Any]:
    """The first row as the json holds it, with one pair."""
    pair = {"task": "<CAPTION>", "prompt": "What?", "target": "Kätzchen", "annotation_ids": ["m/0"]}
    return {**rows.to_pylist()[0], "pairs": [pair]}


def test_the_json_of_a_sample_is_the_golden_one() -> None:
    fixed = row("0" * 32, **{name: full(b"any")[1][name] for name in ANNOTATIONS})
    sample = member(release_rows(record(fixed), images(record(fixed))))
    assert sample_json(sample) == golden("sample.json", sample_json(sample))


def test_a_sample_without_annotations_has_every_field_in_its_json() -> None:
    sample = json.loads(sample_json(table([annotated(drawn())]).to_pylist()[0] | {"pairs": []}))
    assert list(sample) == MEMBER.names
    assert all(sample[name] == [] for name in (*ANNOTATIONS, "pairs"))


def test_a_human_score_is_null_in_the_json() -> None:
    sample = json.loads(sample_json(member(table([full(drawn())]))))
    assert [region["score"] for region in sample["regions"]] == [None, 0.9]


def test_a_number_that_json_cannot_express_is_refused() -> None:
    sample = member(table([full(drawn())]))
    sample["image_scores"][0]["value"] = math.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        sample_json(sample)


def test_a_tar_holds_the_original_bytes_of_each_image_before_its_json(tmp_path: Path) -> None:
    items = mixed()
    with tarfile.open(write(tmp_path / "v1", items) / "train-00000.tar") as tar:
        names = [member.name for member in tar]
        held = [tar.extractfile(name) for name in names[::2]]
        assert [file.read() for file in held if file] == [data for data, _ in items]
    ids = [image_id(data) for data, _ in items]
    endings = zip(ids, ("jpg", "png", "webp"), strict=True)
    assert names == [name for key, ending in endings for name in (f"{key}.{ending}", f"{key}.json")]
