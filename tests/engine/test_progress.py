from __future__ import annotations

import io

from engine.progress import LiveLine
from engine.units import Done, Unit


def test_the_line_tells_rate_done_failed_waiting_and_time_left() -> None:
    line = LiveLine("annotate", 10, stream=io.StringIO(), live=True)
    line.expect("yolox", 4)
    line.finished("yolox", Unit("yolox", 0, 0, {}), Done(10, 1, True, failures=[("x", "raised", "")]))
    text = line.line({"yolox": 2}, 3, elapsed=5.0)
    assert text == "annotate  25% · 2.0 images/s · done 1/4 units · failed 1 · waiting 3 · ETA 00:15 · yoloxx2"


def test_off_a_terminal_nothing_is_drawn_within_half_a_minute() -> None:
    stream = io.StringIO()
    line = LiveLine("annotate", 10, stream=stream, live=False)
    line.expect("yolox", 4)
    line.tick({}, 0)
    line.close()
    assert stream.getvalue() == ""


def test_skipped_images_are_not_failures_of_the_node_that_skipped_them() -> None:
    line = LiveLine("annotate", 10, stream=io.StringIO(), live=False)
    line.finished(
        "objects", Unit("objects", 0, 0, {}), Done(10, 2, True, failures=[("x", "skipped", ""), ("y", "raised", "")])
    )
    assert (line.tallies["objects"].failed, line.tallies["objects"].skipped) == (1, 1)
