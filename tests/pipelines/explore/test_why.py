"""What `why` finds in a data set made by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import ConfigError
from engine.reading.dataset import Dataset
from engine.schema import IMAGES, INPUTS, PROBE
from engine.storage.commits import TableReader
from pipelines.explore.why import Why, why
from tests.handmade import commit, handmade


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return handmade(tmp_path_factory.mktemp("hand"))


def lines(answer: Why) -> list[str]:
    return [" ".join(line.split()) for line in str(answer).splitlines()]


def test_a_kept_region_has_its_proposer_its_sources_and_its_mask(dataset: Dataset) -> None:
    found = lines(why(dataset, "cat.png", "objects/0"))
    assert found[:5] == [
        "objects/0: kept",
        "it is object 'cat' at [11.0 11.0 61.0 61.0], score 0.92 (consensus)",
        "proposed by node 'objects' (consensus, version 1, key objectso)",
        "from ssd/0: object 'cat' at [10.0 10.0 60.0 60.0], score 0.8 (confidence)",
        "proposed by node 'ssd' (ssd_mobilenet, version 1, key ssdssdss)",
    ]
    assert found[6] == "from yolo/0: object 'cat' at [12.0 12.0 62.0 62.0], score 0.6 (confidence)"
    assert "mask outline/0: 900 pixels, by node 'outline' (grabcut, version 1, key outlineo)" in found


def test_a_dropped_region_has_the_rule_its_value_and_its_threshold(dataset: Dataset) -> None:
    assert lines(why(dataset, "cat.png", "objects/1"))[0] == "objects/1: dropped by min_score, value 0.2, threshold 0.3"


def test_a_merged_candidate_has_the_verdict_on_the_region_it_was_merged_into(dataset: Dataset) -> None:
    verdict, because, *_ = lines(why(dataset, "cat.png", "ssd/1"))
    assert verdict == "ssd/1: merged into objects/1"
    assert because.endswith("is dropped by min_score, value 0.2, threshold 0.3")


def test_a_phrase_leads_back_through_its_regions_to_the_detector(dataset: Dataset) -> None:
    found = lines(why(dataset, "cat.png", "grounder/1", depth=2))
    assert "it is phrase 'a dog' of captions/1, score 0.9 (confidence)" in found
    assert "from captions/1: detailed text 'A cat sits near a dog.', score 1 (confidence)" in found
    assert "from ssd/1: object 'dog' at [12.0 12.0 58.0 58.0], score 0.2 (confidence)" in found


def test_the_depth_limits_how_far_back_sources_are_shown_and_the_rest_is_counted(dataset: Dataset) -> None:
    short = lines(why(dataset, "cat.png", "grounder/1"))
    assert not any(line.startswith("from ssd/1") for line in short)
    assert "further 1 more annotations behind these: --depth 2 shows them" in short
    none = lines(why(dataset, "cat.png", "grounder/1", depth=0))
    assert not any(line.startswith("from objects/1") for line in none)
    assert "further 3 more annotations behind these: --depth 1 shows them" in none
    with pytest.raises(ConfigError, match="depth is -1"):
        why(dataset, "cat.png", "grounder/1", depth=-1)


def test_an_annotation_dropped_with_another_names_that_one(dataset: Dataset) -> None:
    assert lines(why(dataset, "page.png", "ocr/3"))[1].startswith("because ocr/1")
    assert lines(why(dataset, "tiny.png", "captions/0"))[1] == (
        "because the image is dropped by min_side, value 16, threshold 32"
    )


def test_a_human_region_has_no_score_and_names_the_detectors_that_support_it(dataset: Dataset) -> None:
    found = lines(why(dataset, "cup.png", "human/0"))
    assert "it is object 'cup' at [20.0 20.0 80.0 80.0], no score (human)" in found
    assert "from ssd/0: object 'cup' at [22.0 22.0 78.0 78.0], score 0.9 (confidence)" in found


def test_an_image_has_its_sources_and_every_annotation(dataset: Dataset) -> None:
    text = str(why(dataset, "cat.png"))
    assert "cat-copy.png" in text
    assert "regions: 6 proposed, 1 kept" in text
    assert all(name in text for name in ("ssd/0", "ssd/1", "yolo/0", "outline/0", "captions/1", "grounder/0"))


def test_an_image_is_found_by_id_prefix_uri_copy_and_bare_name(dataset: Dataset) -> None:
    whole = str(why(dataset, "cat.png"))
    found = re.search(r"image (\w{32})", whole)
    assert found
    uri = str(Path(dataset.url).parent / "photos" / "cat-copy.png")
    assert {str(why(dataset, name)) for name in (found[1], found[1][:8], uri, "cat-copy.png", "cat")} == {whole}


def test_a_quarantined_image_or_input_has_its_reason(dataset: Dataset) -> None:
    assert "yolo: worker_lost" in str(why(dataset, "crash.png"))
    assert "quarantined: not_an_image" in str(why(dataset, "broken.png"))


def test_before_the_filters_nothing_is_judged(tmp_path: Path) -> None:
    assert lines(why(handmade(tmp_path, judged=False), "cat.png", "objects/0"))[0] == "objects/0: not judged yet"


def test_an_unknown_image_gets_the_nearest_file_names(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"No image 'cet.png' in this data set: the nearest file names are cat.png"):
        why(dataset, "cet.png")


def test_an_unknown_annotation_gets_the_nearest_one(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"Unknown annotation of image \w+ 'captoins/1': did you mean 'captions/1'"):
        why(dataset, "cat.png", "captoins/1")


def test_a_name_of_several_images_is_refused(tmp_path: Path) -> None:
    """A file changed between two runs, so one name is two images."""
    dataset = handmade(tmp_path)
    import pyarrow as pa

    def copied(folder: str, schema: pa.Schema, **changes: str) -> None:
        row = TableReader(dataset.storage, dataset.files(folder)[0]).read().to_pylist()[0]
        commit(dataset.storage, folder, 2, pa.Table.from_pylist([row | changes], schema=schema))

    copied("inputs", INPUTS, fingerprint="2")
    copied("probe/probekey", PROBE, fingerprint="2", image_id="0" * 32)
    copied("images", IMAGES, image_id="0" * 32)
    with pytest.raises(ConfigError, match=r"'cat\.png' names 2 images: give more of the id"):
        why(Dataset.open(dataset.url), "cat.png")


def test_the_answer_holds_the_verdict_and_the_image_as_data(dataset: Dataset) -> None:
    dropped, kept = why(dataset, "cat.png", "objects/1"), why(dataset, "cat.png", "objects/0")
    assert (dropped.kept, dropped.rule, kept.kept, kept.rule) == (False, "min_score", True, "")
    assert kept.image is not None
    assert kept.image.annotation("objects/0").node.component == "consensus"
    assert (why(dataset, "tiny.png").rule, why(dataset, "broken.png").image) == ("min_side", None)
