"""Handlers for Ctrl-C, SIGTERM and SIGHUP.

The first signal raises Interrupted, so that workers are ended and commits are kept. The second one ends the process at
once. If the shell made the process ignore a signal (nohup, background jobs), it stays ignored.
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
_exit_now = os._exit  # saved here, because engine.running.foreign_code replaces os._exit during calls


class Interrupted(KeyboardInterrupt):
    """This process received a signal. Only the command line catches it.

    A KeyboardInterrupt that a component raises is not an Interrupted.
    """


_handled: list[signal.Signals] = []  # the signals handled now; empty outside of `interruptible`
_received: list[int] = []


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A context in which signals raise Interrupted.

    It has no effect outside the main thread, or inside another such context.
    """
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
    """Set the engine's handlers again, because Ray or a component may have replaced them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _handled:
        if signal.getsignal(number) is not _raise:
            signal.signal(number, _raise)


def ignore_signals() -> None:
    """Ignore signals from now on, so that they cause no traceback while the process ends."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def after_foreign_code() -> None:
    """Raise Interrupted if a signal came during a call and the component caught its error."""
    arm()
    if _received and _handled and threading.current_thread() is threading.main_thread():
        raise Interrupted


def _raise(number: int, frame: FrameType | None) -> None:
    if _received:
        _exit_now(INTERRUPTED)
    _received.append(number)
    raise Interrupted
