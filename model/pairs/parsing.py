"""Parses targets, as text or as tokens, back to regions and texts. It never guesses.

A part that violates the grammar gives no region, but a Fault with a reason and a position. Coordinates are the centres
of locations, in pixels. This is the grammar of each form; 4 and 8 stand for that many locations:

    text              words, without locations and marks
    boxes             4 4 4
    labelled_boxes    label 4 4 label 4         several boxes may follow one label
    phrases           phrase 4 4 phrase 4       as labelled_boxes, in the order of the caption
    repeated_boxes    label 4 label 4           one box after each label; or label <poly>outline</poly>
    quads             words 8 words 8
    polygons          outline for one region; <poly>outline</poly><poly>outline</poly> for several
    outline           x y x y x y ... with <sep> between the parts of one region
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from engine.records.boxes import Box
from model.florence2_tasks import AND, task_of
from model.pairs.locations import BINS, LOCATIONS

SEP, POLY, END_POLY = "<sep>", "<poly>", "</poly>"
Quad = tuple[float, float, float, float, float, float, float, float]

_LEXEME = re.compile(r"(<loc_(?:0|[1-9][0-9]{0,2})>|<sep>|</?poly>|<and>)")
_BIN = {location: bin_ for bin_, location in enumerate(LOCATIONS)}
_AROUND = ("<s>", "</s>", "<pad>")
# Tokens that the vocabulary adds. In a caption, a tokenizer would read these words as tokens.
_RESERVED = re.compile(
    r"<loc_[0-9]+>|</?(?:od|ocr|cap|ncap|dcap|grounding|seg|region_cap|region_to_desciption|proposal|poly|s)>"
    r"|<(?:sep|and|image|pad|unk|mask)>"
)


class Lexeme(NamedTuple):
    """A piece of a target. `bin`: 0 to 999 for a location, else -1. It is a tuple because billions of lexemes
    are made.
    """

    kind: Literal["text", "loc", "mark"]
    text: str
    bin: int
    start: int  # position in the string, or in the token ids; the end is exclusive
    end: int


@dataclass(slots=True)
class ParsedRegion:
    """One region of a target. `label_at`: (start, end) of its label; boxes that share a label have the same
    `label_at`.
    """

    label: str
    label_at: tuple[int, int] | None
    box: Box | None = None
    quad: Quad | None = None
    polygons: list[list[float]] = field(default_factory=list)  # the parts of its outline, each x, y, x, y, ...
    locations_at: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Fault:
    """A part of a target that violates the grammar. The reasons are:

    location_in_text, mark_in_text, reserved_in_text: a text contains something other than words
    empty, angle_bracket, new_line, white_space, not_unicode: a label is not valid (label_fault)
    and_in_label, no_label, no_locations, unexpected_text, unexpected_mark: something is missing or too much
    location_count, inverted_box, unclosed_polygon, outside_polygon: the locations form no valid shape
    """

    reason: str
    start: int
    end: int


@dataclass(slots=True)
class ParsedTarget:
    text: str = ""  # for text tasks; '' if there is a fault
    regions: list[ParsedRegion] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def lex(target: str) -> list[Lexeme]:
    """Splits a target into text, locations and marks. <s>, </s> and <pad> at its ends are ignored. <loc_1000>
    is text.
    """
    at, stop = _inside(target)
    lexemes: list[Lexeme] = []
    new = tuple.__new__  # twice as fast as Lexeme(...), and most time of a proof is spent here
    for number, part in enumerate(_LEXEME.split(target[at:stop] if at or stop < len(target) else target)):
        if part:
            end = at + len(part)
            if not number & 1:
                lexemes.append(new(Lexeme, ("text", part, -1, at, end)))
            elif part in _BIN:
                lexemes.append(new(Lexeme, ("loc", part, _BIN[part], at, end)))
            else:
                lexemes.append(new(Lexeme, ("mark", part, -1, at, end)))
            at = end
    return lexemes


def _inside(target: str) -> tuple[int, int]:
    """(start, end) of a target without <s>, </s> and <pad> at its ends."""
    start, end = 0, len(target)
    while target.startswith(_AROUND, start):
        start = target.index(">", start) + 1
    while target.endswith(_AROUND, start, end):
        end = target.rindex("<", start, end)
    return start, end


def parse_target(task: str, target: str, *, width: float, height: float) -> ParsedTarget:
    """Parses the target of a task. `width`, `height`: of the upright image, in pixels."""
    return parse_lexemes(task, lex(target), width=width, height=height)


def parse_lexemes(task: str, lexemes: Sequence[Lexeme], *, width: float, height: float) -> ParsedTarget:
    """Parses lexemes, which come from `lex`, or from Vocabulary.lex_ids for token ids."""
    form = task_of(task).form
    reader = _Reader(width, height)
    if form == "text":
        reader.read_text(lexemes)
    elif form == "polygons":
        reader.read_outlines(lexemes)
    else:
        for head, tail in _entries(lexemes):
            reader.read_entry(form, head, tail)
    return reader.parsed


def label_fault(label: str) -> str:
    """The reason why a label, phrase or printed text cannot be written in a target; '' if it can be."""
    if not label.strip():
        return "empty"
    if "<" in label or ">" in label:
        return "angle_bracket"
    if len(label.splitlines()) > 1 or label.splitlines()[0] != label:
        return "new_line"
    if label != label.strip():
        return "white_space"
    return "" if _is_unicode(label) else "not_unicode"


def text_fault(text: str) -> str:
    """The reason why a text cannot be a target or part of a prompt; '' if it can be. Line breaks are allowed."""
    if not text.strip():
        return "empty"
    if "<" in text and _RESERVED.search(text):
        return "reserved_token"
    return "" if _is_unicode(text) else "not_unicode"


def _is_unicode(text: str) -> bool:
    """Whether the text is valid Unicode. Broken JSON may contain half a surrogate pair, which tokenizers and Arrow
    reject.
    """
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _entries(lexemes: Sequence[Lexeme]) -> Iterator[tuple[list[Lexeme], list[Lexeme]]]:
    """Splits lexemes into entries: (text and <and>, the locations and marks after them)."""
    head: list[Lexeme] = []
    tail: list[Lexeme] = []
    for lexeme in lexemes:
        if lexeme.kind == "text" or lexeme.text == AND:
            if tail:
                yield head, tail
                head, tail = [], []
            head.append(lexeme)
        else:
            tail.append(lexeme)
    if head or tail:
        yield head, tail


class _Reader:
    """Reads the lexemes of one target into `parsed`."""

    __slots__ = ("height", "parsed", "width")

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.parsed = ParsedTarget()

    def add_fault(self, reason: str, lexemes: Sequence[Lexeme]) -> None:
        self.parsed.faults.append(Fault(reason, lexemes[0].start, lexemes[-1].end))

    def read_text(self, lexemes: Sequence[Lexeme]) -> None:
        for lexeme in lexemes:
            if lexeme.kind != "text":
                self.add_fault("location_in_text" if lexeme.kind == "loc" else "mark_in_text", [lexeme])
            elif "<" in lexeme.text and _RESERVED.search(lexeme.text):
                self.add_fault("reserved_in_text", [lexeme])
        if not self.parsed.faults:
            self.parsed.text = "".join([lexeme.text for lexeme in lexemes])

    def read_entry(self, form: str, head: list[Lexeme], tail: list[Lexeme]) -> None:
        if not tail:
            self.add_fault("unexpected_text" if form == "boxes" else "no_locations", head)
        elif form == "boxes":
            if head:
                self.add_fault("unexpected_text", head)
            self.read_boxes("", None, tail, several=True)
        elif self.is_label(head, tail):
            label = head[0].text if len(head) == 1 else "".join([lexeme.text for lexeme in head])
            at = (head[0].start, head[-1].end)
            if form == "quads":
                self.read_quad(label, at, tail)
            elif form == "repeated_boxes" and tail[0].text == POLY:
                self.read_wrapped(label, at, tail)
            else:
                self.read_boxes(label, at, tail, several=form != "repeated_boxes")

    def is_label(self, head: list[Lexeme], tail: list[Lexeme]) -> bool:
        reason = "" if head else "no_label"
        if head:
            marked = any(lexeme.kind == "mark" for lexeme in head)
            reason = "and_in_label" if marked else label_fault("".join([lexeme.text for lexeme in head]))
        if reason:
            self.add_fault(reason, head or tail)
        return not reason

    def read_boxes(self, label: str, at: tuple[int, int] | None, tail: list[Lexeme], *, several: bool) -> None:
        if not self.are_locations(tail):
            return
        if len(tail) % 4 or (len(tail) > 4 and not several):
            self.add_fault("location_count", tail)
            return
        for number in range(0, len(tail), 4):
            four = tail[number : number + 4]
            if four[0].bin > four[2].bin or four[1].bin > four[3].bin:
                self.add_fault("inverted_box", four)
            else:
                x1, y1, x2, y2 = self.pixels(four)
                spans = [(lexeme.start, lexeme.end) for lexeme in four]
                self.parsed.regions.append(ParsedRegion(label, at, (x1, y1, x2, y2), None, [], spans))

    def read_quad(self, label: str, at: tuple[int, int], tail: list[Lexeme]) -> None:
        if not self.are_locations(tail):
            return
        if len(tail) != 8:
            self.add_fault("location_count", tail)
            return
        x1, y1, x2, y2, x3, y3, x4, y4 = self.pixels(tail)
        spans = [(lexeme.start, lexeme.end) for lexeme in tail]
        self.parsed.regions.append(ParsedRegion(label, at, None, (x1, y1, x2, y2, x3, y3, x4, y4), [], spans))

    def are_locations(self, tail: list[Lexeme]) -> bool:
        for lexeme in tail:
            if lexeme.bin < 0:
                self.add_fault("unexpected_mark", [lexeme])
                return False
        return True

    def read_outlines(self, lexemes: Sequence[Lexeme]) -> None:
        unexpected = [lexeme for lexeme in lexemes if lexeme.kind == "text" or lexeme.text == AND]
        for lexeme in unexpected:
            self.add_fault("unexpected_text" if lexeme.kind == "text" else "unexpected_mark", [lexeme])
        if unexpected or not lexemes:
            return
        if any(lexeme.text in (POLY, END_POLY) for lexeme in lexemes):
            self.read_wrapped("", None, lexemes)
        else:
            self.read_outline("", None, lexemes)

    def read_wrapped(self, label: str, at: tuple[int, int] | None, lexemes: Sequence[Lexeme]) -> None:
        """Reads <poly>outline</poly> for each region. An unclosed outline is a fault, and so is a lexeme outside of
        outlines.
        """
        opened = -1
        for number, lexeme in enumerate(lexemes):
            if lexeme.text == POLY:
                if opened >= 0:
                    self.add_fault("unclosed_polygon", lexemes[opened:number])
                opened = number
            elif opened < 0:
                self.add_fault("outside_polygon", [lexeme])
            elif lexeme.text == END_POLY:
                if opened + 1 == number:
                    self.add_fault("no_locations", lexemes[opened : number + 1])
                else:
                    self.read_outline(label, at, lexemes[opened + 1 : number])
                opened = -1
        if opened >= 0:
            self.add_fault("unclosed_polygon", lexemes[opened:])

    def read_outline(self, label: str, at: tuple[int, int] | None, lexemes: Sequence[Lexeme]) -> None:
        """Reads the parts of one outline. If one part is malformed, the whole outline is a fault."""
        parts: list[list[Lexeme]] = [[]]
        for lexeme in lexemes:
            if lexeme.bin < 0:
                parts.append([])
            else:
                parts[-1].append(lexeme)
        if any(len(part) < 6 or len(part) % 2 for part in parts):
            self.add_fault("location_count", lexemes)
            return
        spans = [(lexeme.start, lexeme.end) for part in parts for lexeme in part]
        self.parsed.regions.append(ParsedRegion(label, at, None, None, [self.pixels(part) for part in parts], spans))

    def pixels(self, locations: Sequence[Lexeme]) -> list[float]:
        """The centres of locations, in pixels: x, y, x, y, ... It does not use NumPy, which is slower for so few
        numbers.
        """
        sides = (self.width, self.height)
        return [(lexeme[2] + 0.5) * sides[number & 1] / BINS for number, lexeme in enumerate(locations)]
