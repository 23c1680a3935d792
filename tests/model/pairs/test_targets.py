"""Writing targets: their order and grammar, and that they parse back to within half a location."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from model.florence2_tasks import TASKS, task_of
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.parsing import label_fault, parse_target, text_fault
from model.pairs.proof import is_proven
from model.pairs.targets import ORDERS, Item, Order, in_target_order
from tests.model.checked_target import checked_target
from tests.model.golden import golden
from tests.model.pictured import HEIGHT, WIDTH, pictured

BOXES = [name for name, task in TASKS.items() if task.form not in ("text", "polygons")]


def item(label: str, *box: float, start: int = 0, **given: Any) -> Item:
    x1, y1, x2, y2 = box
    return Item(label, (x1, y1, x2, y2), (x1, y1, x2, y1, x2, y2, x1, y2), start=start, **given)


def written(task: str, *items: Item, order: Order = "area") -> str:
    """The target for an image of 1,000 x 1,000 pixels, with locations as plain numbers."""
    target = checked_target(task, items, width=1000, height=1000, order=order)
    return target.replace("<loc_", " ").replace(">", "").strip()


# --- the golden targets -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_the_targets_of_every_task_are_the_golden_ones(order: Order) -> None:
    made = compile_pairs(pictured(), width=WIDTH, height=HEIGHT, options=PairOptions(order=order))
    assert set(made.proven) == set(TASKS)
    pairs = [f"{pair.task}\n  {pair.prompt}\n  {pair.target!r}\n  {pair.annotation_ids}\n" for pair in made.pairs]
    assert "".join(pairs) == golden(f"targets-{order}.txt", "".join(pairs))


def test_open_vocabulary_detection_with_outlines_is_the_golden_one() -> None:
    options = PairOptions(tasks=["<OPEN_VOCABULARY_DETECTION>"], masks=True)
    made = compile_pairs(pictured(), width=WIDTH, height=HEIGHT, options=options)
    pairs = "".join(f"{pair.prompt}\n  {pair.target}\n" for pair in made.pairs)
    assert pairs == golden("targets-masks.txt", pairs)


# --- order -----------------------------------------------------------------------------------------------


def test_by_area_the_largest_comes_first_and_labels_are_grouped() -> None:
    items = item("cup", 0, 0, 2, 2), item("cat", 0, 0, 9, 9), item("cup", 0, 0, 20, 20), item("cat", 0, 0, 5, 5)
    assert written("<OD>", *items) == "cup 0 0 20 20 0 0 2 2cat 0 0 9 9 0 0 5 5"


def test_of_equal_area_the_upper_comes_first_then_the_left() -> None:
    items = item("a", 9, 5, 11, 7), item("b", 3, 5, 5, 7), item("c", 20, 1, 22, 3)
    assert written("<REGION_PROPOSAL>", *items) == "20 1 22 3 3 5 5 7 9 5 11 7"


def test_in_reading_order_centres_run_left_to_right_and_labels_are_repeated() -> None:
    items = item("cat", 6, 0, 8, 2), item("cup", 0, 0, 9, 9), item("cat", 0, 0, 2, 2)
    assert written("<OD>", *items, order="reading") == "cat 0 0 2 2cup 0 0 9 9cat 6 0 8 2"


def test_open_vocabulary_detection_repeats_labels() -> None:
    items = item("cat", 0, 0, 2, 2), item("cup", 0, 0, 5, 5), item("cat", 0, 0, 9, 9)
    assert written("<OPEN_VOCABULARY_DETECTION>", *items) == "cat 0 0 9 9cup 0 0 5 5cat 0 0 2 2"


@pytest.mark.parametrize("order", ORDERS)
def test_phrases_are_in_the_order_of_their_text_with_all_their_boxes(order: Order) -> None:
    items = (
        item("a dog", 0, 0, 9, 9, start=20),
        item("two cats", 8, 0, 9, 1, start=3),
        item("two cats", 0, 0, 1, 1, start=3),
    )
    target = "two cats 0 0 1 1 8 0 9 1a dog 0 0 9 9"
    assert written("<CAPTION_TO_PHRASE_GROUNDING>", *items, order=order) == target


def test_a_phrase_that_occurs_twice_is_written_twice() -> None:
    items = item("a cat", 0, 0, 9, 9, start=20), item("a cat", 0, 0, 2, 2, start=3)
    assert written("<CAPTION_TO_PHRASE_GROUNDING>", *items) == "a cat 0 0 2 2a cat 0 0 9 9"


@pytest.mark.parametrize("order", ORDERS)
def test_printed_text_is_sorted_from_the_top(order: Order) -> None:
    items = item("c", 0, 9, 9, 19), item("b", 5, 0, 9, 2), item("a", 0, 0, 4, 2)
    assert [one.label for one in in_target_order("quads", items, order)] == ["a", "b", "c"]


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown order 'size'"):
        checked_target("<OD>", [item("cat", 0, 0, 1, 1)], width=9, height=9, order="size")  # type: ignore[arg-type]


# --- invalid items ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label", ["", " ", "a<b", "a>b", "<loc_5>", "two\nlines", " cat", "cat\t", "\ud83d", "a<and>b"]
)
def test_an_invalid_label_is_refused(label: str) -> None:
    for task in set(BOXES) - {"<REGION_PROPOSAL>"}:
        with pytest.raises(ValueError, match=label_fault(label)):
            checked_target(task, [item(label, 0, 0, 1, 1)], width=9, height=9)


@pytest.mark.parametrize("text", ["", " \n", "</s>", "a <loc_5>", "<sep>", "\udc00"])
def test_an_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text_fault(text)):
        checked_target("<CAPTION>", text=text, width=9, height=9)


@pytest.mark.parametrize("polygons", [[], [[1.0, 2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]])
def test_an_item_without_a_valid_outline_is_refused(polygons: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="no_outline"):
        checked_target("<REGION_TO_SEGMENTATION>", [item("", 0, 0, 9, 9, polygons=polygons)], width=9, height=9)


# --- proofs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        item("cat", 0, 0, 9, 9.1),
        item("dog", 0, 0, 9, 9),
        item("Cat", 0, 0, 9, 9),
    ],
)
def test_a_target_of_another_item_is_not_proven(other: Item) -> None:
    target = checked_target("<OD>", [item("cat", 0, 0, 9, 9)], width=10, height=10)
    assert is_proven("<OD>", target, [item("cat", 0, 0, 9, 9)], width=10, height=10)
    assert not is_proven("<OD>", target, [other], width=10, height=10)
    assert not is_proven("<OD>", target, [], width=10, height=10)
    assert not is_proven("<OD>", target + target, [item("cat", 0, 0, 9, 9)], width=10, height=10)


def test_a_target_with_a_fault_is_not_proven() -> None:
    target = checked_target("<OD>", [item("cat", 0, 0, 9, 9)], width=10, height=10)
    assert not is_proven("<OD>", target + "dog", [item("cat", 0, 0, 9, 9)], width=10, height=10)


def test_an_outline_with_different_parts_is_not_proven() -> None:
    part = [0.0, 0.0, 9.0, 0.0, 9.0, 9.0]
    own = item("", 0, 0, 9, 9, polygons=[part])
    target = checked_target("<REGION_TO_SEGMENTATION>", [own], width=10, height=10)
    assert is_proven("<REGION_TO_SEGMENTATION>", target, [own], width=10, height=10)
    for polygons in ([part, part], [part[2:] + part[:2]], [part[:-1]]):
        other = item("", 0, 0, 9, 9, polygons=polygons)
        assert not is_proven("<REGION_TO_SEGMENTATION>", target, [other], width=10, height=10)


def test_a_box_partly_outside_the_image_is_proven_by_its_clipped_part() -> None:
    beyond = item("cat", -5, 2, 12, 8)
    target = checked_target("<OD>", [beyond], width=10, height=10)
    assert is_proven("<OD>", target, [beyond], width=10, height=10)
    assert parse_target("<OD>", target, width=10, height=10).regions[0].box == pytest.approx((0, 2, 10, 8), abs=0.0051)


# --- whatever the annotations ---------------------------------------------------------------------------

labels = st.text(min_size=1, max_size=12).filter(lambda label: not label_fault(label))


@st.composite
def annotated(draw: st.DrawFn) -> tuple[int, int, list[Item]]:
    """(width, height, items), including items at the border, of one pixel, without width, and with equal labels."""
    width, height = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    xs, ys = (st.one_of(st.floats(0, side), st.sampled_from([0.0, side])) for side in (width, height))
    names = draw(st.lists(labels, min_size=1, max_size=3))
    items = []
    for at in range(draw(st.integers(0, 6))):
        (x1, x2), (y1, y2) = sorted((draw(xs), draw(xs))), sorted((draw(ys), draw(ys)))
        corners = draw(st.lists(st.tuples(xs, ys), min_size=3, max_size=8))
        part = [value for corner in corners for value in corner]
        box = (x1, y1, x2, y2)
        quad = tuple(draw(axis) for axis in (xs, ys) * 4)
        parts = [part] * draw(st.integers(1, 2))
        items.append(Item(draw(st.sampled_from(names)), box, quad, parts, draw(st.integers(0, at))))
    return width, height, items


@settings(max_examples=60, deadline=None)
@given(annotated(), st.sampled_from(ORDERS))
def test_every_target_parses_back_to_its_items(image: tuple[int, int, list[Item]], order: Order) -> None:
    width, height, items = image
    for name, task in TASKS.items():
        if task.form != "text":
            target = checked_target(name, items, width=width, height=height, order=order)
            assert is_proven(name, target, in_target_order(task.form, items, order), width=width, height=height), name


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_every_text_parses_back_or_is_refused(text: str) -> None:
    if text_fault(text):
        with pytest.raises(ValueError, match="cannot answer"):
            checked_target("<CAPTION>", text=text, width=1, height=1)
    else:
        target = checked_target("<CAPTION>", text=text, width=1, height=1)
        assert is_proven("<CAPTION>", target, [], text, width=1, height=1)


def test_a_box_of_one_pixel_of_4000_parses_back_to_half_a_location() -> None:
    """A location is four pixels wide here, so the parsed box has no width, but is still a box."""
    one = item("bird", 2001, 2001, 2002, 2002)
    target = checked_target("<OD>", [one], width=4000, height=4000)
    assert target == "bird<loc_500><loc_500><loc_500><loc_500>"
    assert is_proven("<OD>", target, [one], width=4000, height=4000)


@pytest.mark.parametrize("task", BOXES)
def test_two_thousand_regions_parse_back(task: str) -> None:
    items = [item(f"thing {n % 7}", n % 50, n // 50, n % 50 + 9, n // 50 + 9, start=n) for n in range(2000)]
    target = checked_target(task, items, width=60, height=60)
    assert is_proven(task, target, in_target_order(task_of(task).form, items, "area"), width=60, height=60)
