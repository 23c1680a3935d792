"""Ctrl-C during a query."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AGAIN_S = 0.2  # an interruption that comes just before the query has no effect, so it is repeated


@contextlib.contextmanager
def interrupted_by_ctrl_c(con: DuckDBPyConnection) -> Iterator[None]:
    """A context in which Ctrl-C interrupts the connection's query at once.

    DuckDB 2 looks for signals itself, but not while its main thread waits for the others, which may be for the whole
    query. Python's handler only runs in that thread. So another thread is told of the signal through a pipe. Does
    nothing outside of the main thread, or if the program already listens to such a pipe.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    earlier = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if earlier != -1:
        signal.set_wakeup_fd(earlier)
    listener = threading.Thread(target=_listen, args=(read, con), daemon=True)
    listener.start()
    try:
        yield
    finally:
        if earlier == -1:
            signal.set_wakeup_fd(-1)
        os.close(write)
        listener.join()
        os.close(read)


def _listen(read: int, con: DuckDBPyConnection) -> None:
    """Interrupt the query after each SIGINT, until the pipe is closed."""
    interrupted = False
    while True:
        ready, _, _ = select.select([read], [], [], _AGAIN_S if interrupted else None)
        if ready:
            signals = os.read(read, 64)
            if not signals:
                return
            interrupted |= signal.SIGINT in signals
        if interrupted:
            con.interrupt()
