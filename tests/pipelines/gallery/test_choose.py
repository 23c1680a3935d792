"""Which images are in the gallery, and for which reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from pipelines.gallery.choose import RANDOM, choose, fair_shares
from tests.handmade import handmade


def reasons(con: Any, names: dict[str, str]) -> dict[str, list[str]]:
    """{reason: photos that were chosen for it}, without those at random."""
    photos = {image_id: name for name, image_id in names.items()}
    found: dict[str, list[str]] = {}
    for one in choose(con):
        for reason in one.strata:
            found.setdefault(reason, []).append(photos[one.image_id])
    return {reason: sorted(found[reason]) for reason in found if reason != RANDOM}


def test_images_are_chosen_for_rules_disagreement_and_failures(con: Any, names: dict[str, str]) -> None:
    """Three producers were merged. Two of them found the cat, one the cup. The cup in `cup` is human."""
    assert reasons(con, names) == {
        "Barely dropped by min_score": ["cat", "page"],
        "Barely dropped by min_side": ["tiny"],
        "Barely dropped by text_length": ["page"],
        "Dropped most by min_score": ["cat", "page"],
        "Dropped most by min_side": ["tiny"],
        "Dropped most by text_length": ["page"],
        "Dropped most by ungrounded_phrase": ["cat"],
        "Failed: worker_lost": ["crash"],
        "Few detectors agree": ["cup"],
    }


def test_every_image_of_a_small_set_is_chosen_and_in_the_same_order_again(con: Any, names: dict[str, str]) -> None:
    first = choose(con)
    assert {one.image_id for one in first} == set(names.values())
    assert choose(con) == first
    assert [one.image_id for one in choose(con, limit=3)] == [one.image_id for one in first[:3]]


def test_a_set_that_was_not_judged_gives_images_at_random_and_failures(tmp_path: Path) -> None:
    with connect(handmade(tmp_path, judged=False)) as con:
        chosen = choose(con)
    assert len(chosen) == 5
    assert all(RANDOM in one.strata for one in chosen)
    assert "Failed: worker_lost" in {reason for one in chosen for reason in one.strata}


def test_regions_just_above_a_floor_on_scores_barely_passed(hand: Dataset) -> None:
    """The named query, with regions of one producer and label on both sides of a floor of 0.3."""
    with connect(hand) as con:
        con.execute("CREATE TEMP TABLE images AS SELECT lpad(range::VARCHAR, 32, '0') AS image_id FROM range(10)")
        con.execute(
            """CREATE TEMP TABLE regions AS SELECT image_id, 'ssd/0' AS annotation_id, 'ssd' AS producer,
               'cat' AS label, 'object' AS kind, image_id::INTEGER / 10 AS score, score >= 0.3 AS kept,
               '' AS merged_into, '' AS rle,
               CASE WHEN kept THEN '' ELSE 'min_score' END AS rule, CASE WHEN NOT kept THEN score END AS "value",
               0.3 AS threshold, []::VARCHAR[] AS support, 0 AS x1, 0 AS y1, 9 AS x2, 9 AS y2 FROM images"""
        )
        chosen = choose(con)
    passed = [int(one.image_id) for one in chosen if "Barely passed min_score" in one.strata]
    assert sorted(passed) == [3, 4]
    assert {int(one.image_id) for one in chosen if "Lowest scores kept" in one.strata} == {3}
    assert {int(one.image_id) for one in chosen if "Highest scores kept" in one.strata} == {9}


def test_overlapping_regions_of_other_labels_and_detectors_disagree(hand: Dataset) -> None:
    boxes = [("a", "cat", 0, 10), ("b", "dog", 1, 10), ("c", "bird", 5, 20)]  # the bird overlaps too little
    with connect(hand) as con:
        con.execute("CREATE TEMP TABLE regions AS SELECT * FROM regions WHERE false")
        for image_id, found in (("00", boxes), ("01", [boxes[0], boxes[2]]), ("02", [boxes[0], ("a", "dog", 1, 10)])):
            for n, (producer, label, x1, x2) in enumerate(found):
                con.execute(
                    """INSERT INTO regions BY NAME SELECT ? AS image_id, ? AS annotation_id, ? AS producer, ? AS label,
                       ? AS x1, ? AS x2, 0 AS y1, 10 AS y2, 'object' AS kind, true AS kept, '' AS merged_into,
                       '' AS rle, 0.9 AS score, []::VARCHAR[] AS support""",
                    [image_id, f"{producer}/{n}", producer, label, x1, x2],
                )
        con.execute("CREATE TEMP TABLE images AS SELECT DISTINCT image_id FROM regions")
        chosen = choose(con)
    assert [one.image_id for one in chosen if "Detectors give other labels" in one.strata] == ["00"]


# --- shares ------------------------------------------------------------------------------------


def test_strata_take_turns() -> None:
    ranked = {RANDOM: ["a", "b", "c"], "rule": ["d", "e", "f"], "failed": ["g"]}
    assert [one.image_id for one in fair_shares(ranked, 5)] == ["a", "d", "g", "b", "e"]


def test_an_image_of_two_strata_takes_one_place_and_lists_both() -> None:
    chosen = fair_shares({"rule": ["a", "b"], "failed": ["a", "c"]}, 9)
    assert [(one.image_id, one.strata) for one in chosen] == [
        ("a", ("rule", "failed")),
        ("b", ("rule",)),
        ("c", ("failed",)),
    ]


def test_with_many_strata_images_at_random_keep_a_share() -> None:
    ranked = {RANDOM: [f"r{n}" for n in range(9)]} | {f"rule {n}": [f"{n}-{k}" for k in range(9)] for n in range(8)}
    chosen = [one.image_id for one in fair_shares(ranked, 10)]
    assert chosen[:3] == ["r0", "r1", "0-0"]
    assert len(chosen) == 10


def test_a_limit_of_no_images_is_refused(con: Any) -> None:
    with pytest.raises(ConfigError, match="limited to 0 images: give 1 or more"):
        choose(con, limit=0)
