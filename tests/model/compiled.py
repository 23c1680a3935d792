"""Compiles the pairs of one record."""

from __future__ import annotations

from typing import Any

from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import Compiled, Pair, estimated_tokens
from tests.builders import Row
from tests.model.pictured import HEIGHT, WIDTH


def made(record: Row, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Compiled:
    count = options.pop("count", estimated_tokens)
    return compile_pairs(record, width=size[0], height=size[1], options=PairOptions(**options), count=count)


def pairs_of(task: str, record: Row, **options: Any) -> list[Pair]:
    return made(record, tasks=[task], **options).pairs


def left_out(task: str, record: Row, **options: Any) -> dict[str, int]:
    return {reason: number for (_, reason), number in made(record, tasks=[task], **options).left_out.items()}
