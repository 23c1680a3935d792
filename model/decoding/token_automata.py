"""Decides which tokens may come next in a label or a text, with automata over bytes that are applied to whole tokens.

A token of a byte-level vocabulary may end inside a character: a non-breaking space is two bytes, for example. So the
rules for characters (label_fault, text_fault) are turned into automata over bytes, which also require valid UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from model.network.vocabulary import ADDED, IMAGE
from model.pairs.parsing import label_fault, text_fault

States = npt.NDArray[np.int16]
Key = tuple[str, bytes]  # a state: a summary of the characters so far, and the bytes of an unfinished character
Read = Callable[[str, str], str | None]

FORBIDDEN = -1
_SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
# White space of several bytes is not allowed at the ends of a label. The last such character is U+3000.
_SPACES = [space.encode() for space in map(chr, range(0x80, 0x3001)) if space.isspace()]
# One first byte for each number of missing bytes. It stands for all characters with as many missing bytes.
_ALIKE = {1: b"\xc3", 2: b"\xe4", 3: b"\xf1"}


@dataclass(frozen=True, slots=True, eq=False)
class ByteAutomaton:
    """Accepts strings byte by byte, starting in state 0. `step`: states x 256, the next state or FORBIDDEN. `is_final`:
    for each state, whether the string may end there.
    """

    step: States
    is_final: npt.NDArray[np.bool_]

    def states_after(self, tokens: Sequence[bytes]) -> States:
        """The state after a whole token, states x tokens; FORBIDDEN if the token is not allowed or has no bytes."""
        lengths = np.array([len(token) for token in tokens])
        padded = np.zeros((len(tokens), lengths.max(initial=1)), np.uint8)
        for number, token in enumerate(tokens):
            padded[number, : len(token)] = np.frombuffer(token, np.uint8)
        first = np.where(lengths > 0, self.step[:, padded[:, 0]], FORBIDDEN)
        plain = self._through(first[0], padded, lengths)
        # From most states a token's first byte leads to the same state as from state 0, so the whole token does too.
        answer = np.where(first == first[0], plain, FORBIDDEN).astype(np.int16)
        states, others = np.nonzero((first != first[0]) & (first != FORBIDDEN))
        answer[states, others] = self._through(first[states, others], padded[others], lengths[others])
        return answer

    def _through(self, states: States, padded: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> States:
        """Follows tokens from the states after their first byte to the states after their last byte."""
        states = states.copy()
        for position in range(1, padded.shape[1]):
            going = np.flatnonzero((lengths > position) & (states != FORBIDDEN))
            states[going] = self.step[states[going], padded[going, position]]
        return states


@cache
def label_automaton() -> ByteAutomaton:
    """Accepts the strings for which `parsing.label_fault` is ''."""
    return _explored("start", _read_label, lambda written: written == "word")


@cache
def text_automaton() -> ByteAutomaton:
    """Accepts any text that does not contain a token added by Florence-2's vocabulary."""
    return _explored("", _read_text, lambda written: True)


def _read_label(written: str, character: str) -> str | None:
    """The state after a character of a label; None if the character is not allowed. The state describes the last
    character: start (none yet), word or blank.
    """
    if label_fault(f"a{character}a"):
        return None
    if not label_fault(f"a{character}"):
        return "word"
    return None if written == "start" else "blank"


def _read_text(written: str, character: str) -> str | None:
    """The state after a character of a text; None if the character is not allowed. The state is the end of the text so
    far, if an added token begins like it; otherwise ''.
    """
    tail = "<" if character == "<" else written + character
    if tail not in _beginnings():
        return ""
    if text_fault(tail) == "reserved_token":
        return None
    return "<loc_0" if tail.startswith("<loc_") and tail[5:] else tail


@cache
def _beginnings() -> frozenset[str]:
    words = [word for word in (*ADDED, IMAGE, *_SPECIAL) if not word.startswith("<loc_")]
    words += [
        f"<loc_{tail}>" for first in range(10) for tail in (first, f"0{first}")
    ]  # locations with any number of digits
    return frozenset(word[:end] for word in words for end in range(1, len(word) + 1))


def _explored(start: str, read: Read, may_end: Callable[[str], bool]) -> ByteAutomaton:
    """Builds the automaton of all states that can be reached from `start`."""
    numbers: dict[Key, int] = {(start, b""): 0}
    waiting, rows = [(start, b"")], list[list[int]]()
    for key in waiting:
        row = []
        for byte in range(256):
            after = _after(key, byte, read)
            if after is not None and after not in numbers:
                numbers[after] = len(numbers)
                waiting.append(after)
            row.append(FORBIDDEN if after is None else numbers[after])
        rows.append(row)
    ends = [not pending and may_end(written) for written, pending in numbers]
    return ByteAutomaton(np.array(rows, np.int16), np.array(ends, np.bool_))


def _after(key: Key, byte: int, read: Read) -> Key | None:
    written, pending = key
    whole = pending + bytes([byte])
    missing = _missing_bytes(whole)
    if missing == 0:
        after = read(written, whole.decode())
        return None if after is None else (after, b"")
    if missing < 0:
        return None
    alone = any(space.startswith(whole) for space in _SPACES) or whole in (b"\xe0", b"\xed", b"\xf0", b"\xf4")
    # A multi-byte character is in no added token; within a label, blanks before it no longer matter.
    before = {"start": "start", "word": "word", "blank": "word"}.get(written, "")
    return (before, whole if alone else _ALIKE[missing])


def _missing_bytes(sequence: bytes) -> int:
    """How many bytes an unfinished character still needs; -1 if the bytes cannot become valid UTF-8."""
    try:
        sequence.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return -1
        return (2 if sequence[0] < 0xE0 else 3 if sequence[0] < 0xF0 else 4) - len(sequence)
    return 0


def token_bytes(tokenizer: Any, size: int, without: frozenset[int]) -> list[bytes]:
    """The bytes of each token id below `size`. Special ids, unused ids and the ids in `without` get no bytes."""
    byte_of = _byte_of_character()
    silent = without | set(tokenizer.all_special_ids)
    answer = [b""] * size
    for token, number in tokenizer.get_vocab().items():
        if number < size and number not in silent and all(character in byte_of for character in token):
            answer[number] = bytes(byte_of[character] for character in token)
    return answer


@cache
def _byte_of_character() -> dict[str, int]:
    """{character: byte}. Byte-level vocabularies write a printable byte as itself, and the other bytes as characters
    from U+0100 on.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + offset): byte for offset, byte in enumerate(others)}
