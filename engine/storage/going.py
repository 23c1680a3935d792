"""Which runs and removals are going on in a data set: one file for each in `runs/going/`, deleted at its end.

Several runs may share a data set, but a removal needs it for itself. Each first writes its own file and then looks for
others, so of a run and a removal that start together at most one goes on.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from uuid import uuid4

from engine.errors import ConfigError, StorageError
from engine.layout import GOING
from engine.storage.disks import may_be_alive
from engine.storage.files import Storage
from engine.storage.sealed import seal

RUN_KIND, REMOVAL_KIND = "run", "removal"


@contextlib.contextmanager
def going(storage: Storage, kind: str) -> Iterator[None]:
    """A context in which this process is listed as going on.

    Raises ConfigError if a removal is going on or, for a removal, if anything is.
    """
    name = f"{GOING}/{kind}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    storage.put(name, seal({"kind": kind}))
    try:
        _refuse(storage, kind, name)
        yield
    finally:
        with contextlib.suppress(StorageError, OSError):
            storage.remove(name)


def _refuse(storage: Storage, kind: str, own: str) -> None:
    for name in storage.names(GOING):
        other, _, process = name.partition("-")
        if f"{GOING}/{name}" == own or (kind == RUN_KIND and other == RUN_KIND):
            continue
        if not may_be_alive(process):
            storage.remove(f"{GOING}/{name}")
            continue
        host, _, number = process.rpartition("-")[0].rpartition("-")
        raise ConfigError(
            f"A {other} is going on in '{storage.url}' (process {number} on {host}): wait for its end or, if it was "
            f"killed, delete '{storage.url}/{GOING}/{name}'."
        )
