"""Makes the training pairs of one image from its record.

Each draft is put in order, cut to the token limit, and parsed back as a check. Then it becomes a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.records.boxes import area
from model.florence2_tasks import AND, TASKS, prompt_of
from model.pairs.options import PairOptions
from model.pairs.pair import Compiled, Pair, estimated_tokens
from model.pairs.proof import is_proven
from model.pairs.questions import DraftMaker, PairDraft
from model.pairs.record_view import RecordView
from model.pairs.targets import Item, in_target_order, write_target


def compile_pairs(
    record: Mapping[str, Any],
    *,
    width: int,
    height: int,
    options: PairOptions | None = None,
    count: Callable[[str], int] = estimated_tokens,
) -> Compiled:
    """All pairs of a record, in the order of TASKS.

    `record`: a row with RECORD's columns, with kept annotations only. `width`, `height`: of the upright image, in
    pixels. `count`: returns the number of tokens of a target.
    """
    options = options or PairOptions()
    wanted = options.tasks or TASKS
    view = RecordView(record, width=width, height=height, max_points=options.max_points)
    compiled = Compiled()
    maker = DraftMaker(view, compiled.left_out, masks=options.masks)
    finisher = _Finisher(view, options, compiled, count)
    for task in TASKS:
        if task in wanted:
            for draft in maker.drafts(task):
                finisher.add_pair(task, draft)
    return compiled


class _Finisher:
    """Turns drafts into pairs and adds them to `compiled`."""

    def __init__(self, view: RecordView, options: PairOptions, compiled: Compiled, count: Callable[[str], int]) -> None:
        self.options, self.compiled, self.count = options, compiled, count
        self.width, self.height = view.width, view.height
        self.seen: set[tuple[str, str, str]] = set()

    def add_pair(self, task: str, draft: PairDraft) -> None:
        """Adds the pair of a draft, or counts why there is none."""
        items = draft.items
        if TASKS[task].form != "text":
            items = in_target_order(TASKS[task].form, items, self.options.order)
        target, fitting, tokens = self.fit(task, items, draft.text)
        if not target:
            self.leave_out(task, "too_long", max(1, len(items)))
            return
        if len(fitting) < len(items):
            self.leave_out(task, "too_long", len(items) - len(fitting))
        input_ = draft.input
        if not input_ and TASKS[task].input == "names":
            input_ = AND.join(
                sorted({item.label for item in fitting})
            )  # sorted, so that the order does not reveal the sizes
        prompt = prompt_of(task, input_)
        if (task, prompt, target) in self.seen:
            self.leave_out(task, "duplicate")
        elif not self.is_proven(task, target, fitting):
            self.leave_out(task, "unproven")
        else:
            ids = list(dict.fromkeys([*draft.ids, *(name for item in fitting for name in item.ids)]))
            exact = () if TASKS[task].form == "text" else tuple(fitting)
            self.compiled.pairs.append(Pair(task, prompt, target, ids, tokens, fitting is not items, exact))
        self.seen.add((task, prompt, target))

    def leave_out(self, task: str, reason: str, count: int = 1) -> None:
        self.compiled.left_out[task, reason] += count

    def is_proven(self, task: str, target: str, items: Sequence[Item]) -> bool:
        is_text = TASKS[task].form == "text"
        regions, text = ((), target) if is_text else (items, "")
        return is_proven(task, target, regions, text, width=self.width, height=self.height)

    def fit(self, task: str, items: Sequence[Item], text: str) -> tuple[str, Sequence[Item], int]:
        """(target, its items, its tokens), with as many of the largest items as fit into the token limit. The target is
        '' if not even one item fits.
        """
        target = self.write(task, items, text)
        tokens = self.count(target)
        if tokens <= self.options.max_tokens:
            return target, items, tokens
        by_area = sorted(range(len(items)), key=lambda number: -area(items[number].box))
        fitting, too_many = 0, len(items)
        while too_many - fitting > 1:
            half = (fitting + too_many) // 2
            if self.fits(task, _select(items, by_area[:half])):
                fitting = half
            else:
                too_many = half
        selected = _select(items, by_area[:fitting])
        if not selected and items and TASKS[task].form == "polygons":
            selected = self.fewer_parts(task, items[by_area[0]])
        target = self.write(task, selected, "")
        return target, selected, self.count(target)

    def fewer_parts(self, task: str, item: Item) -> list[Item]:
        """The item with as many of the largest parts of its outline as fit into the token limit; empty if not even one
        fits.
        """
        for count in range(len(item.polygons) - 1, 0, -1):
            shorter = [item._replace(polygons=item.polygons[:count])]
            if self.fits(task, shorter):
                return shorter
        return []

    def fits(self, task: str, items: Sequence[Item]) -> bool:
        return self.count(self.write(task, items, "")) <= self.options.max_tokens

    def write(self, task: str, items: Sequence[Item], text: str) -> str:
        form = TASKS[task].form
        if form == "text":
            return "\n".join([item.label for item in items]) if items else text
        if not items:
            return ""
        return write_target(form, items, width=self.width, height=self.height, order=self.options.order)


def _select(items: Sequence[Item], numbers: Sequence[int]) -> list[Item]:
    return [items[number] for number in sorted(numbers)]
