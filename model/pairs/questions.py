"""What each task can ask of one image. Whether it fits and holds, model/pairs/compile.py decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import dropwhile
from typing import NamedTuple

from model.pairs.locations import location_tokens
from model.pairs.parsing import label_fault, text_fault
from model.pairs.record_view import Expression, RecordView, SourceText, ViewedRegion
from model.pairs.targets import Item, in_target_order
from model.pairs.tasks import TASKS, Input, Reads

_DETERMINERS = frozenset(
    "a an the some both one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)


class PairDraft(NamedTuple):
    """The makings of a pair. A text task with items answers their labels, a line each.

    Without `given` a task that takes words is given the labels of the items that are left in the end.
    """

    items: Sequence[Item] = ()
    text: str = ""
    given: str = ""
    ids: tuple[str, ...] = ()


class DraftMaker:
    """`left_out` counts what no draft holds, by (task, reason). `masks`: outlines in open-vocabulary detection."""

    def __init__(self, source: RecordView, left_out: Counter[tuple[str, str]], *, masks: bool) -> None:
        self.source, self.left_out, self.masks = source, left_out, masks
        self._regions: dict[str, str] = {}

    def of(self, task: str) -> Iterator[PairDraft]:
        """In the record's order."""
        return _MAKERS[TASKS[task].reads, TASKS[task].input](self, task)

    def captions(self, task: str) -> Iterator[PairDraft]:
        for text in self.source.texts:
            if text["granularity"] == TASKS[task].granularity and self._good(task, text_fault(text["text"])):
                yield PairDraft(text=text["text"], ids=(text["id"],))

    def objects(self, task: str) -> Iterator[PairDraft]:
        yield from _some(self._items(task, [(thing, SourceText("", thing.label)) for thing in self.source.objects]))

    def described(self, task: str) -> Iterator[PairDraft]:
        yield from _some(self._items(task, self._best(task, self.source.objects, self._region_texts(task))))

    def proposals(self, task: str) -> Iterator[PairDraft]:
        yield from _some([_item(thing, "") for thing in self.source.objects if self._good(task, _fault(thing))])

    def printed(self, task: str) -> Iterator[PairDraft]:
        fault = text_fault if TASKS[task].form == "text" else label_fault
        items = self._items(task, self._best(task, self.source.printed, self._region_texts(task), "unread"), fault)
        yield from _some(in_target_order("quads", items, "reading"))

    def grounding(self, task: str) -> Iterator[PairDraft]:
        for text in self.source.texts:
            mentions = self.source.mentions(text["id"])
            if not mentions or not self._good(task, text_fault(text["text"])):
                continue
            items = [
                _item(thing, mention.phrase, *mention.ids, at=mention.at)
                for mention in mentions
                if self._good(task, label_fault(mention.phrase))
                for thing in mention.things.values()
                if self._good(task, "outside_image" if thing.outside else "")
            ]
            if items:
                yield PairDraft(items, given=text["text"], ids=(text["id"],))

    def referred(self, task: str) -> Iterator[PairDraft]:
        masked = (name for name in self._names(task) if any(thing.rle for thing in name.things))
        for name in self._distinct(task, masked):
            items = self._named(name, masks=True)
            if self._good(task, "" if all(item.polygons for item in items) else "no_outline"):
                yield PairDraft(items)

    def segmented(self, task: str) -> Iterator[PairDraft]:
        for thing in self.source.objects:
            if thing.rle and self._good(task, _fault(thing)):
                outline = self.source.outline(thing)
                if self._good(task, "" if outline else "no_outline"):
                    yield PairDraft([_item(thing, "")._replace(polygons=outline)], given=self._region(thing))

    def vocabulary(self, task: str) -> Iterator[PairDraft]:
        """All labels at once, each by itself, and each phrase that names one region: a referring expression."""
        asked = (name for name in self._names(task) if name.is_label or len(name.things) == 1)
        names = list(self._distinct(task, asked))
        items = [self._named(name, masks=self.masks) for name in names]
        labels = [own for name, own in zip(names, items, strict=True) if name.is_label]
        if len(labels) > 1:
            yield PairDraft([item for own in labels for item in own])
        yield from (PairDraft(own) for own in items)

    def categories(self, task: str) -> Iterator[PairDraft]:
        for thing in self.source.objects:
            if self._good(task, _fault(thing) or label_fault(thing.label)):
                yield PairDraft(text=thing.label, given=self._region(thing), ids=(thing.id,))

    def descriptions(self, task: str) -> Iterator[PairDraft]:
        for thing in self.source.objects:
            for said in self._region_texts(task).get(thing.id, ()):
                yield from self._said(task, thing, said)

    def readings(self, task: str) -> Iterator[PairDraft]:
        for thing, said in self._best(task, self.source.printed, self._region_texts(task), "unread"):
            yield from self._said(task, thing, said)

    def _said(self, task: str, thing: ViewedRegion, said: SourceText) -> Iterator[PairDraft]:
        if self._good(task, _fault(thing) or text_fault(said.text)):
            yield PairDraft(text=said.text, given=self._region(thing), ids=(thing.id, said.id))

    def _good(self, task: str, reason: str) -> bool:
        """Whether there is no reason to leave it out; counted if there is."""
        if reason:
            self.left_out[task, reason] += 1
        return not reason

    def _best(
        self, task: str, things: Iterable[ViewedRegion], texts: Mapping[str, list[SourceText]], without: str = ""
    ) -> Iterator[tuple[ViewedRegion, SourceText]]:
        """One text for each region that has any; those that have none are counted by the reason `without`."""
        for thing in things:
            if own := texts.get(thing.id):
                yield thing, own[0]
                if len(own) > 1:
                    self.left_out[task, "outvoted"] += len(own) - 1
            elif without:
                self.left_out[task, without] += 1

    def _items(
        self, task: str, labelled: Iterable[tuple[ViewedRegion, SourceText]], fault: Callable[[str], str] = label_fault
    ) -> list[Item]:
        return [
            _item(thing, said.text, *([said.id] if said.id else ()))
            for thing, said in labelled
            if self._good(task, _fault(thing) or fault(said.text))
        ]

    def _names(self, task: str) -> Iterator[Expression]:
        for name in self.source.names():
            reason = "ambiguous" if name.ambiguous else "outside_image" if any(t.outside for t in name.things) else ""
            if self._good(task, label_fault(name.words) or reason):
                yield name

    def _distinct(self, task: str, names: Iterable[Expression]) -> Iterator[Expression]:
        """Of names that say the same of the same regions the first: labels come before phrases."""
        seen: set[tuple[str, frozenset[str]]] = set()
        for name in names:
            key = (plain_expression(name.words), frozenset(thing.id for thing in name.things))
            if self._good(task, "same_as" if key in seen else ""):
                seen.add(key)
                yield name

    def _named(self, name: Expression, *, masks: bool) -> list[Item]:
        items = [_item(thing, name.words, *name.ids) for thing in name.things]
        if not masks:
            return items
        return [
            item._replace(polygons=self.source.outline(thing)) for item, thing in zip(items, name.things, strict=True)
        ]

    def _region_texts(self, task: str) -> Mapping[str, list[SourceText]]:
        return self.source.region_texts(TASKS[task].granularity)

    def _region(self, thing: ViewedRegion) -> str:
        if thing.id not in self._regions:
            self._regions[thing.id] = location_tokens(thing.box, self.source.width, self.source.height)
        return self._regions[thing.id]


_MAKERS: Mapping[tuple[Reads, Input], Callable[[DraftMaker, str], Iterator[PairDraft]]] = {
    ("texts", ""): DraftMaker.captions,
    ("labels", ""): DraftMaker.objects,
    ("descriptions", ""): DraftMaker.described,
    ("boxes", ""): DraftMaker.proposals,
    ("printed", ""): DraftMaker.printed,
    ("phrases", "caption"): DraftMaker.grounding,
    ("masks_of_names", "names"): DraftMaker.referred,
    ("names", "names"): DraftMaker.vocabulary,
    ("masks", "region"): DraftMaker.segmented,
    ("labels", "region"): DraftMaker.categories,
    ("descriptions", "region"): DraftMaker.descriptions,
    ("printed", "region"): DraftMaker.readings,
}


def plain_expression(words: str) -> str:
    """An expression without case and without the articles and number words before it; as it is if there is no more.

    "The two cats", "both cats" and "cats" are one expression, "cat" is another.
    """
    plain = words.casefold().split()
    rest = list(dropwhile(lambda word: word in _DETERMINERS or word.isdigit(), plain))
    return " ".join(rest or plain)


def _fault(thing: ViewedRegion) -> str:
    return "crowd" if thing.crowd else "outside_image" if thing.outside else ""


def _item(thing: ViewedRegion, label: str, *ids: str, at: int = 0) -> Item:
    return Item(label, thing.box, thing.quad, (), at, (*ids, thing.id))


def _some(items: Sequence[Item]) -> Iterator[PairDraft]:
    """Of nothing nothing is asked."""
    if items:
        yield PairDraft(items)
