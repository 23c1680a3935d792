"""Runs an `engine` command and kills it with SIGKILL at a chosen change of the data set.

    python -m benchmarks.kill_launcher LOG AT WHEN engine-arguments...

Each put, create, upload and removal of engine.storage.files is a change with a number, written to LOG as a line
`number name`. At number AT the process kills itself: `before` the change; `inside` it (the temporary file is written,
but not renamed or linked); `after` it; or `later`, before the next one. With `clock`, AT is in milliseconds since the
start. An AT of -1 kills nothing.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

WHENS = ("before", "inside", "after", "later")


class Killer:
    """Counts the changes of this process, and kills it."""

    def __init__(self, log: Path, at: int, when: str) -> None:
        self.log, self.at, self.when, self.count = log, at, when, 0
        self._lock = threading.Lock()

    def changed(self, change: Callable[..., Any], storage: Any, name: str, *rest: Any) -> Any:
        with self._lock:
            number, self.count = self.count, self.count + 1
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"{number} {name}\n")
        if number != self.at:
            return change(storage, name, *rest)
        if self.when == "before":
            self.kill()
        if self.when == "inside":
            os.link = os.replace = lambda *_: self.kill()  # type: ignore[assignment]
        answer = change(storage, name, *rest)
        if self.when == "later":
            threading.Timer(random.Random(self.at).uniform(0, 0.3), self.kill).start()
        else:  # a removal cannot be interrupted inside
            self.kill()
        return answer

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    log, at, when, *arguments = sys.argv[1:]
    from engine.storage.files import Storage
    from pipelines.cli.commands import app

    killer = Killer(Path(log), -1 if when == "clock" else int(at), when)
    if when == "clock":
        clock = threading.Timer(int(at) / 1000, killer.kill)
        clock.daemon = True
        clock.start()
    put, create, upload, remove = Storage.put, Storage.create, Storage.upload, Storage.remove

    def uploaded(storage: Storage, local_file: str, name: str) -> None:
        killer.changed(lambda inner, target: upload(inner, local_file, target), storage, name)

    changes: dict[str, Callable[..., Any]] = {
        "put": lambda storage, name, data: killer.changed(put, storage, name, data),
        "create": lambda storage, name, data: killer.changed(create, storage, name, data),
        "remove": lambda storage, name: killer.changed(remove, storage, name),
        "upload": uploaded,
    }
    for name, change in changes.items():
        setattr(Storage, name, change)
    app(arguments)


if __name__ == "__main__":
    main()
