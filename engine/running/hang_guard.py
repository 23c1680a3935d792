"""Ends the process of a worker that hangs, also where the hang holds the GIL."""

from __future__ import annotations

import faulthandler
import math
import sys
import time


class Guard:
    """Ends the process, GIL or no GIL, when a batch takes longer than it may.

    Armed anew now and then, not for each batch: arming makes a thread and joins the one before while it holds the
    GIL, which on a busy machine keeps everybody waiting for a millisecond.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.slack = seconds, min(1.0, seconds / 10)
        self._armed = -math.inf

    def __enter__(self) -> None:
        now = time.monotonic()
        if self.seconds > 0 and now - self._armed >= self.slack:
            seconds = self.seconds + self.slack  # so that a batch that begins just before the next arming has its time
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
            self._armed = now

    def __exit__(self, *error: object) -> None:
        """Stays armed until `off`."""

    def off(self) -> None:
        if self._armed > 0:
            faulthandler.cancel_dump_traceback_later()
        self._armed = -math.inf
