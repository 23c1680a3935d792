from __future__ import annotations

import numpy as np
import pytest

from model.evaluate.resampling import interval, resamples
from model.evaluate.words import Line, Word, WordMeasure, measure_words, split_line
from tests.coco_results import edges, name_of, read
from tests.shared_data import shared

EXIT = Word("EXIT", (10, 10, 50, 20))
HERE = Word("here", (55, 10, 95, 20))
BLURRED = Word("", (100, 10, 140, 20), legible=False)
ROW = (10.0, 10.0, 95.0, 20.0)


def measure(truth: list[Word], *lines: Line) -> WordMeasure:
    return measure_words({"a": truth}, {"a": lines})


def test_words_of_a_line_are_counted_one_by_one_without_case_and_punctuation() -> None:
    figures = measure([EXIT, HERE], Line("Exit: HERE!", ROW)).figures
    assert figures == dict.fromkeys(figures, 1.0)
    assert set(figures) == {f"{way} {what}" for way in ("bag", "place") for what in ("recall", "precision", "F1")} | {
        "found"
    }


def test_missed_words_cost_recall_and_wrong_words_cost_precision() -> None:
    figures = measure([EXIT, HERE], Line("exit", EXIT.box), Line("wxyz", (0, 50, 40, 60)), Line("q", (0, 80, 9, 90)))
    assert (figures.figures["bag recall"], figures.figures["bag precision"]) == pytest.approx((1 / 2, 1 / 3))
    assert figures.figures["bag F1"] == pytest.approx(2 / 5)
    assert (figures.words, figures.read) == (2, 3)


def test_a_word_read_once_matches_one_true_word() -> None:
    again = Word("exit", (10, 60, 50, 70))
    assert measure([EXIT, again], Line("exit", EXIT.box)).figures["bag recall"] == 0.5
    assert measure([EXIT], Line("exit exit", ROW)).figures["bag precision"] == 0.5


def test_a_word_read_elsewhere_is_right_only_in_the_bag() -> None:
    figures = measure([EXIT], Line("exit", (10, 60, 50, 70))).figures
    assert (figures["bag recall"], figures["place recall"], figures["found"]) == (1, 0, 0)


def test_letters_inside_a_longer_word_are_found_but_not_right() -> None:
    figures = measure([EXIT], Line("exit12", EXIT.box)).figures
    assert (figures["found"], figures["bag recall"]) == (1, 0)


def test_words_read_at_an_illegible_word_do_not_count_as_wrong() -> None:
    figures = measure([EXIT, BLURRED], Line("exit", EXIT.box), Line("foo", BLURRED.box)).figures
    assert (figures["bag precision"], figures["place precision"], figures["bag recall"]) == (1, 1, 1)


def test_a_line_is_split_along_its_longer_side_in_proportion_to_letters() -> None:
    assert split_line(Line("ab - cd", (0, 0, 70, 10))) == [
        ("ab", pytest.approx((0, 0, 20, 10))),
        ("cd", pytest.approx((50, 0, 70, 10))),
    ]
    assert split_line(Line("ab cd", (0, 0, 10, 50)))[1] == ("cd", pytest.approx((0, 30, 10, 50)))


def test_letters_of_any_script_are_words() -> None:
    assert measure([Word("出口", EXIT.box), HERE], Line("出口", EXIT.box)).figures["place recall"] == 0.5


def test_an_image_without_words_does_not_count() -> None:
    some = measure_words({"a": [EXIT], "b": []}, {"a": [Line("exit", EXIT.box)]})
    assert some.figures["bag F1"] == 1
    assert np.isnan(measure([]).figures["bag recall"])


def test_a_resample_counts_the_words_of_the_images_drawn() -> None:
    some = measure_words({"a": [EXIT, HERE], "b": [EXIT]}, {"a": [Line("exit", EXIT.box)], "b": []})
    assert some.resampled(np.array([[1, 1], [2, 0], [0, 2]]))["bag recall"].tolist() == pytest.approx([1 / 3, 0.5, 0])


def test_the_human_words_of_the_street_photos_measured_against_themselves_are_all_right() -> None:
    data = read(shared("scene_text/dev") / "annotations.json")
    truth: dict[str, list[Word]] = {name_of(image["id"]): [] for image in data["images"]}
    for word in data["annotations"]:
        truth[name_of(word["image_id"])].append(Word(word["text"], edges(word["bbox"]), word["legible"]))
    lines = {name: [Line(w.text, w.box) for w in words if w.legible] for name, words in truth.items()}
    some = measure_words(truth, lines)
    assert (some.images, some.words) == (39, 192)
    assert some.figures["found"] == 1
    assert some.figures["bag recall"] >= 191 / 192  # one of the "words" is a telephone number with spaces
    assert some.figures["place recall"] == some.figures["bag recall"]
    half = {name: read_lines[::2] for name, read_lines in lines.items()}
    low, high = interval(measure_words(truth, half).resampled(resamples(39))["bag recall"])
    assert 0.5 < low < high < 0.7
