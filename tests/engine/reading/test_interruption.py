"""DuckDB alone notices about half of such interruptions, and runs the query to its end after the others."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import duckdb
import pytest

from engine.reading.sql import run_query, stream_query

ENDLESS = "SELECT count(*) FROM range(100000000000000) numbers WHERE numbers.range % 7 = 3"


@pytest.fixture(autouse=True)
def sigint_is_not_ignored() -> Iterator[None]:
    """A shell that runs the tests in the background has set it to be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("run", [run_query, stream_query])
@pytest.mark.parametrize("attempt", range(3))
def test_ctrl_c_ends_a_query_while_it_runs(run: object, attempt: int) -> None:
    with duckdb.connect() as con:
        threads = set(threading.enumerate())
        ctrl_c = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        ctrl_c.start()
        with pytest.raises(KeyboardInterrupt):
            run(con, ENDLESS)  # type: ignore[operator]
        ctrl_c.join()
        assert run_query(con, "SELECT 1 AS one").to_pylist() == [{"one": 1}]
        assert set(threading.enumerate()) - threads == set()
    assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_between_two_batches_is_python_s_own() -> None:
    with duckdb.connect() as con:
        _, batches = stream_query(con, "SELECT * FROM range(100000)", rows=1000)
        next(batches)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert sum(len(batch) for batch in batches) == 99_000
