"""Which questions a record makes, and what is left out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from model.florence2_tasks import DESCRIPTION, GROUNDING, OBJECT_DETECTION
from model.pairs.compile import compile_pairs
from pipelines.emit.chat.frames import Frame
from pipelines.emit.chat.questions import ASKED, ONE_NAME, Named, Question, questions
from tests.builders import phrase, record, region, region_text, row, text

CAT, DOG, OTHER_CAT = (6.0, 4.0, 30.0, 36.0), (32.0, 8.0, 56.0, 30.0), (0.0, 0.0, 9.5, 9.5)


def made(frame: Frame | None = None, **columns: Any) -> tuple[list[Question], dict[str, int]]:
    """The questions about an image of 60 x 40, and what is left out."""
    (image,) = record(row(**columns)).to_pylist()
    image |= {"width": 60, "height": 40}
    pairs = compile_pairs(image, width=60, height=40).pairs
    left_out: Counter[str] = Counter()
    return questions(image, pairs, frame or Frame(60, 40), left_out), dict(left_out)


def everything() -> dict[str, Any]:
    return {
        "texts": [
            text("Two cats and a dog.", kind, id=f"m/{n}")
            for n, kind in enumerate(("brief", "detailed", "more_detailed"))
        ],
        "regions": [
            region(CAT, id="m/10"),
            region(DOG, label="dog", id="m/11"),
            region(OTHER_CAT, id="m/12"),
            region((2, 2, 20, 8), kind="text", label="", id="m/13"),
        ],
        "region_texts": [region_text("m/10", "a red cat", id="m/20"), region_text("m/13", "OPEN", granularity="ocr")],
        "phrases": [phrase("m/0", 0, 8, ["m/10", "m/12"], id="m/30"), phrase("m/0", 13, 18, ["m/11"], id="m/31")],
    }


def test_a_record_with_everything_makes_a_question_of_each_task() -> None:
    found, left_out = made(**everything())
    assert {question.task for question in found} == set(ASKED)
    assert left_out == {}
    caption = "Two cats and a dog."
    assert Question("<CAPTION>", text=caption) in found
    assert Question("<OCR>", text="OPEN") in found
    assert Question(DESCRIPTION, box=CAT, text="a red cat") in found
    cats = [Named("cat", CAT), Named("cat", OTHER_CAT)]
    assert Question(OBJECT_DETECTION, boxes=[*cats, Named("dog", DOG)]) in found
    assert Question(ONE_NAME, "cat", boxes=cats) in found
    grounded = [Named("Two cats", CAT), Named("Two cats", OTHER_CAT), Named("a dog", DOG)]
    assert Question(GROUNDING, caption, boxes=grounded) in found


def test_names_are_asked_for_one_at_a_time() -> None:
    found, _ = made(regions=[region(CAT), region(DOG, label="dog")])
    assert [question.given for question in found if question.task == ONE_NAME] == ["cat", "dog"]


def test_an_image_without_annotations_has_no_question() -> None:
    assert made() == ([], {})


@pytest.mark.parametrize(
    "words",
    ["A <bbox> of cats.", "<ref-object>", "An <audio> file.", "Say <|im_end|> now.", "<think>", "An <img> tag."],
)
def test_a_text_with_a_word_that_trainers_replace_is_left_out_and_counted(words: str) -> None:
    found, left_out = made(texts=[text(words), text("A cat.")])
    assert (found, left_out) == ([Question("<CAPTION>", text="A cat.")], {"reserved_token": 1})


def test_a_text_with_an_image_mark_is_left_out_with_its_pair() -> None:
    found, left_out = made(texts=[text("An <image> of a cat.")])
    assert (found, left_out) == ([], {})  # the pairs count it


@pytest.mark.parametrize("label", ["<bbox>", "<image>", "a <b> tag"])
def test_a_label_with_angle_brackets_is_left_out_with_its_pair(label: str) -> None:
    found, _ = made(regions=[region(CAT, label=label), region(DOG, label="dog")])
    assert {named.label for question in found for named in question.boxes} == {"dog"}


def test_a_region_without_area_in_the_image_is_left_out_and_counted() -> None:
    found, left_out = made(regions=[region((59.99999, 0, 80, 40)), region((50, 30, 70, 40), label="dog")])
    assert {named for question in found for named in question.boxes} == {Named("dog", (50.0, 30.0, 60.0, 40.0))}
    assert left_out == {"no_area": 2}  # in the question about all objects, and in its own


def test_boxes_of_a_rotated_photo_are_in_its_stored_frame() -> None:
    found, _ = made(Frame(40, 60, 6), **everything())
    assert Question(DESCRIPTION, box=(4.0, 30.0, 36.0, 54.0), text="a red cat") in found


def test_unicode_labels_and_texts_are_kept() -> None:
    found, _ = made(texts=[text("Zwei Kätzchen 🐈 auf\nder Matte")], regions=[region(CAT, label="猫")])
    assert [question.text for question in found if question.text] == ["Zwei Kätzchen 🐈 auf\nder Matte"]
    assert Question(ONE_NAME, "猫", boxes=[Named("猫", CAT)]) in found
