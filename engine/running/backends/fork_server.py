"""The process that starts local workers. It imports the engine once, and forks itself for each worker.

So a worker starts in about 15 milliseconds and shares the memory of the imported code. The driver cannot fork itself,
because it has threads. The standard library's fork server is not used: it imports the user's main script in each
process, which runs a script without `if __name__ == "__main__"` again.

The driver sends `START` with one end of a socket for the worker's messages, or `KILL`. The server answers `FORKED` and
`ENDED`. Each message is a kind and the worker's number, which the driver chooses. A request can be followed by the name
of the component, "module:Name"; answers have a process id. `SOON` names a component that the server imports before the
first `START`, if there is time. If the driver ends, for any reason, the server kills all
workers with the processes that they started, and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import struct
import sys
import traceback
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from engine import PACKAGES
from engine.errors import EngineError, StartError
from engine.running.backends.common import engine_fault, run_error
from engine.running.foreign_code import DescriptorsClosed
from engine.running.graph import Node
from engine.running.worker import Worker, WorkerContext

REQUEST = struct.Struct("<cIH")  # kind, number of the worker, bytes of the name that follows
ANSWER = struct.Struct("<cII")  # kind, number of the worker, process id
START, KILL, SOON, FORKED, ENDED = b"S", b"K", b"I", b"F", b"E"
# Packages that the server imports before it forks, if a component of the engine declares them. They take long to
# import, and start no thread; onnxruntime starts one.
SHARED_PACKAGES = frozenset({"ai_edge_litert", "py3langid", "rapidocr", "spacy", "torch", "transformers"})
_LAZY = {"rapidocr": "rapidocr.main"}  # a package that imports most of its code at its first use
_ALWAYS_SHARED = ("PIL.Image", "fsspec.implementations.local")
_DRIVER_CHECK_S = 1.0  # seconds between two looks whether the driver lives; normally its socket closes
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # of prctl
_OOM_SCORE = 500  # of 1,000: if memory runs out, the kernel ends a worker and not the driver


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker's process takes over from the driver."""

    paths: list[str]  # for sys.path
    folder: str  # the current folder
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Work:
    """Which component a worker's process runs. `log`: the file for its output."""

    node: Node
    context: WorkerContext
    log: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A worker's message: its component is loaded."""


def serve(descriptor: int) -> None:
    """Start and end workers until the driver closes its end of the socket `descriptor`."""
    control, driver = socket.socket(fileno=descriptor), os.getppid()
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    workers: dict[int, int] = {}  # {process id: number}
    soon: deque[str] = deque()  # components to import
    import_shared(_ALWAYS_SHARED)
    try:
        while os.getppid() == driver:
            ready, _, _ = select.select([control.fileno(), woken], [], [], 0 if soon else _DRIVER_CHECK_S)
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
            if control.fileno() in ready and not _handle_request(control, workers, soon):
                return
            _report_ended(control, workers)
            if soon and not ready:
                import_component(soon.popleft())
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        for process in workers:
            _kill_group(process)


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


def _handle_request(control: socket.socket, workers: dict[int, int], soon: deque[str]) -> bool:
    """Start or kill a worker, or note what to import. Returns False if the driver has closed the socket."""
    data, links, _, _ = socket.recv_fds(control, REQUEST.size, 1)
    data += _exactly(control, REQUEST.size - len(data))
    if len(data) < REQUEST.size:
        return False
    kind, number, length = REQUEST.unpack(data)
    target = _exactly(control, length).decode()
    if kind == SOON:
        soon.append(target)
        return True
    if kind == START:
        soon.clear()
    if kind == KILL:
        for process in [process for process, other in workers.items() if other == number]:
            _kill_group(process)
        return True
    import_component(target)
    gc.freeze()  # so that collecting garbage in a worker copies no page of the imported code
    try:
        process = os.fork()
    except OSError:  # too many processes, or no memory for one more
        process = 0
        control.sendall(ANSWER.pack(ENDED, number, 0))
    else:
        if process == 0:
            control.close()
            _become_worker(links[0])
        with contextlib.suppress(OSError):
            os.setpgid(process, process)  # as the worker does too; whoever is first
        workers[process] = number
        control.sendall(ANSWER.pack(FORKED, number, process))
    os.close(links[0])
    return True


def _exactly(control: socket.socket, length: int) -> bytes:
    """The next bytes of the driver; fewer if it has closed the socket."""
    data = b""
    while len(data) < length and (more := control.recv(length - len(data))):
        data += more
    return data


def import_component(target: str) -> None:
    """Import a component of the engine, and those packages that it declares and that may be shared.

    `share` of the component, if it has one, then reads what its workers can share and what needs no options.

    A user's own component is only imported in its worker, because it may do anything when it is imported.
    """
    module, _, name = target.partition(":")
    if module.partition(".")[0] in PACKAGES:
        import_shared([module])
        component = getattr(sys.modules.get(module), name, None)
        declared = getattr(component, "packages", ())
        import_shared(SHARED_PACKAGES.intersection(declared if isinstance(declared, tuple) else ()))
        with contextlib.suppress(Exception):  # a worker reports the error
            getattr(component, "share", lambda: None)()


def import_shared(modules: Iterable[str]) -> None:
    """Import modules. One that cannot be imported is left to the worker, which reports the error."""
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(_LAZY.get(module, module))


def _report_ended(control: socket.socket, workers: dict[int, int]) -> None:
    """Tell the driver which workers have ended. Kills the processes that they left behind."""
    for process in list(workers):
        if os.waitpid(process, os.WNOHANG)[0]:
            number = workers.pop(process)
            _kill_group(process)
            control.sendall(ANSWER.pack(ENDED, number, process))


def _kill_group(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


# --- in the worker's process -----------------------------------------------------------------------


def _become_worker(link: int) -> NoReturn:
    """Run a worker in this process, which was just forked. Never returns."""
    try:
        _set_up_process()
        _work(Connection(link))
    except DescriptorsClosed:
        pass  # the process can no longer report anything; the scheduler splits its unit
    except BaseException:  # noqa: BLE001  nothing may return into the server's loop
        traceback.print_exc()
    finally:
        os._exit(1)


def _set_up_process() -> None:
    gc.enable()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    if sys.platform == "linux":
        server = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(0)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(_OOM_SCORE))
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()  # else all workers would draw the same numbers


def _work(link: Connection) -> None:
    """Load the component, then run units as they come, until the driver closes the link."""
    around: Surroundings = _receive(link)
    sys.path.extend(path for path in around.paths if path not in sys.path)
    os.environ.clear()
    os.environ.update(around.environment)
    with contextlib.suppress(OSError):
        os.chdir(around.folder)
    work: Work = _receive(link)
    name = work.node.name
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"engine {name}".encode()[:15])  # what `top` shows
    try:
        worker = Worker(work.node, work.context, guarded=True, log=work.log)
        worker.load()
        _send(link, Loaded())
        while True:
            for message in worker.run(_receive(link)):
                _send(link, message)
    except (EngineError, OSError) as error:
        _send_error(link, run_error(error, name))
    except Exception as error:  # noqa: BLE001  a fault of the engine ends the run with one sentence
        _send_error(link, StartError(engine_fault(name, f"{type(error).__name__}: {error}")))


def _receive(link: Connection) -> Any:
    """The driver's next message. Ends the process if the driver has closed the link."""
    try:
        return link.recv()
    except (EOFError, OSError):
        os._exit(0)


def _send(link: Connection, message: object) -> None:
    data = pickle.dumps(message)
    try:
        link.send_bytes(data)
    except OSError:  # the driver has closed the link
        os._exit(0)


def _send_error(link: Connection, error: EngineError) -> None:
    """Send an error that ends the run, and wait until the driver ends this process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  made in this process
    except Exception:  # noqa: BLE001  an error of a storage library may hold a socket or a lock
        error = StartError(str(error))
    _send(link, error)
    _receive(link)
