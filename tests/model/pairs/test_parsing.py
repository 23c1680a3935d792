"""Parsing of targets. What is malformed is reported as a fault and never guessed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from model.florence2_tasks import TASKS
from model.pairs.parsing import Fault, Lexeme, ParsedRegion, ParsedTarget, label_fault, lex, parse_lexemes, parse_target

BOX = "<loc_1><loc_2><loc_3><loc_4>"
QUAD = "<loc_1><loc_2><loc_9><loc_2><loc_9><loc_4><loc_1><loc_4>"
SHAPE = "<loc_0><loc_0><loc_9><loc_0><loc_9><loc_9>"
LABELLED = ("<OD>", "<DENSE_REGION_CAPTION>", "<CAPTION_TO_PHRASE_GROUNDING>", "<OPEN_VOCABULARY_DETECTION>")


def parsed_target(task: str, target: str) -> ParsedTarget:
    """Parse for an image of 1,000 x 1,000 pixels, where location n is n + 0.5."""
    return parse_target(task, target, width=1000, height=1000)


def faults(task: str, target: str) -> list[str]:
    return [fault.reason for fault in parsed_target(task, target).faults]


def labels(task: str, target: str) -> list[str]:
    return [region.label for region in parsed_target(task, target).regions]


# --- lexemes ---------------------------------------------------------------------------------------


def test_lexemes_have_their_positions() -> None:
    assert lex("é<loc_7><sep>b") == [
        Lexeme("text", "é", -1, 0, 1),
        Lexeme("loc", "<loc_7>", 7, 1, 8),
        Lexeme("mark", "<sep>", -1, 8, 13),
        Lexeme("text", "b", -1, 13, 14),
    ]


@pytest.mark.parametrize(
    "text", ["<loc_1000>", "<loc_007>", "<loc_-1>", "<loc_ 1>", "<loc_٣>", "loc_1", "<LOC_1>", "<od>"]
)
def test_tokens_outside_the_grammar_are_text(text: str) -> None:
    assert lex(text) == [Lexeme("text", text, -1, 0, len(text))]


@pytest.mark.parametrize("target", ["</s><s>cat</s><pad><pad>", "<s><s>cat", "cat<pad></s>", "<s>cat"])
def test_begin_end_and_padding_tokens_around_a_target_are_ignored(target: str) -> None:
    assert [lexeme.text for lexeme in lex(target)] == ["cat"]
    assert lex(target)[0].start == target.index("cat")


@given(st.text(alphabet=st.sampled_from("<>/spadloc_ey019 é\n")))
def test_lexemes_cover_the_whole_target(target: str) -> None:
    lexemes = lex(target)
    assert all(target[lexeme.start : lexeme.end] == lexeme.text for lexeme in lexemes)
    assert all(before.end == after.start for before, after in itertools.pairwise(lexemes))


# --- what is well formed ------------------------------------------------------------------------------


def test_boxes_that_share_a_label_are_regions_with_the_same_label_position() -> None:
    parsed = parsed_target("<OD>", f"car{BOX}wheel{BOX}<loc_5><loc_6><loc_7><loc_8>")
    assert parsed.faults == []
    assert parsed.regions == [
        ParsedRegion("car", (0, 3), (1.5, 2.5, 3.5, 4.5), None, [], [(3, 10), (10, 17), (17, 24), (24, 31)]),
        ParsedRegion("wheel", (31, 36), (1.5, 2.5, 3.5, 4.5), None, [], [(36, 43), (43, 50), (50, 57), (57, 64)]),
        ParsedRegion("wheel", (31, 36), (5.5, 6.5, 7.5, 8.5), None, [], [(64, 71), (71, 78), (78, 85), (85, 92)]),
    ]


def test_an_answer_of_a_released_checkpoint_is_parsed() -> None:
    """The answer of the base checkpoint to <OD> for a photo of a car."""
    target = (
        "</s><s>car<loc_53><loc_334><loc_933><loc_775>door handle<loc_425><loc_504><loc_474><loc_516>"
        "wheel<loc_708><loc_577><loc_865><loc_773><loc_147><loc_576><loc_304><loc_772></s>"
    )
    parsed = parse_target("<OD>", target, width=640, height=480)
    assert [region.label for region in parsed.regions] == ["car", "door handle", "wheel", "wheel"]
    assert parsed.regions[0].box == pytest.approx((34.24, 160.56, 597.44, 372.24))
    assert parsed.faults == []


def test_boxes_without_labels_are_parsed() -> None:
    parsed = parsed_target("<REGION_PROPOSAL>", BOX + BOX)
    assert [(found.label, found.label_at, found.box) for found in parsed.regions] == [
        ("", None, (1.5, 2.5, 3.5, 4.5))
    ] * 2


def test_a_quad_is_eight_locations_after_its_words() -> None:
    found = parsed_target("<OCR_WITH_REGION>", f"24 h, café{QUAD}").regions
    assert [(one.label, one.quad) for one in found] == [("24 h, café", (1.5, 2.5, 9.5, 2.5, 9.5, 4.5, 1.5, 4.5))]


def test_a_bare_outline_is_one_region_with_several_parts() -> None:
    found = parsed_target("<REGION_TO_SEGMENTATION>", f"{SHAPE}<sep>{SHAPE}").regions
    assert [found.polygons for found in found] == [[[0.5, 0.5, 9.5, 0.5, 9.5, 9.5]] * 2]


def test_wrapped_outlines_are_several_regions() -> None:
    target = f"<poly>{SHAPE}<sep>{SHAPE}</poly><poly>{SHAPE}</poly>"
    assert [len(found.polygons) for found in parsed_target("<REFERRING_EXPRESSION_SEGMENTATION>", target).regions] == [
        2,
        1,
    ]


def test_open_vocabulary_detection_allows_boxes_and_outlines() -> None:
    parsed = parsed_target("<OPEN_VOCABULARY_DETECTION>", f"cat{BOX}cat<poly>{SHAPE}</poly>")
    assert [(found.label, found.box is None, len(found.polygons)) for found in parsed.regions] == [
        ("cat", False, 0),
        ("cat", True, 1),
    ]
    assert parsed.faults == []


@pytest.mark.parametrize("text", ["A cat.", "Two\nlines.", " spaces ", "1 < 2 > 0", "<b>", "猫 🐈", "<|im|> a_b"])
def test_a_text_is_returned_unchanged(text: str) -> None:
    assert parsed_target("<CAPTION>", text) == ParsedTarget(text)


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_target_has_no_fault(task: str) -> None:
    assert parsed_target(task, "") == ParsedTarget()


def test_a_box_may_have_no_width() -> None:
    assert parsed_target("<OD>", "hair<loc_5><loc_0><loc_5><loc_9>").regions[0].box == (5.5, 0.5, 5.5, 9.5)


def test_token_ids_are_parsed_like_text() -> None:
    lexemes = [Lexeme("text", "cat", -1, 1, 3), *(Lexeme("loc", f"<loc_{n}>", n, n + 2, n + 3) for n in range(1, 5))]
    parsed = parse_lexemes("<OD>", lexemes, width=1000, height=1000)
    assert parsed.regions == [
        ParsedRegion("cat", (1, 3), (1.5, 2.5, 3.5, 4.5), None, [], [(3, 4), (4, 5), (5, 6), (6, 7)])
    ]


# --- what is malformed ----------------------------------------------------------------------------------


def test_a_fault_has_a_reason_and_a_position() -> None:
    assert parsed_target("<OD>", f"cat<loc_1>dog{BOX}").faults == [Fault("location_count", 3, 10)]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("task", LABELLED)
def test_a_wrong_number_of_locations_is_a_fault(task: str, count: int) -> None:
    target = f"cat{'<loc_1>' * count}dog{BOX}"
    assert (labels(task, target), faults(task, target)) == (["dog"], ["location_count"])


def test_eight_locations_after_a_label_are_two_boxes_or_a_quad_but_a_fault_in_open_vocabulary_detection() -> None:
    """In open-vocabulary detection they could also be an outline with four corners."""
    target = f"cat{BOX}{BOX}"
    assert labels("<OD>", target) == ["cat", "cat"]
    assert labels("<OCR_WITH_REGION>", target) == ["cat"]
    assert faults("<OPEN_VOCABULARY_DETECTION>", target) == ["location_count"]


@pytest.mark.parametrize("count", [4, 7, 9, 12, 16])
def test_a_quad_with_another_number_of_locations_is_a_fault(count: int) -> None:
    assert faults("<OCR_WITH_REGION>", "OPEN" + "<loc_1>" * count) == ["location_count"]


@pytest.mark.parametrize("box", ["<loc_5><loc_0><loc_4><loc_9>", "<loc_0><loc_5><loc_9><loc_4>"])
def test_an_inverted_box_is_a_fault_and_its_neighbours_are_parsed(box: str) -> None:
    parsed = parsed_target("<OD>", f"cat{BOX}{box}{BOX}")
    assert (len(parsed.regions), [fault.reason for fault in parsed.faults]) == (2, ["inverted_box"])


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "no_label"),
        (" ", "empty"),
        ("loc_153>", "angle_bracket"),
        ("a<b", "angle_bracket"),
        ("<loc_1000>", "angle_bracket"),
        ("cat<s>", "angle_bracket"),
        ("two\nlines", "new_line"),
        (" cat", "white_space"),
        ("cat ", "white_space"),
        ("\ud83d", "not_unicode"),
        ("cat<and>dog", "and_in_label"),
        ("<and>dog", "and_in_label"),
    ],
)
@pytest.mark.parametrize("task", LABELLED)
def test_an_invalid_label_is_a_fault(task: str, label: str, reason: str) -> None:
    target = f"dog{BOX}{label}{BOX}" if label else BOX
    parsed = parsed_target(task, target)
    assert [fault.reason for fault in parsed.faults] == [reason]
    assert [region.label for region in parsed.regions] == (["dog"] if label else [])


@pytest.mark.parametrize("task", LABELLED)
def test_a_label_without_locations_is_a_fault(task: str) -> None:
    assert faults(task, f"cat{BOX}dog") == ["no_locations"]


@pytest.mark.parametrize("mark", ["<sep>", "<poly>", "</poly>"])
def test_a_mark_among_the_locations_of_a_box_is_a_fault(mark: str) -> None:
    for task in ("<OD>", "<REGION_PROPOSAL>", "<OCR_WITH_REGION>", "<CAPTION_TO_PHRASE_GROUNDING>"):
        target = f"cat<loc_1>{mark}<loc_2><loc_3><loc_4>"
        parsed = parsed_target(task, target.removeprefix("cat") if task == "<REGION_PROPOSAL>" else target)
        assert ([fault.reason for fault in parsed.faults], parsed.regions) == (["unexpected_mark"], [])


def test_text_among_boxes_is_a_fault_and_the_boxes_are_parsed() -> None:
    parsed = parsed_target("<REGION_PROPOSAL>", f"{BOX}cat{BOX}dog")
    assert [fault.reason for fault in parsed.faults] == ["unexpected_text", "unexpected_text"]
    assert len(parsed.regions) == 2


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("<loc_1><loc_2><loc_3><loc_4>", "location_count"),
        (SHAPE + "<loc_1>", "location_count"),
        (f"{SHAPE}<sep>", "location_count"),
        (f"{SHAPE}<sep><loc_1><loc_2>", "location_count"),
        (f"a{SHAPE}", "unexpected_text"),
        (f"{SHAPE}<and>{SHAPE}", "unexpected_mark"),
        (f"<poly>{SHAPE}", "unclosed_polygon"),
        (f"{SHAPE}</poly>", "outside_polygon"),
        ("<poly></poly>", "no_locations"),
    ],
)
def test_an_invalid_outline_is_a_fault(target: str, reason: str) -> None:
    parsed = parsed_target("<REFERRING_EXPRESSION_SEGMENTATION>", target)
    assert {fault.reason for fault in parsed.faults} == {reason}
    assert parsed.regions == []


def test_an_unclosed_outline_is_a_fault_and_the_others_are_parsed() -> None:
    parsed = parsed_target("<REFERRING_EXPRESSION_SEGMENTATION>", f"<poly>{SHAPE}<poly>{SHAPE}</poly>{SHAPE}")
    assert {fault.reason for fault in parsed.faults} == {"unclosed_polygon", "outside_polygon"}
    assert len(parsed.regions) == 1


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (f"A cat{BOX}.", "location_in_text"),
        ("A cat<sep>.", "mark_in_text"),
        ("A cat<and>a dog", "mark_in_text"),
        ("A </s> cat", "reserved_in_text"),
        ("A <od> cat", "reserved_in_text"),
        ("A <loc_1000> cat", "reserved_in_text"),
    ],
)
def test_a_text_with_locations_or_marks_is_a_fault(target: str, reason: str) -> None:
    parsed = parsed_target("<CAPTION>", target)
    assert parsed.text == ""
    assert {fault.reason for fault in parsed.faults} == {reason}


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        parsed_target("<ODD>", "")


TOKENS = ["<loc_1>", "<loc_999>", "<sep>", "<poly>", "</poly>", "<and>", "cat", " ", "é<", ">", "\n", "<s>", "</s>"]


@given(st.sampled_from(sorted(TASKS)), st.lists(st.sampled_from(TOKENS), max_size=30))
def test_every_part_of_any_target_is_parsed_or_a_fault(task: str, tokens: list[str]) -> None:
    """No error is raised; each location is in one region or there is a fault; labels are valid."""
    lexemes = lex("".join(tokens))
    parsed = parsed_target(task, "".join(tokens))
    used = [place for found in parsed.regions for place in found.locations_at]
    assert len(used) == len(set(used))
    assert parsed.faults or len(used) == sum(lexeme.kind == "loc" for lexeme in lexemes)
    if TASKS[task].form == "text":
        assert parsed.text == ("" if parsed.faults else "".join(lexeme.text for lexeme in lexemes))
    elif TASKS[task].form not in ("boxes", "polygons"):
        assert all(label_fault(found.label) == "" for found in parsed.regions)
