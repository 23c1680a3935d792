"""Writes the files of one shard of a release, one for each format."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ImageError
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from pipelines.emit.pairs import PairCounts
from pipelines.emit.writers import FORMATS, needs_loose_images
from pipelines.emit.writers.format import Sample, Shard


@dataclass(frozen=True, slots=True)
class Written:
    """The result of `write_shard`.

    `rows`: number of rows in the file of each format. `lost`: images that cannot be read, as (id, reason, error).
    `left_out`: {format: number of annotations by the reason why they are not in it}.
    """

    rows: dict[str, int]
    lost: list[tuple[str, str, str]]
    pairs: PairCounts
    left_out: Mapping[str, Counter[str]]
    images: int


def write_shard(
    paths: Mapping[str, str], shard: Shard, read: Callable[[str], bytes], options: PairOptions | None = None
) -> Written:
    """Writes one local file for each format in `paths`, and the loose files. The same input gives the same files.

    `read` returns the bytes of an image id. If it raises ImageError, the image is left out. Files without rows are
    removed.
    """
    lost: list[tuple[str, str, str]] = []
    pairs, images = PairCounts(), 0
    loose = needs_loose_images(list(paths))
    with contextlib.ExitStack() as opened:
        writers = {
            part: FORMATS[part].writer(opened.enter_context(open(path, "wb")), shard) for part, path in paths.items()
        }
        for number, row in enumerate(shard.rows.to_pylist()):
            try:
                data = read(row["image_id"])
            except ImageError as error:
                lost.append((row["image_id"], error.reason, str(error)))
                continue
            sample = _sample(number, row, data, pairs, options or PairOptions())
            images += 1
            if loose:
                sample.uri, sample.offset, sample.length = sample.image_path, 0, len(data)
                shard.put(sample.image_path, data)
            for writer in writers.values():
                writer.add(sample)
        rows = {part: writer.finish() for part, writer in writers.items()}
    remove(path for part, path in paths.items() if not rows[part])
    left_out = {part: Counter(getattr(writer, "left_out", {})) for part, writer in writers.items()}
    return Written(rows, lost, pairs, {part: found for part, found in left_out.items() if found}, images)


def _sample(number: int, row: Mapping[str, Any], data: bytes, pairs: PairCounts, options: PairOptions) -> Sample:
    compiled = compile_pairs(row, width=row["width"], height=row["height"], options=options)
    pairs.add(compiled)
    return Sample(number, row, data, compiled.pairs)


def remove(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
