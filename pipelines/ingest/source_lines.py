"""The lines about sources at the end of a run and in `engine status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.running.terminal_text import one_line
from engine.storage.listings import SourceCounts


def source_lines(sources: Mapping[str, SourceCounts], *, quiet: bool = True) -> Iterator[str]:
    """Yields a line for each source and for each of its notes.

    `quiet`: only for sources that have something unusual.
    """
    for name, counts in sources.items():
        parts = [f"{counts['inputs']:,} input{'' if counts['inputs'] == 1 else 's'}"]
        parts += [f"{counts['missing']:,} of them not there now"] if counts["missing"] else []
        parts += [f"{counts['gone']:,} listed before, now gone"] if counts["gone"] else []
        if counts["left_out"]:
            left_out = ", ".join(f"{number:,} x {reason}" for reason, number in counts["left_out"].items())
            parts.append(f"left out: {left_out}")
        if not quiet or len(parts) > 1:
            yield one_line(f"'{name}': {'; '.join(parts)}")
        yield from (one_line(f"  {note}") for note in counts["notes"])
