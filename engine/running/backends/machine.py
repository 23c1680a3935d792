"""The processors, GPUs and memory of this machine, and who uses them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.running.backends.common import share_of, too_much
from engine.running.graph import Node

_FULL = 0.95  # share of the memory in use from which on a worker is ended
_SMALL = 0.1  # a worker with a smaller share of the memory is not the cause
_GPUS = Path("/proc/driver/nvidia/gpus")
_CGROUP = Path("/sys/fs/cgroup")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TOLERANCE = 1e-6


class Machine:
    """What workers may use: {"CPU" | "GPU" | "memory" (bytes): amount} in `total`."""

    def __init__(self) -> None:
        self.gpus = visible_gpus()
        self.total = {"CPU": _cpus(), "GPU": float(len(self.gpus)), "memory": float(_memory())}

    def why_impossible(self, node: Node) -> str:
        """The reason why no worker of this node can run here, as a sentence; '' if one can."""
        return too_much(node, self.total, "this machine")

    def place(self, node: Node, others: Iterable[tuple[Node, tuple[str, ...]]]) -> tuple[str, ...] | None:
        """The GPUs for one more worker of the node; None if processors, memory or GPUs are in use.

        `others`: the nodes of the running workers, each with its GPUs.
        """
        used, used_gpus = dict.fromkeys(self.total, 0.0), dict.fromkeys(self.gpus, 0.0)
        for other, gpus in others:
            for name, amount in share_of(other).items():
                used[name] += amount
            for gpu in gpus:
                used_gpus[gpu] += other.resources.gpus / len(gpus)
        for name, amount in share_of(node).items():
            if amount > self.total[name] - used[name] + _TOLERANCE:
                return None
        return _gpus_with_room(node.resources.gpus, used_gpus)


def _gpus_with_room(wanted: float, used: Mapping[str, float]) -> tuple[str, ...] | None:
    """The GPUs for a worker: one for a part of a GPU, else as many as it wants. None if there are too few."""
    if wanted <= 0:
        return ()
    count = max(1, round(wanted))
    room = [gpu for gpu, amount in used.items() if amount + wanted / count <= 1 + _TOLERANCE]
    return tuple(room[:count]) if len(room) >= count else None


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as written in CUDA_VISIBLE_DEVICES."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip() and gpu.strip() != "-1"]
    with contextlib.suppress(OSError):
        return [str(number) for number, _ in enumerate(_GPUS.iterdir())]
    return []


def _cpus() -> float:
    """Processors that this process and its workers may use, not fewer than 1."""
    try:
        allowed = float(len(os.sched_getaffinity(0)))
    except AttributeError:  # not on this system
        allowed = float(os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):  # such as "400000 100000": microseconds of each period
        quota, period = map(int, (_CGROUP / "cpu.max").read_text().split())
        allowed = min(allowed, quota / period)
    return max(1.0, allowed)


def _memory() -> int:
    """Bytes of memory that this process and its workers may use."""
    installed = os.sysconf("SC_PHYS_PAGES") * _PAGE
    limit = _number(_CGROUP / "memory.max")
    return min(installed, limit) if limit else installed


def _number(file: Path) -> int:
    """The number in a file; 0 if there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def memory_is_full() -> bool:
    """Whether nearly all memory is in use: that of the machine, or what the control group of this process may use."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    except (OSError, ValueError, IndexError):
        return False  # not Linux
    if kib["MemAvailable"] < (1 - _FULL) * kib["MemTotal"]:
        return True
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    return bool(limit) and used - _reclaimable() > _FULL * limit


def _reclaimable() -> int:
    """Bytes of cached files that the control group would give back."""
    with contextlib.suppress(OSError, ValueError):
        for line in (_CGROUP / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                return int(line.split()[1])
    return 0


def largest(processes: Iterable[int]) -> int:
    """The process that uses most memory. 0 if none of them uses a large part, so that ending one would not help."""
    sizes = {process: _resident(process) for process in processes}
    process = max(sizes, key=lambda one: sizes[one], default=0)
    return process if process and sizes[process] > _SMALL * _memory() else 0


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
