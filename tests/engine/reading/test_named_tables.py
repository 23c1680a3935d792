"""The named queries that print the tables of the Florence-2 paper, on small data sets and against spaCy's counts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import KEPT, connect, query, run_query
from engine.records.assemble import assemble
from engine.schema import PARSE, VERDICTS
from filters.judging.keep import keep
from tests.builders import failure, parsed, phrase, record, region, row, text
from tests.engine.reading.one_shard import write
from tests.engine.reading.tables import table, values
from tests.handmade import commit, handmade


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return handmade(tmp_path_factory.mktemp("hand"))


# --- the data set written by hand -------------------------------------------------------------------


def test_annotation_statistics_of_the_hand_made_set(hand: Dataset) -> None:
    rows = table(hand, "annotation_statistics")
    columns = ("image_annotations", "avg_tokens", "regions", "avg_regions", "avg_regional_tokens")
    found = {(row["type"], row["text_type"]): tuple(row[name] for name in columns) for row in rows}
    assert {key: value for key, value in found.items() if value[0]} == {
        ("text", "brief"): (3, 2.0, None, None, None),
        ("text", "detailed"): (1, 6.0, None, None, None),
        ("region-text", "phrase"): (2, None, 2, 1.0, 1.0),
        ("region-text", "ocr"): (1, None, 1, 1.0, 1.0),
        ("text-phrase-region", "detailed"): (1, 6.0, 1, 1.0, 2.0),
    }


def test_the_figures_of_fld_5b_are_shown_even_if_we_have_no_such_annotations(hand: Dataset) -> None:
    rows = {(row["type"], row["text_type"]): row for row in table(hand, "annotation_statistics")}
    assert rows["text", "brief"]["fld5b_avg_tokens"] == 7.95
    assert rows["region-text", "brief"]["image_annotations"] == 0
    assert rows["region-text", "brief"]["fld5b_avg_regional_tokens"] == 2.55
    published = [row for row in rows.values() if row["fld5b_image_annotations"]]
    assert len(published) == 8
    assert sum(row["fld5b_regions"] or 0 for row in published if row["type"] == "text-phrase-region") == 3574_000_000


def test_boxes_of_the_hand_made_set(hand: Dataset) -> None:
    columns = ("region_text", "text_phrase_region")
    assert values(table(hand, "spatial_area"), "side_from", *columns) == [(0.3, 1, 0), (0.5, 1, 1), (0.6, 1, 0)]
    assert values(table(hand, "spatial_aspect"), "log2_from", *columns) == [(0.0, 2, 1), (2.0, 1, 0)]
    cells = {
        (row["type"], row["y"], f"x{k}"): row[f"x{k}"]
        for row in table(hand, "spatial_centre")
        for k in range(10)
        if row[f"x{k}"]
    }
    thirds = [("region-text", 2, "x3"), ("region-text", 4, "x3"), ("region-text", 5, "x5")]
    assert cells == dict.fromkeys(thirds, 333.3) | {("text-phrase-region", 4, "x3"): 1000.0}


def test_a_kept_region_without_a_kept_phrase_is_listed(hand: Dataset) -> None:
    assert values(table(hand, "regions_without_text"), "label", "without_text", "kept", "share") == [("cup", 1, 1, 1.0)]


def test_the_funnel_of_the_hand_made_set(hand: Dataset) -> None:
    rows = table(hand, "funnel")
    found = {kind: values([row for row in rows if row["annotation_type"] == kind], "step", "number") for kind in KEPT}
    assert found["images"] == [("given", 5), ("failed", 1), ("min_side", 1), ("kept", 3)]
    assert found["regions"] == [
        ("given", 12),
        ("merged", 6),
        ("min_score", 2),
        ("image_dropped", 1),
        ("kept", 3),
    ]
    assert found["region_texts"] == [("given", 2), ("region_dropped", 1), ("kept", 1)]


@pytest.mark.parametrize("judged", [True, False])
def test_the_funnel_adds_up(tmp_path: Path, *, judged: bool) -> None:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for step in table(handmade(tmp_path, judged=judged), "funnel"):
        found[step["annotation_type"]]["given" if step["step"] == "given" else "became"] += step["number"]
    assert found["regions"]["given"] == 12
    assert all(number["given"] == number["became"] for number in found.values())


def test_rules_come_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    dataset = handmade(tmp_path)
    record = {"recipe": json.dumps({"filter": [{"text_length": {}}, "min_side"]}), "nodes": []}
    dataset.storage.put("runs/00002-abcdef/run.json", json.dumps(record).encode())
    steps = [row["step"] for row in table(dataset, "funnel") if row["annotation_type"] == "texts"]
    assert steps == ["given", "text_length", "image_dropped", "kept"]


# --- merges, drops and nouns, computed by hand ---------------------------------------------------------

CAPTION = "A cat and a dog on a mat."


def merged(folder: Path) -> Dataset:
    """r/2 is merged into r/1, which is merged into r/0; c/0 and c/1 into each other; r/3 is dropped."""
    chunks = [
        {"char_start": a, "char_end": b, "head": CAPTION[a:b].split()[-1], "plural": False, "text": CAPTION[a:b]}
        for a, b in ((0, 5), (10, 15), (19, 24))
    ]
    parse = parsed(CAPTION, tokens=8, objects=["cat", "dog", "mat"], chunks=chunks)
    boxes = {"r/0": "", "r/1": "r/0", "r/2": "r/1", "r/3": "", "r/4": "", "c/0": "c/1", "c/1": "c/0"}
    shard = record(
        row(
            regions=[region(id=name, merged_into=into, label=name) for name, into in boxes.items()],
            texts=[text(CAPTION, id="t/0"), text(CAPTION, "detailed", id="t/1")],
            phrases=[
                phrase("t/0", 0, 5, ["r/0", "r/1"], id="p/0"),
                phrase("t/0", 10, 15, ["r/2", "c/0"], id="p/1"),
                phrase("t/0", 19, 24, ["r/3"], id="p/2"),
                phrase("t/1", 0, 24, ["r/2", "r/1", "r/0"], id="p/3"),
            ],
        )
    )
    dropped = {name: "merged" for name, into in boxes.items() if into} | {"r/3": "min_score"}
    return write(folder, shard, [parse], dropped)


def test_a_phrase_names_the_merged_region_once(tmp_path: Path) -> None:
    found = query(merged(tmp_path), "SELECT phrase_id, region_id FROM kept.triplets ORDER BY ALL")
    assert values(found.to_pylist(), "phrase_id", "region_id") == [("p/0", "r/0"), ("p/1", "r/0"), ("p/3", "r/0")]


def test_triplets_are_the_same_as_in_a_release(tmp_path: Path) -> None:
    dataset = merged(tmp_path)
    with connect(dataset) as con:
        shard, judged = (con.sql(f"SELECT * FROM raw.{name}").to_arrow_table() for name in ('"node all"', "verdicts"))
        found = run_query(con, "SELECT phrase_id, region_id FROM kept.triplets").to_pylist()
    released = keep(assemble([shard]).combine_chunks(), judged.cast(VERDICTS)).to_pylist()
    pairs = [(item["id"], name) for image in released for item in image["phrases"] for name in item["region_ids"]]
    assert sorted(values(found, "phrase_id", "region_id")) == sorted(pairs)
    assert len(pairs) == 3


def test_statistics_count_a_region_for_each_phrase_that_names_it(tmp_path: Path) -> None:
    rows = [row for row in table(merged(tmp_path), "annotation_statistics") if row["type"] == "text-phrase-region"]
    columns = ("text_type", "image_annotations", "avg_tokens", "regions", "avg_regional_tokens")
    assert values([row for row in rows if row["regions"]], *columns) == [
        ("brief", 1, 8.0, 2, 2.0),
        ("detailed", 1, 8.0, 1, 8.0),
    ]


@pytest.mark.parametrize(
    ("label", "words"),
    [("cat", 1), ("traffic light", 2), (" traffic  light ", 2), ("t-shirt", 2), ("caf\u00e9 no. 3", 3), ("!", 0)],
)
def test_a_word_is_a_run_of_letters_and_digits(tmp_path: Path, label: str, words: int) -> None:
    dataset = write(tmp_path, record(regions=[region(label=label)]), [], {})
    rows = [row for row in table(dataset, "annotation_statistics") if row["regions"]]
    assert values(rows, "text_type", "regions", "avg_regional_tokens") == [("phrase", 1, words)]


def test_a_noun_is_grounded_if_its_phrase_names_a_kept_region(tmp_path: Path) -> None:
    rows = table(merged(tmp_path), "nouns_without_region")
    assert values(rows, "noun", "without_region", "said", "example") == [("mat", 1, 2, CAPTION)]


def test_regions_without_text_follow_merges(tmp_path: Path) -> None:
    assert values(table(merged(tmp_path), "regions_without_text"), "label", "without_text") == [("r/4", 1)]


def test_of_two_parses_of_a_text_the_one_that_succeeded_is_shown(tmp_path: Path) -> None:
    dataset = merged(tmp_path)
    broken = parsed(CAPTION, tokens=0, failures=[failure()])
    commit(dataset.storage, "parse/k", 1, pa.Table.from_pylist([broken], schema=PARSE))
    commit(dataset.storage, "parse/k", 2, pa.Table.from_pylist([parsed(CAPTION, tokens=9)], schema=PARSE))
    found = query(Dataset.open(dataset.url), "SELECT tokens, len(failures) AS failed FROM parse").to_pylist()
    assert values(found, "tokens", "failed") == [(8, 0)]
