"""Damage drawn by seed: to bytes, to the text of json, and to the values of a document."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

Change = Callable[[bytes, random.Random, bytes], bytes]

_SIZES = (0, 1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e-300, 1e300,
    float("nan"), float("inf"), float("-inf"), "", " ", "0", "1", "-1", "1.5", "nan", "None", "null", "x" * 5000, "\0",
    "a\nb", "\u202e", "\udc80", "caf\u00e9", "\u65e5\u672c", "a::b", "b'...'", "../a.jpg", "a\\b.jpg", "file://a.jpg",
    "http://[::1/x.jpg", [], [None], [[]], [[[]]], [0], ["a"], [1, 2, 3, 4], [float("nan")] * 8, {}, {"a": 1},
    {"id": 1}, {"size": [1, 1], "counts": "0"}, {"size": [10**9, 10**9], "counts": [10**18]}, {"": None},
)  # fmt: skip


def damaged(data: bytes, dice: random.Random, other: bytes = b"") -> bytes:
    """One to three changes: flipped bits, or pieces cut off, removed, doubled, zeroed, overwritten, or from `other`."""
    for _ in range(dice.randint(1, 3)):
        how: Change = dice.choice(_BYTES)
        data = how(data, dice, other or data)
    return data


def _flip(data: bytes, dice: random.Random, _: bytes) -> bytes:
    changed = bytearray(data)
    for _bit in range(dice.choice((1, 1, 4, 32)) if data else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _flip_early(data: bytes, dice: random.Random, _: bytes) -> bytes:
    """Flips a bit near the start, where headers are."""
    return _flip(data[:512], dice, b"") + data[512:]


def _cut(data: bytes, dice: random.Random, _: bytes) -> bytes:
    return data[: dice.randint(0, len(data))]


def _take_out(data: bytes, dice: random.Random, _: bytes) -> bytes:
    start = dice.randint(0, len(data))
    return data[:start] + data[start + dice.choice((1, 4, 64, 512, 4096)) :]


def _double(data: bytes, dice: random.Random, _: bytes) -> bytes:
    start = dice.randint(0, len(data))
    end = start + dice.choice((1, 4, 64, 512, 4096))
    return data[:end] + data[start:end] + data[end:]


def _zero(data: bytes, dice: random.Random, _: bytes) -> bytes:
    start = dice.randint(0, len(data))
    end = min(len(data), start + dice.choice((1, 4, 64, 512)))
    return data[:start] + bytes(end - start) + data[end:]


def _number(data: bytes, dice: random.Random, _: bytes) -> bytes:
    """Writes an extreme number of two or four bytes, in either byte order, at a random position."""
    value, size = dice.choice(_SIZES), dice.choice((2, 4))
    number = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little" if dice.random() < 0.5 else "big")
    start = dice.randint(0, max(0, min(len(data), dice.choice((64, 512, len(data)))) - size))
    return data[:start] + number + data[start + size :]


def _splice(data: bytes, dice: random.Random, other: bytes) -> bytes:
    return data[: dice.randint(0, len(data))] + other[dice.randint(0, len(other)) :]


_BYTES: tuple[Change, ...] = (
    _flip,
    _flip_early,
    _cut,
    _take_out,
    _double,
    _zero,
    _number,
    _splice,
)


# --- documents -------------------------------------------------------------------------------


def changed_document(document: Any, dice: random.Random) -> Any:
    """A copy in which one to three values are odd, missing, doubled, of another type, or swapped."""
    document = deepcopy(document)
    for _ in range(dice.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return document
        container, key = dice.choice(places)
        _change(container, key, dice, places)
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    keys = document.keys() if isinstance(document, dict) else range(len(document) if isinstance(document, list) else 0)
    for key in list(keys):
        yield document, key
        yield from _places(document[key])


def _change(container: Any, key: Any, dice: random.Random, places: list[tuple[Any, Any]]) -> None:
    how = dice.choice(("odd", "odd", "odd", "gone", "doubled", "type", "another"))
    if how == "odd":
        container[key] = deepcopy(dice.choice(ODD))
    elif how == "gone":
        del container[key]
    elif how == "doubled" and isinstance(container, list):
        container.insert(key, deepcopy(container[key]))
    elif how == "another":
        source, at = dice.choice(places)
        value = source[at] if at in source or isinstance(source, list) else None
        container[key] = deepcopy(value)
    else:
        container[key] = _of_another_type(container[key], dice)


def _of_another_type(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        return dice.choice((list(value.values()), [value], json.dumps(value)))
    if isinstance(value, list):
        return dice.choice((dict(enumerate(map(str, value))), json.dumps(value), value[:1] and value[0]))
    if isinstance(value, str):
        return dice.choice(([value], {value: value}, value.upper(), 7))
    if isinstance(value, int | float):
        return dice.choice((str(value), [value], -value, value * 10**9, float(value), {"value": value}))
    return dice.choice(("", 0, []))


def json_bytes(document: Any, dice: random.Random) -> bytes:
    """Mostly UTF-8; sometimes with a byte order mark, in UTF-16, with a doubled key, or broken."""
    text = json.dumps(document, ensure_ascii=dice.random() < 0.5, indent=dice.choice((None, 1)))
    how = dice.choice(("plain",) * 6 + ("bom", "utf-16", "utf-16-le", "latin-1", "twice", "nested", "bytes", "bytes"))
    if how == "twice" and text.startswith("{"):
        text = f'{{"images": [], "annotations": null, {text[1:]}'
    if how == "nested":
        text = text[:-1] + ', "deep": ' + "[" * 100_000 + "]" * 100_000 + "}"
    encoding = {"bom": "utf-8-sig", "utf-16": "utf-16", "utf-16-le": "utf-16-le", "latin-1": "latin-1"}.get(
        how, "utf-8"
    )
    data: bytes = text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
    return damaged(data, dice) if how == "bytes" else data
