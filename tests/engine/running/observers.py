"""Components that report what they see of their process. Their module is small, because each worker imports it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from engine.schema import Answer, Sample, Tag


class Tells:
    """A tag with what the worker sees: a variable of the environment, the current folder, or a random number."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    def __init__(self, *, what: str = "", batch_size: int = 1, gpus: int = 0) -> None:
        self.what, self.batch_size, self.gpus = what, batch_size, gpus

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(tags=[Tag(self._seen(), score=1.0)]) for _ in batch]

    def _seen(self) -> str:
        import numpy

        seen = {"folder": os.getcwd(), "random": str(numpy.random.random())}  # noqa: NPY002  the global state
        return seen.get(self.what) or os.environ.get(self.what, "")


class LeavesChildren:
    """Starts a process and forks one on an image that is 24 pixels wide, and writes their ids. Then it may crash."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    def __init__(self, *, file: str = "", crashes: bool = True, batch_size: int = 1) -> None:
        self.file, self.crashes, self.batch_size = file, crashes, batch_size

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        if batch[0].width != 24:
            return [Answer()]
        started = subprocess.Popen(["sleep", "600"]).pid
        forked = os.fork()
        if forked == 0:
            time.sleep(600)  # holds the worker's end of the link open
            os.abort()
        with open(self.file, "a") as file:
            file.write(f"{started} {forked}\n")
        if self.crashes:
            os.abort()
        return [Answer()]


class Named:
    """A tag with the name of its process."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(tags=[Tag(Path("/proc/self/comm").read_text().strip(), score=1.0)]) for _ in batch]


class Meets:
    """A tag with the GPUs that it sees, after a wait for the node `other` to start: both must run at once."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    def __init__(self, *, folder: str, name: str, other: str = "", gpus: float = 0.0, cpus: float = 0.5) -> None:
        self.folder, self.name, self.other, self.gpus, self.cpus = Path(folder), name, other, gpus, cpus

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        (self.folder / self.name).touch()
        until = time.monotonic() + 60
        while self.other and not (self.folder / self.other).exists():
            if time.monotonic() > until:
                raise RuntimeError(f"{self.other} does not run beside {self.name}")
            time.sleep(0.05)
        return [Answer(tags=[Tag(os.environ.get("CUDA_VISIBLE_DEVICES", "all"), score=1.0)]) for _ in batch]
