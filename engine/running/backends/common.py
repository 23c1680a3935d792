"""What all backends share: names of logs, the import path of workers, errors that end a run, causes of a death."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping

from engine.errors import EngineError, StorageError
from engine.running.graph import Node
from engine.running.slots import Slot

OUT_OF_MEMORY = "killed because memory ran low: lower its batch_size or run.max_workers"
ENDED = "the process ended"  # the same words on every machine


class LogNames:
    """Makes the log names of workers: <folder>/<node>-<number>.log.

    Shard components print nothing and have no log ('').
    """

    def __init__(self, folder: str) -> None:
        self._folder, self._started = folder, Counter[str]()

    def __call__(self, node: Node) -> str:
        self._started[node.name] += 1
        if not self._folder or node.over == "shard":
            return ""
        return f"{self._folder}/{node.name}-{self._started[node.name]}.log"


def import_paths() -> list[str]:
    """The folders on sys.path that are not site-packages, for the sys.path of the workers."""
    own = [path for path in sys.path if path and os.path.isdir(path) and "site-packages" not in path]
    return [os.getcwd(), *own]


def run_error(error: EngineError | OSError, name: str) -> EngineError:
    """The error that ends the run, after the worker of node `name` raised `error`."""
    return error if isinstance(error, EngineError) else StorageError(f"Storage failed under {name}: {error}")


def engine_fault(name: str, words: str) -> str:
    """The sentence for an error in the engine's own code, in a worker of node `name`."""
    return f"{name} stopped with a fault of the engine: {words}"


def cause_of_silence(slot: Slot) -> str:
    """ "no answer within .. s" if the worker's process ended because a batch took too long; otherwise ''."""
    timeout = slot.node.resources.timeout_s
    hung = slot.unit is not None and time.monotonic() - slot.last_sign >= 0.9 * timeout
    return f"no answer within {timeout:g} s" if hung else ""


def share_of(node: Node) -> dict[str, float]:
    """What one worker of a node takes: {"CPU" | "GPU" | "memory" (bytes): amount}, without zeros."""
    share = {"CPU": node.resources.cpus, "GPU": node.resources.gpus, "memory": float(node.resources.memory)}
    return {name: amount for name, amount in share.items() if amount > 0}


def too_much(node: Node, total: Mapping[str, float], place: str) -> str:
    """The reason why no worker of the node can run, as a sentence; '' if one can. `place`: such as "this machine"."""
    for name, amount in share_of(node).items():
        if amount > (has := total.get(name, 0.0)):
            return f"{node.name} asks for {amount:g} {name}, {place} has {has:g}: lower it in the recipe."
    return ""
