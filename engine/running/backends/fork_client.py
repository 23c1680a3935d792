"""The driver's side of the fork server: starts it once for the whole process, and asks it for workers."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterable
from itertools import count
from multiprocessing.connection import Connection

from engine.errors import StartError
from engine.running.backends.fork_server import ANSWER, KILL, REQUEST, SOON, START
from engine.running.backends.fork_start import start_server, started_early

_LAST_WORDS = 400  # characters of the server's output in a message
_END_S = 5.0  # seconds for the server to end its workers


class ForkServer:
    """A running fork server. `control`: the socket on which its answers come; select it, then call `answers`."""

    def __init__(self) -> None:
        self.control, self._process, self._output = start_server()
        self._numbers, self._rest = count(1), b""

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, target: str = "") -> tuple[int, Connection]:
        """Ask for a worker. Returns its number, and the link for messages to and from it.

        `target`: its component, "module:Name". Raises StartError if the server has ended.
        """
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                name = target.encode()
                socket.send_fds(self.control, [REQUEST.pack(START, number, len(name)), name], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise self.ended() from error
        return number, Connection(ours.detach())

    def import_soon(self, targets: Iterable[str]) -> None:
        """Ask the server to import these components, "module:Name", while it waits for the first worker to start."""
        for target in targets:
            name = target.encode()
            with contextlib.suppress(OSError):
                self.control.sendall(REQUEST.pack(SOON, 0, len(name)) + name)

    def kill(self, number: int) -> None:
        """Kill a worker, with the processes that it started. If it has ended, nothing happens."""
        with contextlib.suppress(OSError):
            self.control.sendall(REQUEST.pack(KILL, number, 0))

    def answers(self) -> list[tuple[bytes, int, int]]:
        """The answers that have come: (FORKED or ENDED, number of the worker, process id). Raises StartError."""
        try:
            data = self.control.recv(64 * ANSWER.size)
        except OSError:
            data = b""
        if not data:
            raise self.ended()
        self._rest += data
        whole = len(self._rest) - len(self._rest) % ANSWER.size
        answers, self._rest = list(ANSWER.iter_unpack(self._rest[:whole])), self._rest[whole:]
        return answers

    def ended(self) -> StartError:
        """The error of a server that has ended, with its last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self._output.seek(0)
        words = self._output.read().decode(errors="replace").strip().splitlines()
        why = f": {words[-1][-_LAST_WORDS:]}" if words else ""
        return StartError(f"The process that starts workers ended{why}. Give the same command again, to continue.")

    def close(self) -> None:
        """End the server and its workers."""
        self.control.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def forget(self) -> None:
        """Close this process's copy of the socket, after a fork of the driver."""
        self.control.close()


_lock = threading.Lock()
_running: list[ForkServer] = []  # the fork server of this process, if there is one


def fork_server() -> ForkServer:
    """The fork server of this process. Starts it if there is none. It ends with this process."""
    with _lock:
        if _running and not _running[0].alive:
            _running.pop().close()
        if not _running:
            _running.append(ForkServer())
        return _running[0]


def import_soon(targets: Iterable[str]) -> None:
    """Ask the fork server, if it was started early, to import these components until the first worker starts."""
    if started_early():
        fork_server().import_soon(targets)


@atexit.register
def end_fork_server() -> None:
    """End the fork server of this process, if there is one."""
    with _lock:
        if _running:
            _running.pop().close()


def _forget_in_child() -> None:
    """In a process that the driver forked: the server is not its own."""
    for server in _running:
        server.forget()
    _running.clear()


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
os.register_at_fork(after_in_child=_forget_in_child)
