"""Makes drafts of all pairs that a record supports, for each task. model/pairs/compile.py turns drafts into pairs.

Anything that a target or prompt cannot hold gets no draft and is counted by (task, reason). model/pairs/pair.py lists
the reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import NamedTuple

from model.florence2_tasks import TASKS, Input, Reads
from model.pairs.locations import location_tokens
from model.pairs.parsing import label_fault, text_fault
from model.pairs.record_view import Expression, RecordView, SourceText, ViewedRegion
from model.pairs.targets import Item, in_target_order

_DETERMINERS = frozenset(
    "a an the some both one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)


class PairDraft(NamedTuple):
    """The content of a pair: `items` or `text` for the target, `input` for the prompt.

    For a task that writes text, a draft with items gives their labels, one a line. If a task takes names and `input` is
    empty, the input becomes the labels of the items that fit into the target.
    """

    items: Sequence[Item] = ()
    text: str = ""
    input: str = ""
    ids: tuple[str, ...] = ()  # ids of further annotations that are not among the items


class DraftMaker:
    """Makes the drafts of one record.

    `left_out`: counts what gets no draft, by (task, reason). `masks`: whether open-vocabulary detection answers with
    outlines instead of boxes.
    """

    def __init__(self, record: RecordView, left_out: Counter[tuple[str, str]], *, masks: bool) -> None:
        self.record, self.left_out, self.masks = record, left_out, masks
        self._regions: dict[str, str] = {}

    def drafts(self, task: str) -> Iterator[PairDraft]:
        """The drafts of a task, in the order of the record."""
        return _MAKERS[TASKS[task].reads, TASKS[task].input](self, task)

    def captions(self, task: str) -> Iterator[PairDraft]:
        for text in self.record.texts:
            if text["granularity"] == TASKS[task].granularity and self._accept(task, text_fault(text["text"])):
                yield PairDraft(text=text["text"], ids=(text["id"],))

    def labelled_objects(self, task: str) -> Iterator[PairDraft]:
        labelled = [(region, SourceText("", region.label)) for region in self.record.objects]
        yield from _draft_of(self._items(task, labelled))

    def described_objects(self, task: str) -> Iterator[PairDraft]:
        yield from _draft_of(self._items(task, self._best_texts(task, self.record.objects)))

    def object_boxes(self, task: str) -> Iterator[PairDraft]:
        yield from _draft_of([_item(region) for region in self.record.objects if self._accept(task, _fault(region))])

    def printed_text(self, task: str) -> Iterator[PairDraft]:
        fault = text_fault if TASKS[task].form == "text" else label_fault
        items = self._items(task, self._best_texts(task, self.record.printed, "unread"), fault)
        yield from _draft_of(in_target_order("quads", items, "reading"))

    def grounded_captions(self, task: str) -> Iterator[PairDraft]:
        for text in self.record.texts:
            mentions = self.record.mentions(text["id"])
            if not mentions or not self._accept(task, text_fault(text["text"])):
                continue
            items = [
                _item(region, mention.phrase, *mention.ids, start=mention.start)
                for mention in mentions
                if self._accept(task, label_fault(mention.phrase))
                for region in mention.regions.values()
                if self._accept(task, "outside_image" if region.outside else "")
            ]
            if items:
                yield PairDraft(items, input=text["text"], ids=(text["id"],))

    def masks_of_names(self, task: str) -> Iterator[PairDraft]:
        """One draft for each label or phrase, with the masks of all its regions."""
        masked = (name for name in self._expressions(task) if any(region.rle for region in name.regions))
        for name in self._distinct(task, masked):
            items = self._items_of(name, masks=True)
            if self._accept(task, "" if all(item.polygons for item in items) else "no_outline"):
                yield PairDraft(items)

    def mask_of_region(self, task: str) -> Iterator[PairDraft]:
        for region in self.record.objects:
            if region.rle and self._accept(task, _fault(region)):
                outline = self.record.outline(region)
                if self._accept(task, "" if outline else "no_outline"):
                    yield PairDraft([_item(region)._replace(polygons=outline)], input=self._locations(region))

    def named_objects(self, task: str) -> Iterator[PairDraft]:
        """One draft with all labels, then one draft for each label and for each phrase that names a single region."""
        single = (name for name in self._expressions(task) if name.is_label or len(name.regions) == 1)
        names = list(self._distinct(task, single))
        items = [self._items_of(name, masks=self.masks) for name in names]
        labels = [own for name, own in zip(names, items, strict=True) if name.is_label]
        if len(labels) > 1:
            yield PairDraft([item for own in labels for item in own])
        yield from (PairDraft(own) for own in items)

    def label_of_region(self, task: str) -> Iterator[PairDraft]:
        for region in self.record.objects:
            if self._accept(task, _fault(region) or label_fault(region.label)):
                yield PairDraft(text=region.label, input=self._locations(region), ids=(region.id,))

    def descriptions_of_region(self, task: str) -> Iterator[PairDraft]:
        """One draft for each text of each object."""
        texts = self.record.region_texts(TASKS[task].granularity)
        for region in self.record.objects:
            for text in texts.get(region.id, ()):
                yield from self._text_of_region(task, region, text)

    def print_in_region(self, task: str) -> Iterator[PairDraft]:
        for region, text in self._best_texts(task, self.record.printed, "unread"):
            yield from self._text_of_region(task, region, text)

    def _text_of_region(self, task: str, region: ViewedRegion, text: SourceText) -> Iterator[PairDraft]:
        if self._accept(task, _fault(region) or text_fault(text.text)):
            yield PairDraft(text=text.text, input=self._locations(region), ids=(region.id, text.id))

    def _accept(self, task: str, reason: str) -> bool:
        """Whether there is no reason to leave something out. If there is one, it is counted."""
        if reason:
            self.left_out[task, reason] += 1
        return not reason

    def _best_texts(
        self, task: str, regions: Iterable[ViewedRegion], missing: str = ""
    ) -> Iterator[tuple[ViewedRegion, SourceText]]:
        """Each region that has texts, with the best of them. Regions without a text are counted under the reason
        `missing`.
        """
        texts = self.record.region_texts(TASKS[task].granularity)
        for region in regions:
            if own := texts.get(region.id):
                yield region, own[0]
                if len(own) > 1:
                    self.left_out[task, "outvoted"] += len(own) - 1
            elif missing:
                self.left_out[task, missing] += 1

    def _items(
        self,
        task: str,
        labelled: Iterable[tuple[ViewedRegion, SourceText]],
        fault: Callable[[str], str] = label_fault,
    ) -> list[Item]:
        """An item for each region, with its text as the label. `fault`: returns the reason why a text cannot be
        used.
        """
        return [
            _item(region, text.text, *([text.id] if text.id else ()))
            for region, text in labelled
            if self._accept(task, _fault(region) or fault(text.text))
        ]

    def _expressions(self, task: str) -> Iterator[Expression]:
        """Labels and phrases that a prompt can hold and that name regions unambiguously."""
        for name in self.record.expressions():
            outside = any(region.outside for region in name.regions)
            reason = "ambiguous" if name.ambiguous else "outside_image" if outside else ""
            if self._accept(task, label_fault(name.words) or reason):
                yield name

    def _distinct(self, task: str, names: Iterable[Expression]) -> Iterator[Expression]:
        """The first of each group of near-equal names: names of the same regions that differ only by article, case or
        number word.
        """
        seen: set[tuple[str, frozenset[str]]] = set()
        for name in names:
            key = (plain_expression(name.words), frozenset(region.id for region in name.regions))
            if self._accept(task, "same_as" if key in seen else ""):
                seen.add(key)
                yield name

    def _items_of(self, name: Expression, *, masks: bool) -> list[Item]:
        items = [_item(region, name.words, *name.phrase_ids) for region in name.regions]
        if not masks:
            return items
        outlines = [self.record.outline(region) for region in name.regions]
        return [item._replace(polygons=outline) for item, outline in zip(items, outlines, strict=True)]

    def _locations(self, region: ViewedRegion) -> str:
        if region.id not in self._regions:
            self._regions[region.id] = location_tokens(region.box, self.record.width, self.record.height)
        return self._regions[region.id]


# Key: what a task reads and what its prompt takes. A new combination needs a new method of DraftMaker.
_MAKERS: Mapping[tuple[Reads, Input], Callable[[DraftMaker, str], Iterator[PairDraft]]] = {
    ("texts", ""): DraftMaker.captions,
    ("labels", ""): DraftMaker.labelled_objects,
    ("descriptions", ""): DraftMaker.described_objects,
    ("boxes", ""): DraftMaker.object_boxes,
    ("printed", ""): DraftMaker.printed_text,
    ("phrases", "caption"): DraftMaker.grounded_captions,
    ("masks_of_names", "names"): DraftMaker.masks_of_names,
    ("names", "names"): DraftMaker.named_objects,
    ("masks", "region"): DraftMaker.mask_of_region,
    ("labels", "region"): DraftMaker.label_of_region,
    ("descriptions", "region"): DraftMaker.descriptions_of_region,
    ("printed", "region"): DraftMaker.print_in_region,
}


def plain_expression(words: str) -> str:
    """An expression in lower case, without leading articles and number words. If it consists only of these, they are
    kept.

    "The two cats", "both cats" and "cats" give "cats"; "a cat" gives "cat".
    """
    plain = words.casefold().split()
    rest = list(dropwhile(lambda word: word in _DETERMINERS or word.isdigit(), plain))
    return " ".join(rest or plain)


def _fault(region: ViewedRegion) -> str:
    return "crowd" if region.crowd else "outside_image" if region.outside else ""


def _item(region: ViewedRegion, label: str = "", *ids: str, start: int = 0) -> Item:
    return Item(label, region.box, region.quad, (), start, (*ids, region.id))


def _draft_of(items: Sequence[Item]) -> Iterator[PairDraft]:
    """One draft with all items; no draft if there are no items."""
    if items:
        yield PairDraft(items)
