"""From one image's record to its pairs: a draft is in_target_order, made to fit, proven, and then a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.pairs.pair import Compiled, Options, Pair
from model.pairs.proof import is_proven
from model.pairs.questions import DraftMaker, PairDraft
from model.pairs.record_view import RecordView
from model.pairs.targets import Item, in_target_order, write_target
from model.pairs.tasks import AND, TASKS, prompt_of


def compile_pairs(record: Mapping[str, Any], *, width: int, height: int, options: Options | None = None) -> Compiled:
    """Every pair that a record supports, in the order of TASKS. `record`: a row of RECORD's columns, kept as it is."""
    options = options or Options()
    source = RecordView(record, width=width, height=height, max_points=options.max_points)
    made = Compiled()
    drafts = DraftMaker(source, made.left_out, masks=options.masks)
    finish = _Finish(source, options, made)
    for task in TASKS:
        if task in options.tasks:
            for draft in drafts.of(task):
                finish.pair(task, draft)
    return made


class _Finish:
    def __init__(self, source: RecordView, options: Options, made: Compiled) -> None:
        self.options, self.made = options, made
        self.width, self.height = source.width, source.height
        self.seen: set[tuple[str, str, str]] = set()

    def pair(self, task: str, draft: PairDraft) -> None:
        items = draft.items
        if TASKS[task].form != "text":
            items = in_target_order(TASKS[task].form, items, self.options.order)
        target, kept, tokens = self.fitted(task, items, draft.text)
        if not target:
            self.leave(task, "too_long", max(1, len(items)))
            return
        if len(kept) < len(items):
            self.leave(task, "too_long", len(items) - len(kept))
        given = draft.given
        if not given and TASKS[task].input == "names":
            given = AND.join(sorted({item.label for item in kept}))  # sorted, so as not to tell which is the largest
        prompt = prompt_of(task, given)
        if (task, prompt, target) in self.seen:
            self.leave(task, "duplicate")
        elif not self.holds(task, target, kept):
            self.leave(task, "unproven")
        else:
            ids = list(dict.fromkeys([*draft.ids, *(name for item in kept for name in item.ids)]))
            self.made.pairs.append(Pair(task, prompt, target, ids, tokens, kept is not items))
        self.seen.add((task, prompt, target))

    def leave(self, task: str, reason: str, number: int = 1) -> None:
        self.made.left_out[task, reason] += number

    def holds(self, task: str, target: str, items: Sequence[Item]) -> bool:
        is_text = TASKS[task].form == "text"
        regions, text = ((), target) if is_text else (items, "")
        return is_proven(task, target, regions, text, width=self.width, height=self.height)

    def fitted(self, task: str, items: Sequence[Item], text: str) -> tuple[str, Sequence[Item], int]:
        """The target, its items and its tokens: of all, or of as many of the largest as fit; '' if not one does."""
        target = self.written(task, items, text)
        tokens = self.options.count(target)
        if tokens <= self.options.max_tokens:
            return target, items, tokens
        ranked = sorted(range(len(items)), key=lambda number: -_area(items[number]))
        least, most = 0, len(items)  # as many fit, or are none; as many do not
        while most - least > 1:
            half = (least + most) // 2
            fits = self.fits(task, _chosen(items, ranked[:half]))
            least, most = (half, most) if fits else (least, half)
        kept = _chosen(items, ranked[:least])
        if not kept and items and TASKS[task].form == "polygons":
            kept = self.fewer_parts(task, items[ranked[0]])
        target = self.written(task, kept, "")
        return target, kept, self.options.count(target)

    def fewer_parts(self, task: str, item: Item) -> list[Item]:
        """The largest parts of one outline."""
        for number in range(len(item.polygons) - 1, 0, -1):
            less = [item._replace(polygons=item.polygons[:number])]
            if self.fits(task, less):
                return less
        return []

    def fits(self, task: str, items: Sequence[Item]) -> bool:
        return self.options.count(self.written(task, items, "")) <= self.options.max_tokens

    def written(self, task: str, items: Sequence[Item], text: str) -> str:
        form = TASKS[task].form
        if form == "text":
            return "\n".join([item.label for item in items]) if items else text
        return (
            write_target(form, items, width=self.width, height=self.height, order=self.options.order) if items else ""
        )


def _area(item: Item) -> float:
    x1, y1, x2, y2 = item.box
    return (x2 - x1) * (y2 - y1)


def _chosen(items: Sequence[Item], numbers: Sequence[int]) -> list[Item]:
    return [items[number] for number in sorted(numbers)]
