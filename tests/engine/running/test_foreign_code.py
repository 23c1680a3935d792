"""Components that harm their process: only the image at hand fails, on both runners."""

from __future__ import annotations

import locale
import logging
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunFailed
from engine.running.interrupts import Interrupted
from pipelines.stages import run as stages
from tests.runs import (
    check_commits,
    commits,
    draw_photos,
    engine,
    failures,
    recipe,
    recipe_data,
    released_ids,
    write_recipe,
)

USE = "tests.engine.running.hostile:Hostile"


@pytest.fixture(params=("inline", "local", "ray"))
def runner(request: pytest.FixtureRequest) -> str:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return str(request.param)


def wanted(tmp_path: Path, nodes: dict[str, dict[str, Any]], count: int = 20, **changes: Any) -> tuple[list[str], Any]:
    ids = draw_photos(tmp_path / "photos", count)
    annotate = {name: {"use": USE, **options} for name, options in nodes.items()}
    annotate = {
        name: options | {"on": ids[options["on"]]} if "on" in options else options for name, options in annotate.items()
    }
    return ids, recipe(
        tmp_path / "set", tmp_path / "photos", {}, annotate=annotate | {"objects": {"use": "consensus"}}, **changes
    )


def annotate(made: Any, runner: str) -> None:
    """Annotates with a runner, without the consensus, because starting a worker takes longer than its work."""
    stages.run(made, stage="ingest", runner="inline")
    harmful = {name: node for name, node in made.annotate.items() if name != "objects"}
    stages.run(made.model_copy(update={"annotate": harmful}), stage="annotate", runner=runner)


def logs(tmp_path: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (tmp_path / "set").glob("runs/*/logs/*.log")}


def test_a_component_that_raises_or_exits_costs_one_image(tmp_path: Path, runner: str) -> None:
    deeds = ["sys.exit", "KeyboardInterrupt", "GeneratorExit", "os._exit"]
    nodes = {f"n{number}": {"does": deed, "on": number + 1} for number, deed in enumerate(deeds)}
    ids, made = wanted(tmp_path, nodes)
    annotate(made, runner)
    rest = stages.run(made, runner="inline")
    assert not nodes.keys() & rest.tallies.keys(), "the runner left work undone"
    for number, name in enumerate(("SystemExit", "KeyboardInterrupt", "GeneratorExit", "SystemExit: os._exit(0)")):
        [failure] = failures(tmp_path / "set", f"n{number}")
        assert (failure["image_id"], failure["reason"]) == (ids[number + 1], "raised")
        assert failure["error"].startswith(f"{name} (hostile.py:")
    assert released_ids(tmp_path / "set") == set(ids) - set(ids[1:5])


@pytest.mark.parametrize("deed", ["close standard", "change the process"])
def test_settings_that_a_component_changes_are_restored(
    tmp_path: Path, deed: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ids, made = wanted(tmp_path, {"boxes": {"does": deed, "on": 7}})
    before = _process()
    stages.run(made, runner="inline")
    assert released_ids(tmp_path / "set") == set(ids)
    assert _process() == before
    print("still printed")
    assert "still printed" in capfd.readouterr().out


def _process() -> tuple[Any, ...]:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    errors = [rule for rule in warnings.filters if rule[0] == "error"]
    return os.getcwd(), locale.setlocale(locale.LC_ALL), logging.root.manager.disable, errors, handlers


def test_a_component_that_closes_all_descriptors_loses_no_other_image(tmp_path: Path) -> None:
    ids = draw_photos(tmp_path / "photos", 9)
    own = {"boxes": {"use": USE, "does": "close all", "on": ids[7]}, "objects": {"use": "consensus"}}
    path = write_recipe(tmp_path / "r.yaml", recipe_data(tmp_path / "set", tmp_path / "photos", {}, annotate=own))
    done = engine("run", "-c", str(path), "--runner", "inline")
    assert done.returncode == 0, done.stderr
    assert set(ids) - {ids[7]} <= released_ids(tmp_path / "set")
    check_commits(tmp_path / "set")


@pytest.mark.parametrize("runner", ["local", "ray"], indirect=True)
def test_closed_descriptors_in_a_worker_cost_at_most_one_image(tmp_path: Path, runner: str) -> None:
    ids, made = wanted(tmp_path, {"boxes": {"does": "close all", "on": 1, "batch_size": 1}}, 2)
    annotate(made, runner)
    assert {failure["image_id"] for failure in failures(tmp_path / "set", "boxes")} <= {ids[1]}
    assert len(commits(tmp_path / "set", "boxes")) == 1


def test_a_signal_interrupts_the_run_even_if_the_component_catches_it(tmp_path: Path) -> None:
    _, made = wanted(tmp_path, {"boxes": {"does": "a swallowed signal", "on": 7}})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have set it to be ignored
    try:
        with pytest.raises(Interrupted):
            stages.run(made, runner="inline")
    finally:
        signal.signal(signal.SIGINT, before)
    assert failures(tmp_path / "set", "boxes") == []


@pytest.mark.parametrize("deed", ["sys.exit", "os._exit", "KeyboardInterrupt"])
def test_a_component_that_exits_while_loading_cannot_start(tmp_path: Path, deed: str) -> None:
    _, made = wanted(tmp_path, {"boxes": {"at_start": deed}}, 1)
    with pytest.raises(RunFailed, match=r"^boxes cannot start: (SystemExit|KeyboardInterrupt).*\(hostile\.py:\d+\)"):
        stages.run(made, runner="inline")


def test_output_of_a_component_is_in_the_log_of_the_run(
    tmp_path: Path, runner: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _, made = wanted(tmp_path, {"boxes": {"does": "print", "on": 2}, "more": {}}, 3)
    annotate(made, runner)
    assert logs(tmp_path) == {"boxes-1.log": "hello from python\nhello from a C library\nsomething is odd\n"}
    assert "hello" not in capfd.readouterr().out


def test_a_log_has_a_maximum_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.running.foreign_code.LOG_BYTES", 20)
    _, made = wanted(tmp_path, {"boxes": {"does": "print", "on": 2}}, 3)
    stages.run(made, runner="inline")
    assert logs(tmp_path)["boxes-1.log"].startswith("hello from python\nhe\n... the log is full")


def test_a_failure_names_the_line_and_the_log_has_the_traceback(tmp_path: Path) -> None:
    ids, made = wanted(tmp_path, {"boxes": {"does": "bad box", "on": 2}}, 3)
    stages.run(made, runner="inline")
    line = next(
        number
        for number, text in enumerate((Path(__file__).parent / "hostile.py").read_text().splitlines(), 1)
        if '"bad box")' in text
    )
    [failure] = failures(tmp_path / "set", "boxes")
    assert (failure["image_id"], failure["error"]) == (ids[2], f"ValueError: bad box (hostile.py:{line})")
    assert "Traceback (most recent call last)" in logs(tmp_path)["boxes-1.log"]


def test_debug_prints_tracebacks_at_any_position_of_the_option(tmp_path: Path) -> None:
    ids = draw_photos(tmp_path / "photos", 3)
    own = {"boxes": {"use": USE, "does": "bad box", "on": ids[1]}, "objects": {"use": "consensus"}}
    path = write_recipe(tmp_path / "r.yaml", recipe_data(tmp_path / "set", tmp_path / "photos", {}, annotate=own))
    done = engine("run", "-c", str(path), "--runner", "inline", "--debug")
    assert done.returncode == 0, done.stderr
    assert "Traceback" in done.stderr
    assert "bad box" in done.stderr
    for command in (["--debug", "status", "-d", str(tmp_path)], ["status", "--debug", "-d", str(tmp_path)]):
        done = engine(*command)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("engine: ")
