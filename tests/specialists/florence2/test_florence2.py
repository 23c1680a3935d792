from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.records.answers import check_answer, number
from engine.running.graph import Node, build
from engine.schema import Answer, Region, Sample, Text
from model.decoding.predict import Prediction
from model.decoding.score import score
from model.florence2_tasks import TASKS
from model.network.encoding import make_question
from specialists import CATALOG
from specialists.florence2.answers import AnswerBuilder
from specialists.florence2.specialist import Florence2
from tests.model.tiny import GIVEN, saved, tiny

BOX = "<loc_100><loc_200><loc_500><loc_600>"  # 10, 10, 50, 30 of 100 x 50, to within half a bin
OUTLINE = "<loc_100><loc_200><loc_500><loc_200><loc_500><loc_600><loc_100><loc_600>"
REGION = Region(10.05, 10.025, 50.05, 30.025, "cat", id="objects/3", score=0.9)
TEXT = Text("A cat, a hat and a hat.", "brief", id="writer/0", score=0.9)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("checkpoint"))


def sample(**annotations: Any) -> Sample:
    return Sample("0" * 32, 100, 50, np.zeros((50, 100, 3), np.uint8), **annotations)


def prediction_of(task: str, target: str) -> Prediction:
    """A prediction with this answer, and with the scores that the tiny model gives it."""
    pixels = np.zeros((50, 100, 3), np.uint8)
    return score(tiny(), [pixels], [make_question(0, task, GIVEN[TASKS[task].input])], [target])[0]


def answer_of(task: str, target: str, subject: Any = None, **annotations: Any) -> Answer:
    builder = AnswerBuilder(sample(**annotations))
    builder.add(task, prediction_of(task, target), subject)
    answer = builder.finish()
    gives = (*TASKS[task].makes, "image_scores")
    assert check_answer(answer, builder.sample, gives) == ""
    return answer


def faults(answer: Answer) -> dict[str, float]:
    return {item.code: item.value for item in answer.image_scores}


def test_a_caption_is_a_text_of_its_granularity_with_the_mean_probability_of_its_tokens() -> None:
    answer = answer_of("<DETAILED_CAPTION>", "a red ball")
    (text,) = answer.texts
    assert (text.text, text.granularity, text.score_kind) == ("a red ball", "detailed", "token_probability")
    assert text.score == prediction_of("<DETAILED_CAPTION>", "a red ball").likelihood.text > 0


def test_a_detected_object_is_a_box_with_the_probability_of_its_label_and_place() -> None:
    answer = answer_of("<OD>", f"ball{BOX}ring{BOX}")
    assert [region.label for region in answer.regions] == ["ball", "ring"]
    assert (answer.regions[0].x1, answer.regions[0].y2) == pytest.approx((10.05, 30.025))
    scores = prediction_of("<OD>", f"ball{BOX}ring{BOX}").likelihood.regions
    assert [region.score for region in answer.regions] == [found.score for found in scores]


def test_a_described_region_is_a_box_without_a_label_and_a_brief_text() -> None:
    answer = answer_of("<DENSE_REGION_CAPTION>", f"a small red ball{BOX}")
    assert answer.regions[0].label == ""
    assert [(text.region_id, text.text, text.granularity) for text in answer.region_texts] == [
        (answer.regions[0].id, "a small red ball", "brief")
    ]


def test_printed_words_are_a_text_region_with_its_quad() -> None:
    answer = answer_of("<OCR_WITH_REGION>", f"OPEN{OUTLINE}")
    region = answer.regions[0]
    assert (region.kind, len(region.quad), round(region.y1, 3), round(region.y2, 3)) == ("text", 8, 10.025, 30.025)
    assert [(text.text, text.granularity) for text in answer.region_texts] == [("OPEN", "ocr")]


def test_a_box_of_one_location_is_as_wide_as_that_location() -> None:
    (region,) = answer_of("<REGION_PROPOSAL>", "<loc_0><loc_0><loc_0><loc_999>").regions
    assert (region.x1, region.x2) == pytest.approx((0.0, 0.1))


def test_a_phrase_names_an_existing_region_or_a_new_one() -> None:
    elsewhere = "<loc_600><loc_0><loc_900><loc_100>"
    target = f"A cat{BOX}a hat{elsewhere}a hat{elsewhere}"
    answer = answer_of("<CAPTION_TO_PHRASE_GROUNDING>", target, TEXT, texts=[TEXT], regions=[REGION])
    assert [(phrase.char_start, phrase.char_end) for phrase in answer.phrases] == [(0, 5), (7, 12), (17, 22)]
    assert [phrase.region_ids for phrase in answer.phrases] == [
        ["objects/3"],
        *([region.id] for region in answer.regions),
    ]
    assert {phrase.text_id for phrase in answer.phrases} == {"writer/0"}


def test_a_phrase_that_is_not_in_its_text_is_counted() -> None:
    answer = answer_of("<CAPTION_TO_PHRASE_GROUNDING>", f"a dog{BOX}", TEXT)
    assert not answer.phrases
    assert not answer.regions
    assert faults(answer) == {"<CAPTION_TO_PHRASE_GROUNDING> not_in_text": 1}


def test_a_mask_is_merged_into_the_region_of_the_question() -> None:
    (mask,) = answer_of("<REGION_TO_SEGMENTATION>", OUTLINE, REGION, regions=[REGION]).regions
    assert (mask.merged_into, mask.label, mask.x1) == ("objects/3", "cat", REGION.x1)
    assert mask.rle


def test_an_outline_for_a_name_is_a_region_with_that_label() -> None:
    (region,) = answer_of("<REFERRING_EXPRESSION_SEGMENTATION>", OUTLINE, "red ball").regions
    assert region.label == "red ball"
    assert region.rle
    assert (region.x1, region.y1, region.x2, region.y2) == pytest.approx((10, 10, 50, 30), abs=1)


def test_an_outline_without_a_pixel_is_counted() -> None:
    answer = answer_of("<REGION_TO_SEGMENTATION>", "<loc_5><loc_5>" * 3, REGION)
    assert not answer.regions
    assert faults(answer) == {"<REGION_TO_SEGMENTATION> empty_mask": 1}


@pytest.mark.parametrize(("task", "granularity"), [("<REGION_TO_CATEGORY>", "candidate"), ("<REGION_TO_OCR>", "ocr")])
def test_a_text_for_a_region_has_its_id_and_granularity(task: str, granularity: str) -> None:
    (text,) = answer_of(task, "ball", REGION).region_texts
    assert (text.region_id, text.text, text.granularity) == ("objects/3", "ball", granularity)


def test_faults_are_counted_and_the_valid_regions_kept() -> None:
    answer = answer_of("<OD>", f"ball{BOX}ring<loc_9>ring<loc_9><loc_9><loc_1><loc_1>")
    assert [region.label for region in answer.regions] == ["ball"]
    assert faults(answer) == {"<OD> inverted_box": 1, "<OD> location_count": 1}


def test_a_text_that_was_cut_off_is_left_out() -> None:
    whole = prediction_of("<CAPTION>", "a red ball")
    cut = Prediction(whole.ids, whole.parsed, whole.likelihood, cut=True)
    builder = AnswerBuilder(sample())
    builder.add("<CAPTION>", cut)
    answer = builder.finish()
    assert not answer.texts
    assert faults(answer) == {"<CAPTION> cut": 1}


@pytest.mark.parametrize(
    ("tasks", "needs", "uses", "gives"),
    [
        (["<CAPTION>"], {"pixels"}, set(), {"texts"}),
        (["<OD>", "<DENSE_REGION_CAPTION>"], {"pixels"}, set(), {"boxes", "region_texts"}),
        (["<CAPTION_TO_PHRASE_GROUNDING>"], {"pixels", "texts"}, {"regions"}, {"phrases", "phrase_regions"}),
        (
            ["<CAPTION>", "<CAPTION_TO_PHRASE_GROUNDING>"],
            {"pixels"},
            {"regions"},
            {"texts", "phrases", "phrase_regions"},
        ),
        (["<REGION_TO_SEGMENTATION>"], {"pixels", "regions"}, set(), {"masks"}),
        (["<REGION_TO_OCR>", "<OCR_WITH_REGION>"], {"pixels", "ocr"}, set(), {"ocr", "region_texts"}),
    ],
)
def test_needs_and_gives_follow_from_the_tasks(
    checkpoint: str, tasks: list[str], needs: set[str], uses: set[str], gives: set[str]
) -> None:
    made = Florence2(checkpoint=checkpoint, tasks=tasks)
    assert (set(made.needs), set(made.uses), set(made.gives)) == (needs, uses, gives | {"image_scores"})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tasks": []}, "no tasks"),
        ({"tasks": ["<ODD>"]}, "Unknown task '<ODD>': did you mean '<OD>'?"),
        ({"tasks": ["<OCR>"]}, "<OCR_WITH_REGION>"),
        ({"tasks": ["<OPEN_VOCABULARY_DETECTION>"]}, "<OPEN_VOCABULARY_DETECTION> needs `names`"),
        ({"tasks": ["<OD>"], "names": ["cat"]}, "`names` but no task that takes any"),
        ({"tasks": ["<OPEN_VOCABULARY_DETECTION>"], "names": ["a<loc_1>"]}, "'a<loc_1>': reserved_token"),
        ({"tasks": ["<OD>"], "max_new_tokens": 2}, "max_new_tokens is 2"),
    ],
)
def test_an_invalid_option_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        Florence2(checkpoint="owner/some", **options)
    assert sentence in str(error.value)


def test_the_key_changes_with_the_weights_and_not_with_their_folder(checkpoint: str, tmp_path: Path) -> None:
    def key(folder: str | Path) -> str:
        (node,) = build({"f": {"use": "florence2", "checkpoint": str(folder), "tasks": ["<OD>"]}}, CATALOG)
        return node.key

    moved = shutil.copytree(checkpoint, tmp_path / "moved")
    assert key(checkpoint) == key(moved) == key(f"{moved}/")
    assert key(saved(tmp_path / "other", seed=1)) != key(checkpoint)


def test_two_revisions_of_a_hub_id_have_two_keys_and_the_worker_gets_the_commit() -> None:
    def node(revision: str) -> Node:
        options = {"use": "florence2", "checkpoint": "owner/some", "revision": revision, "tasks": ["<OD>"]}
        return build({"f": options}, CATALOG)[0]

    one, two = node("a" * 40), node("b" * 40)
    assert one.key != two.key
    assert (one.options["revision"], one.resolved) == ("a" * 40, {"revision": "a" * 40})


def test_a_revision_of_a_folder_is_refused(checkpoint: str) -> None:
    with pytest.raises(ConfigError, match="has the revision 'v1': only a hub id has revisions"):
        Florence2(checkpoint=checkpoint, revision="v1", tasks=["<OD>"])


@pytest.mark.parametrize(
    ("name", "licence"), [("florence-community/Florence-2-base", "mit"), ("owner/some", "unknown"), ("s3://a/b", "own")]
)
def test_the_licence_of_the_weights_is_that_of_the_checkpoint(name: str, licence: str) -> None:
    assert Florence2(checkpoint=name, tasks=["<OD>"]).weights_licence == licence


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "gone"):
        with pytest.raises(ConfigError, match=r"safetensors|No checkpoint at"):
            _ = Florence2(checkpoint=str(place), tasks=["<OD>"]).weights


def test_a_random_model_answers_every_task_and_encodes_each_image_once(checkpoint: str) -> None:
    tasks = [task.name for task in TASKS.values() if task.makes]
    made = Florence2(checkpoint=checkpoint, tasks=tasks, names=["red ball", "ring"], max_new_tokens=24)
    made.load()
    seen: list[int] = []
    tower = made.florence.model.model.vision_tower
    tower.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    printed = Region(60, 10, 80, 20, kind="text", id="ocr/0", score=0.9)
    batch = [sample(regions=[REGION, printed]) for _ in range(3)]
    answers = made.annotate(batch)
    assert seen == [3]
    for given, answer in zip(batch, answers, strict=True):
        assert check_answer(answer, given, made.gives) == ""
        number(answer, "student")
        assert all(item.score is not None and 0 <= item.score <= 1 for item in answer.regions)
    assert sum(len(answer.regions) for answer in answers) > 3
