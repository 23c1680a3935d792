"""A target, as characters or as tokens, back to annotations. It never guesses.

What the grammar has no reading for becomes a Fault with a reason and a place, and no annotation. Coordinates are the
middles of their locations, in pixels. The grammar, with 4 or 8 for as many locations:

    text              words, no location and no mark
    boxes             4 4 4
    labelled_boxes    label 4 4 label 4         several boxes may follow one label
    phrases           phrase 4 4 phrase 4       the same, in the order of the caption
    repeated_boxes    label 4 label 4           one box for each label; or label <poly>outline</poly>
    quads             words 8 words 8
    polygons          outline, of one; or <poly>outline</poly><poly>outline</poly>, of several
    outline           x y x y x y ... with <sep> between the parts of one thing
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from model.pairs.locations import BINS, LOCATIONS
from model.pairs.tasks import AND, task_of

SEP, POLY, END_POLY = "<sep>", "<poly>", "</poly>"
Box = tuple[float, float, float, float]
Quad = tuple[float, float, float, float, float, float, float, float]

_LEXEME = re.compile(r"(<loc_(?:0|[1-9][0-9]{0,2})>|<sep>|</?poly>|<and>)")
_BIN = {location: bin_ for bin_, location in enumerate(LOCATIONS)}
_AROUND = ("<s>", "</s>", "<pad>")
# The tokens a vocabulary adds: a tokenizer would read them as such in the middle of a caption.
_RESERVED = re.compile(
    r"<loc_[0-9]+>|</?(?:od|ocr|cap|ncap|dcap|grounding|seg|region_cap|region_to_desciption|proposal|poly|s)>"
    r"|<(?:sep|and|image|pad|unk|mask)>"
)


class Lexeme(NamedTuple):
    """`text`: the characters, or the mark. `bin`: 0 to 999 of a location, else -1. A tuple, for there are billions."""

    kind: Literal["text", "loc", "mark"]
    text: str
    bin: int
    start: int  # in what was lexed: code points of a string, or positions of token ids; end exclusive
    end: int


@dataclass(slots=True)
class ParsedRegion:
    """One region of an answer. Several boxes behind one label are several of these with the same `label_at`."""

    label: str
    label_at: tuple[int, int] | None
    box: Box | None = None
    quad: Quad | None = None
    polygons: list[list[float]] = field(default_factory=list)  # the parts of one thing: x, y, x, y, ...
    locations_at: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Fault:
    """What could not be read, and where.

    location_in_text, mark_in_text, reserved_in_text: a text is words alone
    empty, angle_bracket, new_line, white_space, not_unicode: such a label cannot be written (label_fault)
    and_in_label, no_label, no_locations, unexpected_text, unexpected_mark: something lacks, or is too much
    location_count, inverted_box, unclosed_polygon, outside_polygon: the locations make no shape
    """

    reason: str
    start: int
    end: int


@dataclass(slots=True)
class ParsedTarget:
    text: str = ""  # of text tasks; '' where it has a fault
    regions: list[ParsedRegion] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def lex(target: str) -> list[Lexeme]:
    """Text, locations and marks. <s>, </s> and <pad> around the whole are no part of it; <loc_1000> is text."""
    at, stop = _inside(target)
    lexemes: list[Lexeme] = []
    new = tuple.__new__  # half the time of Lexeme(...), and this is where the time of a proof goes
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
    """Where what the tokens of begin, end and padding surround begins and ends."""
    start, end = 0, len(target)
    while target.startswith(_AROUND, start):
        start = target.index(">", start) + 1
    while target.endswith(_AROUND, start, end):
        end = target.rindex("<", start, end)
    return start, end


def parse_target(task: str, target: str, *, width: float, height: float) -> ParsedTarget:
    """What a target says of an image of this size (upright, in pixels)."""
    return parse_lexemes(task, lex(target), width=width, height=height)


def parse_lexemes(task: str, lexemes: Sequence[Lexeme], *, width: float, height: float) -> ParsedTarget:
    """What lexemes say; of ids of tokens they come from a vocabulary."""
    form = task_of(task).form
    reader = _Reader(width, height)
    if form == "text":
        reader.words(lexemes)
    elif form == "polygons":
        reader.outlines(lexemes)
    else:
        for head, tail in _entries(lexemes):
            reader.entry(form, head, tail)
    return reader.parsed


def label_fault(label: str) -> str:
    """Why the grammar cannot carry a label, phrase or printed word; '' if it can."""
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
    """Why a text cannot be a target, or stand in a prompt; '' if it can. Lines and spaces can."""
    if not text.strip():
        return "empty"
    if "<" in text and _RESERVED.search(text):
        return "reserved_token"
    return "" if _is_unicode(text) else "not_unicode"


def _is_unicode(text: str) -> bool:
    """Half a surrogate pair, as broken JSON holds it, has no bytes that a tokenizer or Arrow could take."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _entries(lexemes: Sequence[Lexeme]) -> Iterator[tuple[list[Lexeme], list[Lexeme]]]:
    """Words (with <and>), and the locations and marks that follow them."""
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
    __slots__ = ("across", "down", "parsed")

    def __init__(self, width: float, height: float) -> None:
        self.across, self.down = width, height
        self.parsed = ParsedTarget()

    def fault(self, reason: str, lexemes: Sequence[Lexeme]) -> None:
        self.parsed.faults.append(Fault(reason, lexemes[0].start, lexemes[-1].end))

    def words(self, lexemes: Sequence[Lexeme]) -> None:
        for lexeme in lexemes:
            if lexeme.kind != "text":
                self.fault("location_in_text" if lexeme.kind == "loc" else "mark_in_text", [lexeme])
            elif "<" in lexeme.text and _RESERVED.search(lexeme.text):
                self.fault("reserved_in_text", [lexeme])
        if not self.parsed.faults:
            self.parsed.text = "".join([lexeme.text for lexeme in lexemes])

    def entry(self, form: str, head: list[Lexeme], tail: list[Lexeme]) -> None:
        if not tail:
            self.fault("unexpected_text" if form == "boxes" else "no_locations", head)
        elif form == "boxes":
            if head:
                self.fault("unexpected_text", head)
            self.boxes("", None, tail, several=True)
        elif self.is_label(head, tail):
            label = head[0].text if len(head) == 1 else "".join([lexeme.text for lexeme in head])
            at = (head[0].start, head[-1].end)
            if form == "quads":
                self.quad(label, at, tail)
            elif form == "repeated_boxes" and tail[0].text == POLY:
                self.wrapped(label, at, tail)
            else:
                self.boxes(label, at, tail, several=form != "repeated_boxes")

    def is_label(self, head: list[Lexeme], tail: list[Lexeme]) -> bool:
        reason = "" if head else "no_label"
        if head:
            marked = any(lexeme.kind == "mark" for lexeme in head)
            reason = "and_in_label" if marked else label_fault("".join([lexeme.text for lexeme in head]))
        if reason:
            self.fault(reason, head or tail)
        return not reason

    def boxes(self, label: str, at: tuple[int, int] | None, tail: list[Lexeme], *, several: bool) -> None:
        if not self.are_locations(tail):
            return
        if len(tail) % 4 or (len(tail) > 4 and not several):
            self.fault("location_count", tail)
            return
        for number in range(0, len(tail), 4):
            four = tail[number : number + 4]
            if four[0].bin > four[2].bin or four[1].bin > four[3].bin:
                self.fault("inverted_box", four)
            else:
                x1, y1, x2, y2 = self.pixels(four)
                places = [(lexeme.start, lexeme.end) for lexeme in four]
                self.parsed.regions.append(ParsedRegion(label, at, (x1, y1, x2, y2), None, [], places))

    def quad(self, label: str, at: tuple[int, int], tail: list[Lexeme]) -> None:
        if not self.are_locations(tail):
            return
        if len(tail) != 8:
            self.fault("location_count", tail)
            return
        x1, y1, x2, y2, x3, y3, x4, y4 = self.pixels(tail)
        places = [(lexeme.start, lexeme.end) for lexeme in tail]
        self.parsed.regions.append(ParsedRegion(label, at, None, (x1, y1, x2, y2, x3, y3, x4, y4), [], places))

    def are_locations(self, tail: list[Lexeme]) -> bool:
        for lexeme in tail:
            if lexeme.bin < 0:
                self.fault("unexpected_mark", [lexeme])
                return False
        return True

    def outlines(self, lexemes: Sequence[Lexeme]) -> None:
        foreign = [lexeme for lexeme in lexemes if lexeme.kind == "text" or lexeme.text == AND]
        for lexeme in foreign:
            self.fault("unexpected_text" if lexeme.kind == "text" else "unexpected_mark", [lexeme])
        if foreign or not lexemes:
            return
        if any(lexeme.text in (POLY, END_POLY) for lexeme in lexemes):
            self.wrapped("", None, lexemes)
        else:
            self.outline("", None, lexemes)

    def wrapped(self, label: str, at: tuple[int, int] | None, lexemes: Sequence[Lexeme]) -> None:
        """<poly>..</poly> for each thing; one that is not closed, and what lies outside, is nothing."""
        opened = -1
        for number, lexeme in enumerate(lexemes):
            if lexeme.text == POLY:
                if opened >= 0:
                    self.fault("unclosed_polygon", lexemes[opened:number])
                opened = number
            elif opened < 0:
                self.fault("outside_polygon", [lexeme])
            elif lexeme.text == END_POLY:
                if opened + 1 == number:
                    self.fault("no_locations", lexemes[opened : number + 1])
                else:
                    self.outline(label, at, lexemes[opened + 1 : number])
                opened = -1
        if opened >= 0:
            self.fault("unclosed_polygon", lexemes[opened:])

    def outline(self, label: str, at: tuple[int, int] | None, lexemes: Sequence[Lexeme]) -> None:
        """The parts of one thing. With one of them malformed the shape is unknown, so there is none."""
        parts: list[list[Lexeme]] = [[]]
        for lexeme in lexemes:
            if lexeme.bin < 0:
                parts.append([])
            else:
                parts[-1].append(lexeme)
        if any(len(part) < 6 or len(part) % 2 for part in parts):
            self.fault("location_count", lexemes)
            return
        places = [(lexeme.start, lexeme.end) for part in parts for lexeme in part]
        self.parsed.regions.append(ParsedRegion(label, at, None, None, [self.pixels(part) for part in parts], places))

    def pixels(self, locations: Sequence[Lexeme]) -> list[float]:
        """As locations.from_bins, without NumPy, which would take longer than a few numbers are worth."""
        sides = (self.across, self.down)
        return [(lexeme[2] + 0.5) * sides[number & 1] / BINS for number, lexeme in enumerate(locations)]
