"""Which tokens may stand next in a label or a text: machines that read bytes, and what a token does to them.

A token of a byte-level vocabulary may be part of a character, so that what strings allow has to be told of bytes:
a non-breaking space is two of them, and half of it is none. Texts are valid UTF-8; the parser, which sees characters,
would take what is not as question marks.
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
Key = tuple[str, bytes]  # what was written so far, as far as it matters; bytes of an unfinished character
Read = Callable[[str, str], str | None]

FORBIDDEN = -1
_SPECIAL = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
# Characters of several bytes that a label may not hold everywhere. There is none above U+3000.
_SPACES = [space.encode() for space in map(chr, range(0x80, 0x3001)) if space.isspace()]
# Unfinished characters that any continuation bytes finish are alike: by how many bytes they lack.
_ALIKE = {1: b"\xc3", 2: b"\xe4", 3: b"\xf1"}


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """`step`: states x 256, the state after a byte, or FORBIDDEN. It starts in state 0. `whole`: where it may end."""

    step: States
    whole: npt.NDArray[np.bool_]

    def after(self, tokens: Sequence[bytes]) -> States:
        """states x tokens: the state after a token; FORBIDDEN for one that may not stand there, or has no bytes."""
        lengths = np.array([len(token) for token in tokens])
        padded = np.zeros((len(tokens), lengths.max(initial=1)), np.uint8)
        for number, token in enumerate(tokens):
            padded[number, : len(token)] = np.frombuffer(token, np.uint8)
        first = np.where(lengths > 0, self.step[:, padded[:, 0]], FORBIDDEN)
        plain = self._through(first[0], padded, lengths)
        # Nearly everywhere a token's first byte leads where it leads from state 0, and so does the rest of the token.
        answer = np.where(first == first[0], plain, FORBIDDEN).astype(np.int16)
        states, others = np.nonzero((first != first[0]) & (first != FORBIDDEN))
        answer[states, others] = self._through(first[states, others], padded[others], lengths[others])
        return answer

    def _through(self, states: States, padded: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> States:
        """From the state after the first byte of each token to the state after its last."""
        states = states.copy()
        for place in range(1, padded.shape[1]):
            going = np.flatnonzero((lengths > place) & (states != FORBIDDEN))
            states[going] = self.step[states[going], padded[going, place]]
        return states


@cache
def labels() -> Spelling:
    """What `parsing.label_fault` has nothing against."""
    return _explored("start", _read_label, lambda written: written == "word")


@cache
def texts() -> Spelling:
    """Anything but the words that a vocabulary adds."""
    return _explored("", _read_text, lambda written: True)


def _read_label(written: str, character: str) -> str | None:
    """start, word or blank: what the label so far ends in."""
    if label_fault(f"a{character}a"):
        return None
    if not label_fault(f"a{character}"):
        return "word"
    return None if written == "start" else "blank"


def _read_text(written: str, character: str) -> str | None:
    """The beginning of an added word that the text so far ends in."""
    whole = "<" if character == "<" else written + character
    if whole not in _beginnings():
        return ""
    if text_fault(whole) == "reserved_token":
        return None
    return "<loc_0" if whole.startswith("<loc_") and whole[5:] else whole


@cache
def _beginnings() -> frozenset[str]:
    words = [word for word in (*ADDED, IMAGE, *_SPECIAL) if not word.startswith("<loc_")]
    words += [f"<loc_{tail}>" for first in range(10) for tail in (first, f"0{first}")]  # of any number of digits
    return frozenset(word[:end] for word in words for end in range(1, len(word) + 1))


def _explored(start: str, read: Read, whole: Callable[[str], bool]) -> Spelling:
    """The machine of all states that bytes lead to."""
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
    ends = [not pending and whole(written) for written, pending in numbers]
    return Spelling(np.array(rows, np.int16), np.array(ends, np.bool_))


def _after(key: Key, byte: int, read: Read) -> Key | None:
    written, pending = key
    whole = pending + bytes([byte])
    lacking = _lacking(whole)
    if lacking == 0:
        after = read(written, whole.decode())
        return None if after is None else (after, b"")
    if lacking < 0:
        return None
    alone = any(space.startswith(whole) for space in _SPACES) or whole in (b"\xe0", b"\xed", b"\xf0", b"\xf4")
    # No such character is part of an added word, and after the first one of a label it matters no more what is before.
    before = {"start": "start", "word": "word", "blank": "word"}.get(written, "")
    return (before, whole if alone else _ALIKE[lacking])


def _lacking(sequence: bytes) -> int:
    """Bytes that a character lacks; -1 if nothing makes it one."""
    try:
        sequence.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return -1
        return (2 if sequence[0] < 0xE0 else 3 if sequence[0] < 0xF0 else 4) - len(sequence)
    return 0


def token_bytes(tokenizer: Any, size: int, without: frozenset[int]) -> list[bytes]:
    """What each id below `size` writes; nothing for ids in `without`, for special ones and for no ids at all."""
    byte_of = _byte_of_character()
    silent = without | set(tokenizer.all_special_ids)
    answer = [b""] * size
    for token, number in tokenizer.get_vocab().items():
        if number < size and number not in silent and all(character in byte_of for character in token):
            answer[number] = bytes(byte_of[character] for character in token)
    return answer


@cache
def _byte_of_character() -> dict[str, int]:
    """Byte-level vocabularies write printable bytes as themselves, and the others as characters from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + place): byte for place, byte in enumerate(others)}
