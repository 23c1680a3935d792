"""Pieces of the bytes of images, and the search for pieces, ids and URIs in any file.

A removal ends with this search. Parquet files are compressed, so their decoded values are searched.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.storage.files import Storage
from pipelines.removal.redact import Redactor

PIECE = 64  # bytes
_PLACES = (0.15, 0.35, 0.55, 0.75, 0.95)  # where in an image its pieces are; not at its start, where files are alike
_DISTINCT = 16  # a piece with fewer different bytes, such as zeros, may be part of any file
_BLOCK = 16 * 2**20  # bytes of a file that are searched at a time
_WORD = 8
_LEAST = 2 * _WORD - 1  # the shortest needle that always holds a whole word
_ODD = np.uint64(0x9E3779B97F4A7C15)  # its multiples are spread evenly (the golden ratio times 2**64)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)


def pieces_of(data: bytes) -> list[bytes]:
    """A few pieces of 64 bytes. The whole image if it is shorter than two of them."""
    if len(data) < 2 * PIECE:
        return [data]
    starts = [min(int(len(data) * share), len(data) - PIECE) for share in _PLACES]
    found = dict.fromkeys(data[start : start + PIECE] for start in starts)
    return [piece for piece in found if len(set(piece)) >= _DISTINCT] or [data[-2 * PIECE :]]


class Needles:
    """What is searched for. The time for a search hardly depends on the number of needles.

    Data is read as words of 8 bytes. Wherever a needle of at least 15 bytes begins, it holds a whole word. So eight
    words of each needle, one for each place in a word where the needle may begin, are enough to find it.
    """

    def __init__(self, ids: Collection[str], pieces: Iterable[bytes] = (), uris: Collection[str] = ()) -> None:
        wanted = [(image.encode(), f"the id {image}") for image in ids]
        wanted += [(bytes.fromhex(image), f"the id {image}, as 16 bytes") for image in ids]
        wanted += [(piece, "a piece of the bytes of an image") for piece in pieces]
        self._short = [(needle, what) for needle, what in wanted if len(needle) < _LEAST]
        self._by_word: dict[int, list[tuple[int, bytes, str]]] = {}  # (place of the word in the needle, needle, what)
        for needle, what in wanted:
            for place in _places(needle):
                word = int.from_bytes(needle[place : place + _WORD], "little")
                self._by_word.setdefault(word, []).append((place, needle, what))
        self._marked = np.zeros(1 << 24, np.bool_)
        self._marked[_mark(np.array(list(self._by_word), np.uint64))] = True
        self.longest = max([3, *(len(needle) for needle, _ in wanted), *(len(uri.encode()) for uri in uris)])
        self.uris, self._uris = pa.array(sorted(uris), pa.string()), Redactor((), uris)
        self._any_uri = bool(uris)

    def in_bytes(self, data: bytes | memoryview) -> set[str]:
        """What is found in these bytes. URIs are not searched."""
        view = memoryview(data)
        words = np.frombuffer(view[: len(view) // _WORD * _WORD], "<u8")
        found = {what for needle, what in self._short if needle in bytes(view)}
        for number in np.flatnonzero(self._marked[_mark(words)]).tolist():
            for place, needle, what in self._by_word.get(int(words[number]), ()):
                start = number * _WORD - place
                if start >= 0 and view[start : start + len(needle)] == needle:
                    found.add(what)
        return found

    def in_text(self, data: bytes) -> set[str]:
        if not self._any_uri:
            return set()
        text = data.decode("utf-8", "replace")
        return {"a URI"} if self._uris.text(text) != text else set()

    def in_table(self, table: pa.Table) -> set[str]:
        """What is found in the values of a table, at any depth."""
        found = set[str]()
        for column in table.columns:
            for chunk in column.chunks:
                for leaf in _leaves(chunk):
                    found |= self._in_leaf(leaf)
        return found

    def _in_leaf(self, leaf: pa.Array) -> set[str]:
        data = leaf.buffers()[2]
        found = self.in_bytes(memoryview(data)) if data is not None else set()
        if self._any_uri and pa.types.is_string(leaf.type) and pc.any(pc.is_in(leaf, value_set=self.uris)).as_py():
            found.add("a URI")
        return found


def _places(needle: bytes) -> Iterator[int]:
    """For each of the eight ways in which the needle may lie across words: the place of its most distinctive word."""
    for first in range(_WORD if len(needle) >= _LEAST else 0):
        words = range(first, len(needle) - _WORD + 1, _WORD)
        yield max(words, key=lambda place: len(set(needle[place : place + _WORD])))


def _mark(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of 24 bits of each word."""
    mixed: npt.NDArray[np.uint64] = (words * _ODD) >> np.uint64(40)
    return mixed


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    """The arrays of strings and bytes in an array, at any depth."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            yield from _leaves(child)
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys)
        yield from _leaves(array.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(array.flatten())
    elif any(is_kind(kind) for is_kind in _TEXTS):
        yield array


def search(storage: Storage, paths: Iterable[str], needles: Needles) -> dict[str, list[str]]:
    """{path: what was found in it} of the files in which anything was found."""
    answer: dict[str, list[str]] = {}
    for path in paths:
        try:
            found = search_file(storage, path, needles)
        except FileNotFoundError:
            continue
        if found:
            answer[path] = sorted(found)
    return answer


def search_file(storage: Storage, path: str, needles: Needles) -> set[str]:
    found = needles.in_bytes(path.encode())
    with storage.open(path) as file:
        if file.read(4) == b"PAR1":
            try:
                parquet = pq.ParquetFile(file)
                for group in range(parquet.metadata.num_row_groups):
                    found |= needles.in_table(parquet.read_row_group(group))
                return found
            except pa.ArrowException:
                pass  # because a damaged file is searched like any other
        file.seek(0)
        rest = b""
        while block := file.read(_BLOCK):
            block = rest + block
            found |= needles.in_bytes(block)
            if path.endswith((".json", ".jsonl", ".log", ".txt", ".md")):
                found |= needles.in_text(block)
            rest = block[-needles.longest :]
    return found


def encoded(pieces: Mapping[str, list[bytes]]) -> dict[str, list[str]]:
    return {image: [base64.b64encode(piece).decode() for piece in found] for image, found in pieces.items()}


def decoded(pieces: Mapping[str, list[str]]) -> Iterator[bytes]:
    for found in pieces.values():
        yield from (base64.b64decode(piece) for piece in found)
