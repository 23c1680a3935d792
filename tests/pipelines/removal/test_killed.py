"""A removal that is killed at any moment is completed by the same command, or by the next run, with the same result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from engine.storage.files import Storage
from engine.storage.removals import unfinished_removals
from tests.pipelines.removal.killed import Killed, killed_at, the_killed_are_dead
from tests.pipelines.removal.small_set import Small, contents, go, recipe_of, take_out
from tests.runs import REPO

POINTS = 12  # of about 170 changes of files


@pytest.fixture(scope="module")
def undisturbed(made: Small) -> tuple[int, dict[str, bytes]]:
    """(number of changes of files in a removal, the data set after it)."""
    changes: list[str] = []
    with killed_at(1 << 30, changes):
        assert take_out(made.folder, _lines(made)).ok
    found = contents(made.dataset)
    made.restore()
    return len(changes), found


def _lines(small: Small) -> list[str]:
    return [small.ids[0], "photos/02.png", str(small.photo(4))]


@pytest.mark.parametrize("point", range(POINTS))
def test_the_same_command_again_completes_it(
    small: Small, undisturbed: tuple[int, dict[str, bytes]], point: int
) -> None:
    changes, after = undisturbed
    with pytest.raises(Killed), killed_at((changes - 1) * point // (POINTS - 1)):
        take_out(small.folder, _lines(small))
    with the_killed_are_dead():
        assert take_out(small.folder, _lines(small)).ok
    assert contents(small.dataset) == after


def test_the_completion_may_be_killed_too(small: Small, undisturbed: tuple[int, dict[str, bytes]]) -> None:
    changes, after = undisturbed
    for _ in range(3):
        with the_killed_are_dead(), pytest.raises(Killed), killed_at(changes // 4):
            take_out(small.folder, _lines(small))
    with the_killed_are_dead():
        assert take_out(small.folder, _lines(small)).ok
    assert contents(small.dataset) == after


def test_the_next_run_completes_it(small: Small, undisturbed: tuple[int, dict[str, bytes]]) -> None:
    with pytest.raises(Killed), killed_at(undisturbed[0] // 2):
        take_out(small.folder, _lines(small))
    with the_killed_are_dead():
        go(small.folder, "v2", "ingest")
    after = contents(small.dataset)
    assert {name: after[name] for name in undisturbed[1]} == undisturbed[1]


def test_a_removal_in_its_own_process_may_be_killed(small: Small, undisturbed: tuple[int, dict[str, bytes]]) -> None:
    ids = small.folder / "ids.txt"
    ids.write_text("\n".join(_lines(small)))
    program = f"""
import os, signal, sys
from pipelines.removal.remove import remove
from pipelines.recipe import parse_recipe
left, replace = {undisturbed[0] // 3}, os.replace
def mortal(*names):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*names)
os.replace = mortal
remove(parse_recipe({recipe_of(small.folder).model_dump(mode="json")!r}), {str(ids)!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert unfinished_removals(Storage(str(small.dataset)))
    assert take_out(small.folder, _lines(small)).ok
    assert contents(small.dataset) == undisturbed[1]
