from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import specialists.synthetic.fakes
from engine.records.answers import check_answer
from engine.schema import Answer, Sample
from specialists.synthetic.fakes import FakeCaptioner, FakeDetector, Faulty, NoOp

BATCH = [Sample(f"{number:032x}", 64, 48) for number in range(12)]


@pytest.mark.parametrize("kind", [FakeDetector, FakeCaptioner, NoOp, Faulty])
def test_answers_of_a_fake_do_not_depend_on_the_batch(kind: type[FakeDetector]) -> None:
    fake = kind()
    fake.load()
    answers = fake.annotate(BATCH)
    assert answers == [answer for sample in BATCH for answer in kind().annotate([sample])]
    assert [check_answer(answer, sample, kind.gives) for answer, sample in zip(answers, BATCH, strict=True)] == [
        ""
    ] * 12


def test_different_images_get_different_boxes_and_a_no_op_gives_none() -> None:
    assert len({str(answer) for answer in FakeDetector().annotate(BATCH)}) == len(BATCH)
    assert NoOp().annotate(BATCH) == [Answer()] * len(BATCH)


def test_it_raises_on_the_images_named_in_its_options() -> None:
    faulty = Faulty(raise_on=[BATCH[3].image_id])
    assert len(faulty.annotate(BATCH[:3])) == 3
    with pytest.raises(ValueError, match="raise_on names this image"):
        faulty.annotate(BATCH[:4])


def test_it_runs_out_of_memory_above_a_batch() -> None:
    faulty = Faulty(out_of_memory_above=4)
    assert len(faulty.annotate(BATCH[:4])) == 4
    with pytest.raises(MemoryError):
        faulty.annotate(BATCH[:5])


def test_it_turns_sick_and_a_new_object_works_again() -> None:
    faulty = Faulty(sick_from=4)
    faulty.annotate(BATCH[:4])
    with pytest.raises(RuntimeError, match="fails on every image"):
        faulty.annotate(BATCH[4:5])
    assert Faulty(sick_from=4).annotate(BATCH[4:5])


def test_answers_can_be_random_and_loading_can_fail() -> None:
    assert Faulty(random_answers=True).annotate(BATCH) != Faulty(random_answers=True).annotate(BATCH)
    with pytest.raises(RuntimeError, match="start_fails is set"):
        Faulty(start_fails=True).load()


def test_answered_images_are_in_the_journal(tmp_path: Path) -> None:
    Faulty(journal=str(tmp_path / "journal")).annotate(BATCH)
    assert len((tmp_path / "journal").read_text().splitlines()) == len(BATCH)


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"from specialists.synthetic.fakes import Faulty; from engine.schema import Sample; {program}",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(specialists.synthetic.fakes.__file__).parents[2],
    )


def test_a_segfault_ends_the_process() -> None:
    assert run("Faulty(segfault_on=['a']).annotate([Sample('ab', 9, 9)])").returncode == -signal.SIGSEGV


def test_a_hang_holds_the_gil_and_faulthandler_ends_it() -> None:
    done = run(
        "import faulthandler, threading, os; threading.Timer(0.2, lambda: os._exit(7)).start(); "
        "faulthandler.dump_traceback_later(1.0, exit=True); Faulty(hang_on=['a']).annotate([Sample('ab', 9, 9)])"
    )
    assert done.returncode == 1  # not 7: the thread never got to run
    assert "Timeout" in done.stderr
