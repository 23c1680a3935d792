"""A time limit for queries, because a condition of the user may take hours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@contextlib.contextmanager
def time_limit(con: DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """A context whose queries on this connection are interrupted after `seconds`. Raises ConfigError if they are."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        con.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:  # what run_query makes of DuckDB's InterruptException
        if not late.is_set():
            raise
        raise ConfigError(
            f"The query took more than {seconds:g} s and was stopped: give a simpler condition, "
            "or run it with 'engine query'."
        ) from None
    finally:
        timer.cancel()
