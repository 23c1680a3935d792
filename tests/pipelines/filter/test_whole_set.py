"""Rules over the whole data set: near-duplicates and quantiles, over several shards, and as the set grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from engine.errors import ConfigError
from engine.images.decode import image_id
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.records.shard import Shard
from filters.near_duplicate import near_duplicate
from filters.text_length import text_length
from pipelines.explore.why import why
from pipelines.filter.near_duplicates import HASHES
from pipelines.filter.survey import VALUES, survey_shard
from pipelines.filter.whole_set import Contribution, combined
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.dry_run import dry_run
from pipelines.stages.run import run
from pipelines.stages.what_if import what_if
from tests.builders import images, parse, parsed, record, text
from tests.runs import commits, draw_photos, released_ids

QUALITY = {"quality": {"use": "image_quality"}}


def photo(path: Path, number: int, *, width: int = 160, quality: int = 95) -> None:
    """Draw photo `number`. The same number with another width gives a scaled copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8))
    large = coarse.resize((320, 240), Image.Resampling.BICUBIC)
    large.resize((width, width * 3 // 4)).save(path, quality=quality)


def photos(folder: Path) -> None:
    """Three different photos in several sizes. Files 0, 3 and 6 are the first photo; 3 is the largest of them."""
    for number in range(7):
        photo(folder / f"{number}.jpg", number % 3, width={3: 320, 6: 120}.get(number, 160), quality=80 + number)


def recipe(folder: Path, *rules: Any, annotate: dict[str, Any] | None = None) -> Recipe:
    return parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {"sources": [{"folder": str(folder / "photos")}], "shard_size": 2},
            "annotate": annotate or QUALITY,
            "filter": list(rules),
            "emit": {"name": ""},
        }
    )


def kept(folder: Path) -> dict[str, bool]:
    rows = query(Dataset.open(str(folder / "set")), "SELECT split_part(uri, '/', -1) AS name, kept FROM images")
    return dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def verdicts(folder: Path, rule: str) -> list[dict[str, Any]]:
    sql = f"SELECT i.uri, v.value, v.threshold FROM verdicts v JOIN images i USING (image_id) WHERE v.rule = '{rule}'"
    return query(Dataset.open(str(folder / "set")), sql).to_pylist()


def test_the_largest_of_duplicate_photos_is_kept(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    run(recipe(tmp_path, "near_duplicate"), runner="inline")
    assert {name for name, still in kept(tmp_path).items() if still} == {"3.jpg"} | set(distinct(tmp_path))
    assert all(0 <= row["value"] <= row["threshold"] for row in verdicts(tmp_path, "near_duplicate"))
    assert len(verdicts(tmp_path, "near_duplicate")) == 4
    dataset = Dataset.open(str(tmp_path / "set"))
    assert f"same as   image {image_id((tmp_path / 'photos' / '3.jpg').read_bytes())}" in str(why(dataset, "0.jpg"))


def distinct(folder: Path) -> list[str]:
    """For each photo that has two files of one size, the larger file."""
    return ["4.jpg", "5.jpg"]


def test_an_image_that_an_earlier_rule_dropped_represents_none(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    photo(tmp_path / "photos" / "9.jpg", 1, width=30)
    run(recipe(tmp_path, {"min_side": {"pixels": 121}}, "near_duplicate"), runner="inline")
    assert {name for name, still in kept(tmp_path).items() if still} == {"3.jpg"}
    assert len(verdicts(tmp_path, "min_side")) == 7
    assert not verdicts(tmp_path, "near_duplicate")


def test_a_grown_data_set_is_judged_as_a_whole_again(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    wanted = recipe(tmp_path, "near_duplicate")
    run(wanted, runner="inline")
    assert [row.todo for row in dry_run(wanted)] == [0] * 5
    photo(tmp_path / "photos" / "7.jpg", 2, width=320)
    run(wanted, runner="inline")
    assert {name for name, still in kept(tmp_path).items() if still} == {"3.jpg", "4.jpg", "7.jpg"}
    assert len({path.parent for path in commits(tmp_path / "set", "surveyed")}) == 2
    assert len(commits(tmp_path / "set", "quality")) == 5  # the seven photos were not measured again


def test_stages_run_one_by_one_give_the_same_result(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    wanted = recipe(tmp_path, "near_duplicate")
    for stage in ("ingest", "annotate"):
        run(wanted, runner="inline", stage=stage)
    with pytest.raises(ConfigError, match="lacks 4 of 4 shards of 'survey'"):
        run(wanted, runner="inline", stage="emit")
    run(wanted, runner="inline", stage="filter")
    summary = run(wanted, runner="inline", stage="emit")
    assert len(released_ids(tmp_path / "set", summary.release.rsplit("/", 1)[-1])) == 3


def test_a_what_if_makes_its_survey_in_memory(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    run(recipe(tmp_path), runner="inline")
    before = sorted(path for path in (tmp_path / "set").rglob("*"))
    change = what_if(recipe(tmp_path, "near_duplicate")).columns["images"]
    assert (change.given, change.now, change.then, change.rules) == (7, 7, 3, {"near_duplicate": [0, 4]})
    assert sorted(path for path in (tmp_path / "set").rglob("*")) == before


def test_images_without_a_hash_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3)  # images of one colour have no hash
    run(recipe(tmp_path, "near_duplicate"), runner="inline")
    assert list(kept(tmp_path).values()) == [True, True, True]


def test_with_all_images_dropped_no_pairs_are_compared(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    run(recipe(tmp_path, {"min_side": {"pixels": 1000}}, "near_duplicate"), runner="inline", stage="ingest")
    for stage in ("annotate", "filter"):
        run(recipe(tmp_path, {"min_side": {"pixels": 1000}}, "near_duplicate"), runner="inline", stage=stage)
    assert set(kept(tmp_path).values()) == {False}


def test_a_quantile_of_the_whole_set_is_the_threshold_of_the_verdict(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    rule = {"min_score": {"floor": {"quantile": 0.4}}}
    run(recipe(tmp_path, rule, annotate={"boxes": {"use": "fake_detector"}}), runner="inline")
    rows = query(Dataset.open(str(tmp_path / "set")), "SELECT score, kept, threshold FROM regions").to_pylist()
    limit = float(np.quantile([row["score"] for row in rows], 0.4, method="inverted_cdf"))
    assert [row["kept"] for row in rows] == [row["score"] >= limit for row in rows]
    assert {row["threshold"] for row in rows if not row["kept"]} == {limit}


def test_a_quantile_applies_to_its_granularity_only() -> None:
    shards = []
    for tokens in ([3, 4], [5, 90]):
        texts = [text(words=f"{n} words", id=f"t/{n}") for n in tokens]
        texts.append(text(words=f"{tokens[0]} long", id="long", granularity="detailed"))
        parses = parse(
            *(parsed(f"{n} words", tokens=n) for n in tokens), parsed(f"{tokens[0]} long", tokens=100 * tokens[0])
        )
        shard = record(texts=texts)
        shards.append((shard, images(shard), parses))
    rules = [("text_length", text_length, {"max_tokens": {"brief": {"quantile": 0.75}, "detailed": 400}})]
    surveyed = combined((Contribution(*survey_shard(Shard(*shard), rules)[:2]) for shard in shards), rules)
    assert surveyed.numbers == {0: {("max_tokens", "brief"): 5}}
    assert surveyed.rules(rules)[0][2] == {"max_tokens": {"brief": 5, "detailed": 400}}


def test_an_invalid_quantile_is_refused_before_anything_runs(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    with pytest.raises(ConfigError, match=r"'max_tokens\.brief' has the quantile 2"):
        run(recipe(tmp_path, {"text_length": {"max_tokens": {"brief": {"quantile": 2}}}}))
    assert not (tmp_path / "set").exists()


def test_the_key_of_the_verdicts_depends_on_the_survey(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    run(recipe(tmp_path, {"near_duplicate": {"radius": 8}}), runner="inline")
    first = json.loads((tmp_path / "set" / "current.json").read_text())["judge"]["key"]
    run(recipe(tmp_path, {"near_duplicate": {"radius": 9}}), runner="inline")
    assert json.loads((tmp_path / "set" / "current.json").read_text())["judge"]["key"] != first


def test_ten_thousand_copies_have_one_representative_and_a_chain_has_several() -> None:
    random = np.random.default_rng(0)
    one, chain = random.integers(0, 256, 32, np.uint8), random.integers(0, 256, 32, np.uint8)
    links = [chain.copy() for _ in range(3)]
    links[1][:3] ^= 255  # 24 bits from the first, 24 from the last, which are 48 apart
    links[2][:6] ^= 255
    hexes = [one.tobytes().hex()] * 10_000 + [link.tobytes().hex() for link in links]
    ids = [f"{n:032x}" for n in range(len(hexes))]
    hashes = pa.table([ids, hexes, [100] * len(ids), [9] * len(ids)], schema=HASHES)
    rules = [("near_duplicate", near_duplicate, {"radius": 30})]
    same = combined([Contribution(hashes, VALUES.empty_table())], rules).same.to_pylist()
    assert {row["same_as"] for row in same[:9_999]} == {ids[0]}
    assert [(row["image_id"], row["same_as"], row["same_distance"]) for row in same[9_999:]] == [
        (ids[10_001], ids[10_000], 24)
    ]


def test_a_rule_without_hashes_is_refused_before_anything_runs(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 3)
    wanted = recipe(tmp_path, "near_duplicate", annotate={"boxes": {"use": "fake_detector"}})
    with pytest.raises(
        ConfigError, match=r"^Filter 'near_duplicate' reads the score 'phash', which no node gives: add 'quality: "
    ):
        run(wanted, runner="inline")
    assert not (tmp_path / "set" / "boxes").exists()
