"""`engine explore`: the gallery over a whole data set, until it is interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from engine.running.interrupts import interruptible
from pipelines.gallery.serve.answers import Answers
from pipelines.gallery.serve.current import Current
from pipelines.gallery.serve.index import Progress, no_progress
from pipelines.gallery.serve.server import GalleryServer


def serve(
    url: str,
    *,
    of: str = "",
    port: int = 0,
    on_ready: Callable[[str], None],
    on_progress: Progress = no_progress,
) -> None:
    """Serves the gallery of the data set at `url` until Ctrl-C.

    of: judge/KEY or releases/NAME instead of the current verdicts.
    port: 0 takes a free one. Raises ConfigError, before the data set is read, if it cannot be used.
    on_ready: called with the address of the page, which contains a secret.
    """
    with GalleryServer(port) as server:
        answers = Answers(Current(url, of, on_progress))
        server.answer = answers.answer
        on_ready(server.url)
        try:
            with interruptible():
                server.serve_forever()
        except KeyboardInterrupt:
            if not answers.stop():  # DuckDB aborts the process if Python ends while a thread is in it
                sys.stdout.flush()
                os._exit(0)
