"""The items of a unit, and distinct texts to parse. image_items.py and entry_items.py have images and inputs to probe.

The worker handles all three through the Protocol `Items`. A position is the row number of an item in the shard's file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import pyarrow as pa

from engine.component import Parser
from engine.running.shard_inputs import ShardInputs
from engine.schema import PARSE, Complexity, Failure, Parse, as_row, text_key

if TYPE_CHECKING:
    from engine.running.worker import Worker


class Items(Protocol):
    """The items of one unit. `schema`: the schema of the rows that `table` makes."""

    schema: pa.Schema

    def __len__(self) -> int: ...
    def name(self, position: int) -> str:
        """How failures name the item: by its image id, text key or URI."""
        ...

    def batches(self, lo: int, hi: int, size: int) -> Iterator[tuple[int, int]]:
        """Cut the positions [lo, hi) into batches of at most `size` items."""
        ...

    def prepare(self, lo: int, hi: int) -> Batch:
        """Read the items [lo, hi) with all that the component needs."""
        ...

    def annotate(self, items: Sequence[Any]) -> Sequence[Any]:
        """Call the component with these items. Returns its answers."""
        ...

    def check(self, item: Any, answer: Any) -> Any:
        """Complete the ids of an answer and return it. If it is not valid, return a Failure."""
        ...

    def table(self, answers: Sequence[Any], lo: int) -> pa.Table:
        """The table of these answers and failures, which are of consecutive items from position `lo` on."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Batch:
    """A batch of items, by position.

    `open`: items for the component. `settled`: answers and failures of all other items.
    """

    open: list[tuple[int, Any]]
    settled: dict[int, Any]


class TextItems:
    """The distinct texts of a shard, ordered by first occurrence."""

    def __init__(self, worker: Worker, inputs: ShardInputs) -> None:
        self.worker, self.node = worker, worker.node
        self.schema = PARSE
        self.texts = inputs.distinct_texts()
        self.keys = list(self.texts)
        self._kept = inputs.parsed_before()

    def __len__(self) -> int:
        return len(self.keys)

    def name(self, position: int) -> str:
        return self.keys[position]

    def batches(self, lo: int, hi: int, size: int) -> Iterator[tuple[int, int]]:
        for start in range(lo, hi, size):
            yield start, min(start + size, hi)

    def prepare(self, lo: int, hi: int) -> Batch:
        settled: dict[int, Any] = {}
        if self._kept is not None:
            settled = {p: self._kept[self.keys[p]] for p in range(lo, hi) if self.keys[p] in self._kept}
        return Batch([(p, self.texts[self.keys[p]]) for p in range(lo, hi) if p not in settled], settled)

    def annotate(self, texts: Sequence[str]) -> Sequence[Parse]:
        return cast(Parser, self.worker.component).parse(texts)

    def check(self, text: str, parse: Parse) -> Any:
        parse.text_key = text_key(text)
        wrong = [chunk for chunk in parse.chunks if text[chunk.char_start : chunk.char_end] != chunk.text]
        return Failure(self.node.name, "bad_answer", f"chunk {wrong[0]} is not in the text") if wrong else parse

    def table(self, answers: Sequence[Any], lo: int) -> pa.Table:
        rows = []
        for offset, answer in enumerate(answers):
            if isinstance(answer, Failure):
                empty = Parse(
                    0, 0, 0, [], [], [], [], [], [], Complexity(), Complexity(), [], self.keys[lo + offset], [answer]
                )
                answer = empty
            rows.append(answer if isinstance(answer, dict) else as_row(answer))
        return pa.Table.from_pylist(rows, schema=PARSE)

    def close(self) -> None:
        return None
