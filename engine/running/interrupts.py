"""Handlers for Ctrl-C, SIGTERM and SIGHUP.

The first signal raises Interrupted, so that workers are ended and commits stay. A second one ends the process at once.
Signals that the shell set to be ignored (nohup, background jobs) stay ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # the exit code
_exit_now = os._exit  # engine.running.foreign_code replaces os._exit while a component works


class Interrupted(KeyboardInterrupt):
    """A signal to this process, as opposed to a KeyboardInterrupt that a component raises. Only the CLI catches it."""


_handled: list[signal.Signals] = []  # signals we handle now; empty outside `interruptible`
_received: list[int] = []


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within this context signals raise Interrupted. No effect outside the main thread, or when nested."""
    if threading.current_thread() is not threading.main_thread() or _handled:
        yield
        return
    before: dict[signal.Signals, Any] = {
        number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
    }
    _received.clear()
    _handled.extend(before)
    arm()
    try:
        yield
    finally:
        _handled.clear()
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def arm() -> None:
    """Set our handlers again, after Ray or a component may have replaced them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _handled:
        if signal.getsignal(number) is not _raise:
            signal.signal(number, _raise)


def ignore_signals() -> None:
    """Ignore signals while the process ends, so that cleaning up prints no traceback."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def after_foreign_code() -> None:
    """Raise Interrupted if a signal came and the component caught it."""
    arm()
    if _received and _handled and threading.current_thread() is threading.main_thread():
        raise Interrupted


def _raise(number: int, frame: FrameType | None) -> None:
    if _received:
        _exit_now(INTERRUPTED)
    _received.append(number)
    raise Interrupted
