"""Totals and outcomes are counted in different files, and must add up."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.schema import PARSE, PROBE
from engine.storage.commits import TableReader
from tests.builders import failure, parsed
from tests.handmade import commit, handmade, judged_table, key


def test_every_input_has_exactly_one_outcome(tmp_path: Path) -> None:
    found = account(handmade(tmp_path))
    assert found.inputs == 8
    assert found.outcomes == {"kept": 3, "filtered": 1, "quarantined": 2, "pending": 1, "duplicates": 1}
    assert found.filtered_by == {"min_side": 1}
    assert found.balanced


def test_every_annotation_is_kept_or_dropped_by_a_rule(tmp_path: Path) -> None:
    columns = account(handmade(tmp_path)).annotations
    assert columns["regions"].given == 12
    assert columns["regions"].outcomes == {"kept": 3, "image_dropped": 1, "merged": 6, "min_score": 2, "pending": 0}
    assert columns["texts"].outcomes == {"kept": 4, "image_dropped": 1, "text_length": 1, "pending": 0}
    assert columns["region_texts"].outcomes == {"kept": 1, "region_dropped": 1, "pending": 0}
    assert columns["phrases"].outcomes == {"kept": 1, "ungrounded_phrase": 1, "pending": 0}


def test_annotations_without_verdicts_are_pending(tmp_path: Path) -> None:
    found = account(handmade(tmp_path, judged=False))
    assert found.outcomes == {"kept": 0, "filtered": 0, "quarantined": 2, "pending": 5, "duplicates": 1}
    assert found.annotations["regions"].outcomes == {"kept": 0, "pending": 12}
    assert found.shards["judge"] == (0, 2)
    assert found.balanced


def test_counts_add_up_after_a_run_was_killed_before_its_first_node(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    dataset.storage.remove("current.json")
    found = account(Dataset.open(dataset.url))
    assert found.outcomes == {"kept": 0, "filtered": 0, "quarantined": 1, "pending": 6, "duplicates": 1}
    assert found.balanced


def test_an_image_whose_text_cannot_be_parsed_is_quarantined(tmp_path: Path) -> None:
    dataset = handmade(tmp_path, judged=False)
    broken = parsed("a cup", failures=[failure(component="parse", reason="error")])
    table = pa.Table.from_pylist([parsed("a page"), broken], schema=PARSE)
    commit(dataset.storage, f"parse/{key('parse')[:8]}", 1, table, revision=1)
    found = account(Dataset.open(dataset.url))
    assert found.outcomes["quarantined"] == 3  # its text also occurs in another shard, where the parse succeeded
    assert ("parse", "error", 1) in found.failures


def test_a_failure_counts_for_the_node_that_failed_first(tmp_path: Path) -> None:
    assert account(handmade(tmp_path)).failures == [("ingest", "not_an_image", 1), ("yolo", "worker_lost", 1)]


def test_wrong_sums_are_detected(tmp_path: Path) -> None:
    """A verdict on an annotation that does not exist, and a probed input that was never listed."""
    dataset = handmade(tmp_path)
    ids = {"cat": "nobody", "cup": "either", "tiny": "neither"}
    commit(dataset.storage, "judge/judgekey", 0, judged_table(("cat", "cup", "tiny"), ids), revision=1)
    found = account(Dataset.open(dataset.url))
    assert not found.annotations["regions"].balanced
    assert not found.balanced


def test_an_image_without_an_input_is_detected(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    rows = TableReader(dataset.storage, dataset.files(dataset.probe)[0]).read().to_pylist()
    rows[2] |= {"failures": [failure(component="ingest", reason="corrupt")]}  # the cup, which has its place already
    commit(dataset.storage, "probe/probekey", 0, pa.Table.from_pylist(rows, schema=PROBE), revision=1)
    assert not account(Dataset.open(dataset.url)).images_balanced


def test_shards_and_rates_are_counted_by_node(tmp_path: Path) -> None:
    found = account(handmade(tmp_path))
    assert (found.shards["ssd"], found.shards["judge"], found.shards["probe"]) == ((2, 2), (2, 2), (1, 2))
    assert found.rates == {"ssd": 2.0}
    assert found.last_run["stage"] == "all"
