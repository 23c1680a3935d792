"""Signals to this process, told apart from a KeyboardInterrupt that a component raises itself.

The first Ctrl-C, SIGTERM or SIGHUP raises Interrupted, so that workers are released and commits stay; a second one
ends the process at once. What the shell told this process to ignore (nohup, a job in the background) stays ignored.
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
_exit_now = os._exit  # while a component works, os._exit is another one


class Interrupted(KeyboardInterrupt):
    """A signal to this process. Nothing between a component and the command line may swallow it."""


_held: list[signal.Signals] = []  # signals that are ours now; empty outside `interruptible`
_received: list[int] = []


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Signals raise Interrupted in here. Without effect in a thread, or within another one."""
    if threading.current_thread() is not threading.main_thread() or _held:
        yield
        return
    before: dict[signal.Signals, Any] = {
        number: signal.getsignal(number) for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
    }
    _received.clear()
    _held.extend(before)
    arm()
    try:
        yield
    finally:
        _held.clear()
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def arm() -> None:
    """Set our handlers again: Ray sets its own when it starts, and a component may set any."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _held:
        if signal.getsignal(number) is not _raise:
            signal.signal(number, _raise)


def ignore_signals() -> None:
    """From now on, while the process ends: a traceback of whoever was cleaning up would help nobody."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def after_foreign_code() -> None:
    """Interrupted, if a signal came and a component swallowed what it raised."""
    arm()
    if _received and _held and threading.current_thread() is threading.main_thread():
        raise Interrupted


def _raise(number: int, frame: FrameType | None) -> None:
    if _received:
        _exit_now(INTERRUPTED)
    _received.append(number)
    raise Interrupted
