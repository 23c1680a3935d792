"""Finds the fault of one training pair: parses its target and compares it with the annotations that the pair names.

It shares no code with the compiler of pairs, except for the location tokens of a point and the outline of a mask. Two
regions count as equal if all their location tokens are equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.errors import EngineError
from engine.schema import ANNOTATIONS
from model.florence2_tasks import AND, TASKS, Task, input_of
from model.pairs.locations import location_tokens
from model.pairs.pair import estimated_tokens
from model.pairs.parsing import ParsedRegion, parse_target
from model.pairs.polygons import outline
from pipelines.emit.verifiers.check import Row

RegionAnswer = tuple[str, str]  # what a target states of one region: its label, and its shape in location tokens


class RecordProof:
    """Proves the pairs of one record. Make it once for all of them: a record may have thousands of annotations."""

    def __init__(self, record: Row, max_points: int = 50) -> None:
        self.record, self.max_points = record, max_points
        self.annotations = {item["id"]: (name, item) for name in ANNOTATIONS for item in record[name]}
        self.texts: dict[str, str] = {one["id"]: one["text"] for one in record["texts"]}

    def fault(self, pair: Row) -> str:
        """What is wrong with a pair (a row of PAIRS), as the end of a sentence. '' if nothing is wrong."""
        if pair["task"] not in TASKS:
            return "is not a task of Florence-2"
        tokens = estimated_tokens(pair["target"])
        if pair["tokens"] != tokens:
            return f"states {pair['tokens']} tokens, its target has {tokens}"
        try:
            given = input_of(pair["task"], pair["prompt"])
            return _answer_fault(_Question(self, pair, given))
        except ValueError as error:
            return f"has a prompt that does not fit its task: {error}"
        except KeyError as error:
            return f"needs the annotation {error}, which it does not name or which does not exist"


def _answer_fault(question: _Question) -> str:
    record, pair = question.record, question.pair
    parsed = parse_target(pair["task"], pair["target"], width=record["width"], height=record["height"])
    if parsed.faults:
        fault = parsed.faults[0]
        return f"has a target that does not parse, {fault.reason} at {fault.start}: '{pair['target'][:80]}'"
    if TASKS[pair["task"]].form == "text":
        return "" if parsed.text in question.texts() else f"answers '{parsed.text[:80]}', its annotations do not"
    found, expected = Counter(map(question.answer_of, parsed.regions)), Counter(question.expected())
    return _difference(found, expected, truncated=pair["truncated"]) or question.prompt_fault(parsed.regions)


def _difference(found: Counter[RegionAnswer], expected: Counter[RegionAnswer], *, truncated: bool) -> str:
    """How the target differs from what is expected, as the end of a sentence. '' if it does not differ.

    A truncated target may lack regions. If it has only one outline, the end of that may be missing.
    """
    for label, shape in found - expected:
        cut = truncated and any(other == label and whole.startswith(f"{shape}<sep>") for other, whole in expected)
        if not cut:
            return f"has '{label}{shape[:80]}' in its target, its annotations have not"
    lacking = expected - found
    return (
        f"has an annotation '{next(iter(lacking))[0]}' that its target lacks"
        if lacking and not (truncated and found)
        else ""
    )


@dataclass(slots=True)
class _Question:
    """A pair with its annotations, which are looked up in the record. Raises KeyError if an id is not in the record."""

    proof: RecordProof
    pair: Row
    given: str  # what the prompt contains besides the question of the task: a text or a region
    record: Row = field(init=False)
    task: Task = field(init=False)
    named: dict[str, dict[str, Row]] = field(init=False)

    def __post_init__(self) -> None:
        self.record, self.task = self.proof.record, TASKS[self.pair["task"]]
        self.named = {name: {} for name in ANNOTATIONS}
        for annotation in self.pair["annotation_ids"]:
            name, item = self.proof.annotations[annotation]
            self.named[name][annotation] = item

    def texts(self) -> Iterator[str]:
        """The correct answers, for a task whose answer is a text."""
        if self.task.reads == "texts":
            texts = self.named["texts"].values()
            yield from (one["text"] for one in texts if one["granularity"] == self.task.granularity)
        elif self.task.input != "region":
            lines = sorted(self._region_texts(), key=lambda line: (line[0]["y1"], line[0]["x1"]))
            yield "\n".join(text for _, text in lines)
        elif self.task.reads == "labels":
            yield from (one["label"] for one in self._given_regions())
        else:
            given = [one["id"] for one in self._given_regions()]
            yield from (text for one, text in self._region_texts() if one["id"] in given)

    def expected(self) -> Iterator[RegionAnswer]:
        """The regions that the target must state according to the annotations, for a task about regions."""
        regions = self.named["regions"].values()
        match self.task.reads:
            case "labels":
                yield from ((one["label"], self._box(one)) for one in regions)
            case "boxes":
                yield from (("", self._box(one)) for one in regions)
            case "descriptions":
                yield from ((text, self._box(one)) for one, text in self._region_texts())
            case "printed":
                yield from ((text, self._quad(one)) for one, text in self._region_texts())
            case "phrases":
                yield from self._grounded()
            case "masks":
                yield from (("", self._outline(one)) for one in self._given_regions())
            case "masks_of_names":
                yield from (("", self._outline(one)) for one in regions)
            case _:
                yield from ((self._name_of(one), self._shape(one)) for one in regions)

    def answer_of(self, found: ParsedRegion) -> RegionAnswer:
        """What the target states about one region, as label and location tokens."""
        size = (self.record["width"], self.record["height"])
        if found.polygons:
            return found.label, "<sep>".join(location_tokens(part, *size) for part in found.polygons)
        return found.label, location_tokens(found.quad or found.box or (), *size)

    def prompt_fault(self, found: Sequence[ParsedRegion]) -> str:
        """What is wrong with a prompt whose text or names are not those of the annotations. '' if nothing is wrong."""
        if self.task.input not in ("caption", "names"):
            return ""
        if self.task.input == "caption":
            texts = {one["text"] for one in self.named["texts"].values()}
            return "" if self.given in texts else f"asks about '{self.given[:80]}', which is not its text"
        asked = set(self.given.split(AND))
        names = {one.label for one in found if one.label} or {
            self._name_of(one) for one in self.named["regions"].values()
        }
        return "" if asked == names else f"asks for {sorted(asked)}, its annotations are {sorted(names)}"

    def _given_regions(self) -> list[Row]:
        """The regions of the pair whose box is the one in the prompt."""
        return [one for one in self.named["regions"].values() if self._box(one) == self.given]

    def _region_texts(self) -> list[tuple[Row, str]]:
        own = [one for one in self.named["region_texts"].values() if one["granularity"] == self.task.granularity]
        return [(self.named["regions"][one["region_id"]], one["text"]) for one in own]

    def _grounded(self) -> Iterator[RegionAnswer]:
        texts, spans = self.named["texts"], set()
        for phrase in self.named["phrases"].values():
            for region in phrase["region_ids"]:
                if region in self.named["regions"]:
                    spans.add((phrase["text_id"], phrase["char_start"], phrase["char_end"], region))
        for text, start, end, region in spans:
            yield texts[text]["text"][start:end], self._box(self.named["regions"][region])

    def _name_of(self, region: Row) -> str:
        """The phrase for the region if the pair is made from a phrase, otherwise the region's label."""
        for phrase in self.named["phrases"].values():
            if region["id"] in phrase["region_ids"]:
                text = self.proof.texts[phrase["text_id"]]
                return text[phrase["char_start"] : phrase["char_end"]]
        label: str = region["label"]
        return label

    def _box(self, region: Row) -> str:
        corners = [region[name] for name in ("x1", "y1", "x2", "y2")]
        return location_tokens(corners, self.record["width"], self.record["height"])

    def _quad(self, region: Row) -> str:
        x1, y1, x2, y2 = (region[name] for name in ("x1", "y1", "x2", "y2"))
        corners = region["quad"] or [x1, y1, x2, y1, x2, y2, x1, y2]
        return location_tokens(corners, self.record["width"], self.record["height"])

    def _shape(self, region: Row) -> str:
        """The outline of the region if the target has polygons, otherwise its box."""
        outlined = region["rle"] and "<poly>" in self.pair["target"]
        return (self._outline(region) if outlined else "") or self._box(region)

    def _outline(self, region: Row) -> str:
        size = {"width": self.record["width"], "height": self.record["height"]}
        try:
            parts = outline(region["rle"], max_points=self.proof.max_points, **size)
        except EngineError:
            parts = []
        return "<sep>".join(location_tokens(part, **size) for part in parts)
