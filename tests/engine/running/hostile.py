"""Components that harm their process on one image. Their module is small, because each worker imports it."""

from __future__ import annotations

import locale
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from engine.images import decode as decoding
from engine.images.decode import image_id
from engine.running import image_items
from engine.schema import Answer, Region, Sample


class Hostile:
    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version, deterministic = 1, True

    def __init__(self, *, does: str = "", on: str = "", at_start: str = "", batch_size: int = 4) -> None:
        self.does, self.on, self.at_start, self.batch_size = does, on, at_start, batch_size

    def load(self) -> None:
        if self.at_start:
            DEEDS[self.at_start]()

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        if any(sample.image_id == self.on for sample in batch) and self.does:
            DEEDS[self.does]()
        return [Answer(regions=[Region(0, 0, 5, 5, "cat", score=0.5, score_kind="confidence")]) for _ in batch]


class DecoderKills:
    """While it runs, decoding the image `deadly` kills the process."""

    needs: ClassVar[tuple[str, ...]] = ("pixels",)
    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    version, deterministic = 1, True

    def __init__(self, *, deadly: str = "", batch_size: int = 4) -> None:
        self.deadly, self.batch_size = deadly, batch_size

    def load(self) -> None:
        def decode(data: bytes, *limits: Any) -> Any:
            if image_id(data) == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return decoding.decode(data, *limits)

        image_items.decode = decode  # type: ignore[assignment, attr-defined]

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer() for _ in batch]


def _interrupt() -> None:
    raise KeyboardInterrupt


def _generator_exit() -> None:
    raise GeneratorExit


def _swallow_signal() -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except BaseException:  # noqa: BLE001
        return


def _close_all() -> None:
    os.closerange(3, 256)


def _close_standard() -> None:
    for stream in (0, 1, 2):
        os.close(stream)


def _change_process() -> None:
    os.chdir("/")
    logging.disable()
    warnings.simplefilter("error")
    locale.setlocale(locale.LC_ALL, "C")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.close()


def _print() -> None:
    print("hello from python")
    os.write(1, b"hello from a C library\n")
    print("something is odd", file=sys.stderr)


def _bad_box() -> None:
    raise ValueError("bad box")


DEEDS: dict[str, Callable[[], None]] = {
    "sys.exit": sys.exit,
    "KeyboardInterrupt": _interrupt,
    "GeneratorExit": _generator_exit,
    "os._exit": lambda: os._exit(0),
    "os.abort": os.abort,
    "a swallowed signal": _swallow_signal,
    "close all": _close_all,
    "close standard": _close_standard,
    "change the process": _change_process,
    "print": _print,
    "bad box": _bad_box,
}
