"""Which backend a run uses."""

from __future__ import annotations

import os
import sys

from engine.running.backends.inline import InlineBackend
from engine.running.backends.machine import visible_gpus
from engine.running.backends.processes import ProcessBackend
from engine.running.interrupts import arm
from engine.running.slots import Backend
from engine.running.worker import WorkerContext

RUNNERS = ("auto", "local", "ray", "inline")


def chosen_runner(runner: str, address: str | None) -> str:
    """`runner`, or the one that "auto" stands for.

    Ray if there is an address of a cluster, a connection to one, or a GPU; otherwise "local".
    """
    if runner != "auto":
        return runner
    ray = sys.modules.get("ray")
    connected = ray is not None and ray.is_initialized()
    return "ray" if address or os.environ.get("RAY_ADDRESS") or connected or visible_gpus() else "local"


def make_backend(runner: str, context: WorkerContext, *, address: str | None, logs: str) -> Backend:
    """The backend of a runner: "auto", "local" (processes), "ray" or "inline" (this process)."""
    runner = chosen_runner(runner, address)
    if runner == "inline":
        return InlineBackend(context, logs=logs)
    if runner == "local":
        return ProcessBackend(context, logs=logs)
    from engine.running.backends.ray_actors import RayBackend

    backend = RayBackend(context, address=address, logs=logs)
    arm()  # needed again because Ray has replaced the signal handlers
    return backend
