"""The live line: its counts, its estimate of the time left, and its drawing on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import pty
import struct
import termios
from collections.abc import Callable

import pytest

from engine.running import progress
from engine.running.messages import Done, Unit
from engine.running.progress import LiveLine, Pace, clock
from tests.engine.running.terminal import Terminal


def text(line: LiveLine, busy: dict[str, int] | None = None, waiting: int = 0) -> str:
    return " | ".join(part for _, part in line.parts(busy or {}, waiting) if part)


def quiet(shard_size: int = 10) -> LiveLine:
    return LiveLine("annotate", shard_size, stream=io.StringIO(), live=False)


# --- what it counts ------------------------------------------------------------------------------


def test_images_are_counted_within_a_shard() -> None:
    line = quiet(shard_size=1000)
    line.expect("yolox", 4)
    line.progressed("yolox", 0, 0, 1000)
    line.progressed("yolox", 0, 500, -1)
    assert text(line, {"yolox": 2}, 3) == (
        "annotate  12% | 500/4,000 images | 0.0 images/s | failed 0 | waiting 3 | ETA -- | yolox x2"
    )


def test_finishing_a_shard_keeps_the_progress_of_another() -> None:
    line = quiet()
    line.expect("yolox", 2)
    for shard in (0, 1):
        line.progressed("yolox", shard, 6, 10)
    line.finished("yolox", Unit("yolox", 0, 0, {}), Done(10, 1, True, failures=[("x", "raised", "")]))
    assert "16/20 images" in text(line)
    assert "failed 1" in text(line)


def test_a_shard_repeated_after_its_worker_died_is_counted_once() -> None:
    line = quiet()
    line.expect("yolox", 1)
    for _ in range(3):
        line.progressed("yolox", 0, 6, 10)
    assert "10/10 images" in text(line)


def test_a_short_last_shard_counts_with_its_real_size() -> None:
    line = quiet()
    line.expect("yolox", 2)
    line.finished("yolox", Unit("yolox", 0, 0, {}), Done(10, 0, True))
    line.progressed("yolox", 1, 0, 3)
    assert "annotate  76% | 10/13 images" in text(line)


def test_a_shard_of_a_node_that_has_not_begun_counts_as_large_as_those_of_other_nodes() -> None:
    line = quiet(shard_size=1000)
    line.expect("a", 1)
    line.expect("b", 1)
    line.progressed("a", 0, 2, 3)
    assert "annotate  33% | 1/3 images" in text(line)


def test_skipped_images_are_not_counted_as_failures() -> None:
    line = quiet()
    line.finished(
        "objects", Unit("objects", 0, 0, {}), Done(10, 2, True, failures=[("x", "skipped", ""), ("y", "raised", "")])
    )
    assert (line.tallies["objects"].failed, line.tallies["objects"].skipped) == (1, 1)


# --- time left -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (45.2, "45s"), (89, "1m29s"), (202, "3m20s"), (3900, "1h05m"), (90000, "25h00m")]
)
def test_time_left_is_printed_in_units(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_time_left_is_right_and_steady_although_batches_come_in_steps() -> None:
    """The model loads for a minute, then annotates ten images a second in batches of 64."""
    pace, errors = Pace(), []
    for tick in range(60 * 5, 300 * 5):
        seconds = tick / 5
        pace.at(seconds, int(max(seconds - 60, 0) * 10) // 64 * 64, 2400)
        if pace.left is not None and seconds > 90:
            errors.append(pace.left - (300 - seconds))
    assert max(map(abs, errors)) < 30
    steps = [abs(after - before) for before, after in itertools.pairwise(errors)]
    assert max(steps) < 6


# --- on a terminal -------------------------------------------------------------------------------


class Pty:
    """A pseudo-terminal, with an emulator of what it shows."""

    def __init__(self, columns: int, encoding: str = "utf-8") -> None:
        self.master, slave = pty.openpty()
        self.terminal = Terminal(columns)
        self.resize(columns)
        self.stream = os.fdopen(slave, "w", encoding=encoding, errors="backslashreplace", newline="")

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.terminal.resize(columns)

    def read(self) -> Terminal:
        self.stream.flush()
        return self.terminal.write(os.read(self.master, 65536).decode())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pty]:
    monkeypatch.setattr(progress, "_REDRAW_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    return Pty


NAMES = [
    "yolox",
    "检测器的名字很长很长",
    "e\u0301tiquettes\x1b[31m\nred",
    "a_very_long_name_of_a_specialist_that_somebody_chose",
]


def drawn(line: LiveLine, busy: dict[str, int]) -> None:
    line.expect("yolox", 123_456)
    line.progressed("yolox", 0, 999, 1000)
    line.tick(busy, 123_456)


@pytest.mark.parametrize("columns", [20, 40, 80, 132])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_wraps(terminal: Callable[..., Pty], columns: int, encoding: str) -> None:
    screen = terminal(columns, encoding)
    line = LiveLine("annotate", 1000, stream=screen.stream)
    for _ in range(3):
        drawn(line, dict.fromkeys(NAMES, 4))
        shown = screen.read()
        assert shown.wraps == 0
        assert shown.widest < columns
        assert len(shown.lines) == 1
        assert shown.lines[0].startswith("annotate   0%")
    line.close()
    assert screen.read().lines == [""]


def test_forty_columns_show_the_most_important_parts(terminal: Callable[..., Pty]) -> None:
    screen = terminal(40)
    drawn(LiveLine("annotate", 1000, stream=screen.stream), dict.fromkeys(NAMES, 4))
    assert screen.read().lines == ["annotate   0% | failed 0 | ETA --"]


def test_a_terminal_that_gets_narrower_keeps_one_line(terminal: Callable[..., Pty]) -> None:
    screen = terminal(80)
    line = LiveLine("annotate", 1000, stream=screen.stream)
    drawn(line, {"yolox": 1})
    assert len(screen.read().lines[0]) > 60
    screen.resize(30)
    assert len(screen.terminal.lines) == 3
    drawn(line, {"yolox": 1})
    assert len(screen.read().lines) == 1
    screen.resize(80)
    drawn(line, {"yolox": 1})
    assert [len(shown) > 60 for shown in screen.read().lines] == [True]


@pytest.mark.parametrize("term", ["dumb", ""])
def test_without_a_capable_terminal_no_escape_is_written(
    terminal: Callable[..., Pty], monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(progress, "_LOG_S", 0.0)
    screen = terminal(80)
    line = LiveLine("annotate", 1000, stream=screen.stream)
    drawn(line, {"yolox": 1})
    line.close()
    screen.stream.flush()
    written = os.read(screen.master, 65536).decode()
    assert "\x1b" not in written
    assert written.endswith("yolox\r\n")


def test_off_a_terminal_nothing_is_written_in_the_first_half_minute() -> None:
    stream = io.StringIO()
    line = LiveLine("annotate", 10, stream=stream)
    line.expect("yolox", 4)
    line.tick({}, 0)
    line.close()
    assert stream.getvalue() == ""


def test_the_line_of_a_training_does_not_wrap_either(terminal: Callable[..., Pty]) -> None:
    from model.training.job import Progress
    from pipelines.training.progress_line import TrainingLine

    for columns in (40, 80):
        screen = terminal(columns)
        line = TrainingLine("round 2, fold 1 of 2", stream=screen.stream)
        for step in (10, 20):
            line.show(Progress(step, steps=100_000, loss=12.3456, samples=64))
        shown = screen.read()
        assert shown.wraps == 0
        assert shown.lines[0].startswith("round 2, fold 1 of 2   0%")
