"""Compiles the pairs of one record."""

from __future__ import annotations

from typing import Any

from model.pairs.compile import compile_pairs
from model.pairs.pair import Compiled, Options, Pair
from tests.builders import Row
from tests.model.pictured import HEIGHT, WIDTH


def made(record: Row, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Compiled:
    return compile_pairs(record, width=size[0], height=size[1], options=Options(**options))


def pairs_of(task: str, record: Row, **options: Any) -> list[Pair]:
    return made(record, tasks=[task], **options).pairs


def left_out(task: str, record: Row, **options: Any) -> dict[str, int]:
    return {reason: number for (_, reason), number in made(record, tasks=[task], **options).left_out.items()}
