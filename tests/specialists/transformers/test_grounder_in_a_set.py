"""hf_grounder in a data set: the rules on its scores, its phrases and regions in a release and in training pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.records.answers import number
from engine.schema import Answer, Region, as_row
from model.florence2_tasks import GROUNDING, OBJECT_DETECTION
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.parsing import parse_target
from pipelines.recipe import Recipe, parse_recipe
from pipelines.stages.run import run
from specialists.transformers.grounder import HfGrounder
from tests.specialists.transformers.parsed import photo

CheckpointOf = Callable[[str], str]
BOX, PHRASE = 0.85, 0.7  # floors of the rules, above those of the node

# The kept regions of each phrase, of any rule.
PHRASES = """SELECT p.image_id, p.annotation_id AS id, p.score, p.rule, p.kept, len(p.region_ids) AS named,
    (SELECT count(*) FROM regions r WHERE r.image_id = p.image_id AND r.kept AND r.annotation_id IN
        (SELECT unnest(p.region_ids))) AS standing
    FROM phrases p WHERE p.producer = 'phrases'"""


def recipe(dataset: Path, checkpoint_of: CheckpointOf) -> Recipe:
    phrases = {"use": "hf_grounder", "checkpoint": checkpoint_of("mm_grounding_dino"), "batch_size": 2}
    return parse_recipe(
        {
            "dataset": str(dataset),
            "ingest": {"sources": ["world://?images=4&size=64"]},
            "annotate": {
                "human": {"use": "human"},
                "objects": {"use": "consensus"},
                "captions": {"use": "composer"},
                "parse": {"use": "spacy_parse"},
                "phrases": phrases | {"box_floor": 0.4, "phrase_floor": 0.4},
                "masks": {"use": "sam", "checkpoint": checkpoint_of("sam2"), "min_side": 1, "min_quality": 0.0},
            },
            "filter": [
                {"min_score": {"by_producer": {"phrases": BOX}}},
                "nms",
                {"agreement": {"producers": 1}},
                {"min_phrase_score": {"floor": PHRASE}},
                "ungrounded_phrase",
            ],
            "emit": {"name": ""},
        }
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, checkpoint_of: CheckpointOf) -> Dataset:
    folder = tmp_path_factory.mktemp("grounded") / "set"
    run(recipe(folder, checkpoint_of), runner="inline")  # a release that does not verify would be refused
    return Dataset.open(str(folder))


def rows(dataset: Dataset, sql: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = query(dataset, sql).to_pylist()
    return answer


def test_the_floor_of_boxes_drops_regions_and_no_phrase_that_has_another(dataset: Dataset) -> None:
    regions = rows(dataset, "SELECT score, rule FROM regions WHERE producer = 'phrases'")
    assert {region["rule"] for region in regions} == {"", "min_score"}
    assert all((region["rule"] == "min_score") == (region["score"] < BOX) for region in regions)
    phrases = rows(dataset, PHRASES)
    assert any(phrase["kept"] and 0 < phrase["standing"] < phrase["named"] for phrase in phrases)


def test_the_floor_of_phrases_and_the_lack_of_regions_drop_phrases(dataset: Dataset) -> None:
    phrases = rows(dataset, PHRASES)
    for phrase in phrases:
        lacking = "" if phrase["standing"] else "ungrounded_phrase"
        assert phrase["rule"] == ("min_phrase_score" if phrase["score"] < PHRASE else lacking)
    assert {phrase["rule"] for phrase in phrases} == {"", "min_phrase_score", "ungrounded_phrase"}


def test_a_release_has_a_triplet_for_each_kept_pair_of_phrase_and_region(dataset: Dataset) -> None:
    triplets = rows(dataset, "SELECT image_id, phrase_id AS id, count(*) AS n FROM kept.triplets GROUP BY ALL")
    found = {(row["image_id"], row["id"]): row["n"] for row in triplets}
    wanted = {(row["image_id"], row["id"]): row["standing"] for row in rows(dataset, PHRASES) if row["kept"]}
    assert found == wanted
    assert max(found.values()) > 1


def test_regions_of_phrases_get_masks(dataset: Dataset) -> None:
    masks = rows(dataset, "SELECT merged_into, rle FROM regions WHERE producer = 'masks'")
    assert masks
    assert all(mask["merged_into"].startswith("phrases/") and mask["rle"] for mask in masks)


# --- training pairs -------------------------------------------------------------------------------

TEXT = ("a dog and the black cat", ["a dog", "the black cat"])


@pytest.fixture(scope="module")
def record(checkpoint_of: CheckpointOf) -> Mapping[str, Any]:
    """A record with the answer of a grounder to two texts, and a labelled object."""
    model = HfGrounder(checkpoint=checkpoint_of("owlv2"), max_boxes=2)
    model.load()
    sample = photo(64, 48, TEXT, ("The dog! a dog", ["The dog", "a dog"]))
    answer: Answer = model.annotate([sample])[0]
    answer.regions.append(Region(1, 2, 30, 40, "dog", id="object", score=0.9))
    number(answer, "phrases")
    return {name: [as_row(item) for item in getattr(answer, name)] for name in ("regions", "phrases")} | {
        "texts": [as_row(text) for text in sample.texts]
    }


def test_a_phrase_with_two_regions_has_both_in_the_target(record: Mapping[str, Any]) -> None:
    pairs = compile_pairs(record, width=64, height=48, options=PairOptions(tasks=(GROUNDING,))).pairs
    assert len(pairs) == 2
    labels = [region.label for region in parse_target(GROUNDING, pairs[0].target, width=64, height=48).regions]
    assert labels == ["a dog", "a dog", "the black cat", "the black cat"]
    assert {name for pair in pairs for name in pair.annotation_ids} >= {phrase["id"] for phrase in record["phrases"]}


def test_the_box_of_a_phrase_is_no_object_to_detect(record: Mapping[str, Any]) -> None:
    tasks = (OBJECT_DETECTION, "<REGION_PROPOSAL>")
    compiled = compile_pairs(record, width=64, height=48, options=PairOptions(tasks=tasks))
    assert [pair.annotation_ids for pair in compiled.pairs] == [["phrases/object"], ["phrases/object"]]
    assert not compiled.left_out


def test_the_same_phrase_in_two_texts_is_not_ambiguous(record: Mapping[str, Any]) -> None:
    """It names the same regions in both, because texts share regions."""
    tasks = ("<OPEN_VOCABULARY_DETECTION>",)
    compiled = compile_pairs(record, width=64, height=48, options=PairOptions(tasks=tasks))
    assert ("<OPEN_VOCABULARY_DETECTION>", "ambiguous") not in compiled.left_out
