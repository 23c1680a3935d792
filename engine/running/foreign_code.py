"""Calls into a component, and protects the process from what the component does.

During a call stdout and stderr go to the worker's log. They are redirected by file descriptor, so output of C libraries
is logged too. After the call, standard streams, current folder, locale, signal handlers and `os._exit` are restored.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import locale
import logging
import os
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

from engine.running.interrupts import after_foreign_code
from engine.storage.files import Storage

LOG_BYTES = 1 << 20  # most bytes of one worker's log; later output is dropped
_HIGH = 900  # saved descriptors get numbers from here on, out of reach of a careless `os.closerange`
_CUT = b"\n... the log is full: later output is left out.\n"
DEBUG = "ENGINE_DEBUG"  # environment variable that switches the protection off in the main process, for a debugger


class DescriptorsClosed(BaseException):
    """A component closed file descriptors that it did not open.

    The process must end, because writes could go to any file.
    """

    def __init__(self) -> None:
        super().__init__("it closed the file descriptors of its process")


class ForeignCalls:
    """Protects the process during calls into one component.

    `log`: path of the log, relative to the data set; '' for no log. `in_driver`: whether the component runs in the main
    process. There the variable ENGINE_DEBUG switches the protection off.
    """

    def __init__(self, storage: Storage, log: str = "", *, in_driver: bool = False) -> None:
        self.storage, self.log, self.in_driver = storage, log, in_driver
        self._file, self._path, self._uploaded = -1, "", 0
        self._full = False
        self._canary, self._mark = -1, (-1, -1)

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """A context for one call.

        The component's errors pass through. Also raises Interrupted and DescriptorsClosed.
        """
        if self.in_driver and os.environ.get(DEBUG):
            yield
            after_foreign_code()
            return
        before = _Process()
        if self._canary < 0:
            self._canary, self._mark = _canary()
        try:
            with _exit_raises(), self._redirected():
                yield
        finally:
            before.restore()
            after_foreign_code()
            self._check_descriptors()

    def _check_descriptors(self) -> None:
        if self._mark != _identity(self._canary):
            self._canary = -1
            raise DescriptorsClosed

    @contextlib.contextmanager
    def _redirected(self) -> Iterator[None]:
        """A context in which stdout and stderr go to the log."""
        log = self._open()
        saved = _saved()
        streams = sys.stdout, sys.stderr
        _flush(*streams)
        os.dup2(log, 1)
        os.dup2(log, 2)
        stream = io.TextIOWrapper(io.FileIO(log, "w", closefd=False), "utf-8", "replace", write_through=True)
        sys.stdout = sys.stderr = stream
        try:
            yield
        finally:
            _flush(*streams, sys.stdout, sys.stderr)
            sys.stdout, sys.stderr = streams
            _restore(saved)
            self._limit_size()

    def _open(self) -> int:
        """A descriptor of the log, or of /dev/null if the log cannot be written."""
        if self._alive(self._file):
            return self._file
        self._file = -1
        if self.log and not self._full:
            with contextlib.suppress(OSError):
                self._path = self._path or self._new_file()
                self._file = _high(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644))
        if self._file < 0:
            self._file = _high(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))
        return self._file

    def _new_file(self) -> str:
        if not self.storage.local:
            return os.path.join(tempfile.mkdtemp(prefix="engine-log-"), "log")
        path = self.storage.path(self.log)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _alive(self, file: int) -> bool:
        try:
            return file >= 0 and os.fstat(file) is not None
        except OSError:
            return False

    def _limit_size(self) -> None:
        with contextlib.suppress(OSError):
            if self._path and not self._full and os.fstat(self._file).st_size > LOG_BYTES:
                os.ftruncate(self._file, LOG_BYTES)
                os.write(self._file, _CUT)
                self._full = True
                os.close(self._file)
                self._file = -1

    def log_error(self, error: BaseException) -> None:
        """Write the traceback of an error to the log."""
        text = "".join(traceback.format_exception(error))
        if self.in_driver and os.environ.get(DEBUG):
            sys.stderr.write(text)
        elif self.log and not self._full:
            with contextlib.suppress(OSError):
                os.write(self._open(), text.encode(errors="replace"))
            self._limit_size()

    def upload_log(self) -> None:
        """Copy the log to the data set if that is not on this machine's disk. Called after each unit."""
        if not self._path or self.storage.local:
            return
        with contextlib.suppress(Exception), open(self._path, "rb") as file:
            data = file.read()
            if len(data) > self._uploaded:
                self.storage.put(self.log, data)
                self._uploaded = len(data)

    def close(self) -> None:
        """Close the log; delete it if it is empty."""
        self.upload_log()
        with contextlib.suppress(OSError):
            if self._file >= 0:
                os.close(self._file)
            if self._canary >= 0 and _identity(self._canary) == self._mark:
                os.close(self._canary)
            if self._path and not os.path.getsize(self._path):
                os.unlink(self._path)
                os.rmdir(os.path.dirname(self._path))
        self._file = -1


class _Process:
    """Settings of the process that a call must not change: current folder, locale, warnings, logging."""

    def __init__(self) -> None:
        self.folder, self.locale = _current_folder(), locale.setlocale(locale.LC_ALL)
        self.warnings, self.logging = list(warnings.filters), logging.root.manager.disable

    def restore(self) -> None:
        logging.disable(self.logging)
        if self.warnings != warnings.filters:
            silenced = [rule for rule in warnings.filters if rule[0] == "ignore" and rule not in self.warnings]
            warnings.filters[:] = [*silenced, *self.warnings]  # type: ignore[index]
        if self.locale != locale.setlocale(locale.LC_ALL):
            with contextlib.suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, self.locale)
        if self.folder and self.folder != _current_folder():
            with contextlib.suppress(OSError):
                os.chdir(self.folder)


@contextlib.contextmanager
def _exit_raises() -> Iterator[None]:
    """A context in which `os._exit` in this thread raises SystemExit: the call fails, but the process goes on."""
    real, owner = os._exit, (os.getpid(), threading.get_ident())

    def leave(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != owner:
            real(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = leave
    try:
        yield
    finally:
        os._exit = real


def _canary() -> tuple[int, tuple[int, int]]:
    """Open an unused descriptor with a low number. Returns it and its identity.

    If it is closed later, the component closed descriptors that are not its own.
    """
    read, write = os.pipe()
    os.close(write)
    return read, _identity(read)


def _identity(file: int) -> tuple[int, int]:
    try:
        found = os.fstat(file)
    except OSError:
        return (-1, -1)
    return found.st_dev, found.st_ino


def _saved() -> list[int]:
    """Copies of the descriptors of stdin, stdout and stderr. -1 for one that is closed."""
    copies = []
    for stream in (0, 1, 2):
        try:
            copies.append(_high(os.dup(stream)))
        except OSError:
            copies.append(-1)
    return copies


def _high(file: int) -> int:
    try:
        high = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except (OSError, ValueError):  # the limit on descriptors is lower
        return file
    os.close(file)
    return high


def _restore(saved: list[int]) -> None:
    lost = False
    for stream, copy in enumerate(saved):
        if copy < 0:
            with contextlib.suppress(OSError):
                os.close(stream)
            continue
        try:
            os.dup2(copy, stream)
            os.close(copy)
        except OSError:
            lost = True
            nowhere = os.open(os.devnull, os.O_RDWR)  # else the next file opened would get this stream's number
            if nowhere != stream:
                os.dup2(nowhere, stream)
                os.close(nowhere)
    if lost:
        raise DescriptorsClosed


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _flush(*streams: Any) -> None:
    for stream in streams:
        with contextlib.suppress(Exception):
            stream.flush()
