"""Ends a worker's process if it hangs. This works even if the hanging code holds the GIL."""

from __future__ import annotations

import faulthandler
import math
import sys
import time


class Guard:
    """Ends the process if a batch takes longer than `seconds`. 0 switches it off.

    The timer is restarted at most once in `slack` seconds, not for each batch. A restart joins a thread while it holds
    the GIL, which takes a millisecond on a busy machine.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.slack = seconds, min(1.0, seconds / 10)
        self._armed = -math.inf

    def __enter__(self) -> None:
        now = time.monotonic()
        if self.seconds > 0 and now - self._armed >= self.slack:
            seconds = self.seconds + self.slack  # because a batch may begin up to `slack` seconds after the timer
            faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
            self._armed = now

    def __exit__(self, *error: object) -> None:
        """Does nothing: the timer runs until `off` is called."""

    def off(self) -> None:
        if self._armed > 0:
            faulthandler.cancel_dump_traceback_later()
        self._armed = -math.inf
