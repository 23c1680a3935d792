"""Workers as processes of this machine: how they start and end, and what they take over from the process of the run."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunFailed
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.running.backends import machine, processes
from engine.running.backends.choice import chosen_runner
from engine.running.backends.fork_client import ForkServer
from engine.running.backends.fork_server import ENDED, FORKED
from engine.running.backends.machine import Machine
from engine.running.graph import Node, Resources
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from tests.runs import REPO, draw_photos, failures, recipe_data, wait_until

OWN = "tests.engine.running.observers"


def run_tags(folder: Path, nodes: dict[str, Any], photos: int = 1, **run: Any) -> Any:
    draw_photos(folder / "photos", photos)
    data = recipe_data(folder / "set", folder / "photos", {}, run={"max_workers": 1, **run}) | {
        "annotate": nodes,
        "filter": [],
    }
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    return stages.run(parse_recipe(data), stage="annotate", runner="local")


def labels(folder: Path) -> dict[str, list[str]]:
    rows = query(Dataset.open(str(folder / "set")), "SELECT producer, label FROM tags ORDER BY ALL").to_pylist()
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["producer"], []).append(row["label"])
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_has_the_environment_and_the_folder_of_the_run_but_no_gpu_that_it_did_not_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    use = {"use": f"{OWN}:Tells"}
    run_tags(tmp_path / "first", {"variable": {**use, "what": "A_VARIABLE"}})  # the server runs already
    monkeypatch.setenv("A_VARIABLE", "as it is now")
    monkeypatch.chdir(tmp_path)
    gpu = {"what": "CUDA_VISIBLE_DEVICES"}
    nodes = {
        "variable": {**use, "what": "A_VARIABLE"},
        "folder": {**use, "what": "folder"},
        "threads": {**use, "what": "OMP_NUM_THREADS"},
        "none": {**use, **gpu},
        "one": {**use, **gpu, "gpus": 1},
        "both": {**use, **gpu, "gpus": 2},
    }
    run_tags(tmp_path, nodes)
    assert labels(tmp_path) == {
        "variable": ["as it is now"],
        "folder": [str(tmp_path)],
        "threads": ["1"],
        "none": [""],
        "one": ["4"],
        "both": ["4,6"],
    }


def test_a_workers_process_has_the_name_of_its_node(tmp_path: Path) -> None:
    run_tags(tmp_path, {"scenes": {"use": f"{OWN}:Named"}})
    assert labels(tmp_path) == {"scenes": ["engine scenes"]}


def test_workers_do_not_draw_the_same_random_numbers(tmp_path: Path) -> None:
    use = {"use": f"{OWN}:Tells", "what": "random"}
    run_tags(tmp_path, {"one": use, "two": {**use, "batch_size": 2}})
    found = labels(tmp_path)
    assert found["one"] != found["two"]


def test_what_a_crashed_worker_has_started_ends_with_it_and_costs_one_image(tmp_path: Path) -> None:
    file = tmp_path / "processes"
    run_tags(tmp_path, {"boxes": {"use": f"{OWN}:LeavesChildren", "file": str(file)}}, 3, image_attempts=2)
    assert [failure["reason"] for failure in failures(tmp_path / "set", "boxes")] == ["crash"]
    started = [int(word) for word in file.read_text().split()]
    assert len(started) >= 4
    wait_until(lambda: not any(map(alive, started)), 10.0)


def test_what_a_worker_has_started_ends_with_the_run(tmp_path: Path) -> None:
    file = tmp_path / "processes"
    node = {"use": f"{OWN}:LeavesChildren", "file": str(file), "crashes": False}
    run_tags(tmp_path, {"boxes": node})
    wait_until(lambda: not any(map(alive, map(int, file.read_text().split()))), 10.0)


def test_a_worker_is_ended_if_memory_runs_low_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_MEMORY_CHECK_S", 0.0)
    monkeypatch.setattr(processes, "memory_is_full", lambda: True)
    monkeypatch.setattr(machine, "_SMALL", 0.0)
    node = {"use": "faulty", "slow_s": 0.2}
    with pytest.raises(RunFailed, match=r"memory ran low: lower its batch_size or run\.max_workers"):
        run_tags(tmp_path, {"boxes": node}, 2)


def test_full_memory_ends_no_worker_if_other_programs_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_MEMORY_CHECK_S", 0.0)
    monkeypatch.setattr(processes, "memory_is_full", lambda: True)
    summary = run_tags(tmp_path, {"boxes": {"use": "faulty", "slow_s": 0.05}}, 2)
    assert summary.tallies["boxes"].failed == 0
    assert summary.tallies["boxes"].notes == []


def test_a_script_without_a_main_guard_is_not_run_again(tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 1)
    data = recipe_data(tmp_path / "set", tmp_path / "photos", {})
    script = tmp_path / "script.py"
    script.write_text(
        "print('begins')\n"
        "from pipelines import load_recipe, run\n"
        f"import yaml; open({str(tmp_path / 'r.yaml')!r}, 'w').write(yaml.safe_dump({data!r}))\n"
        f"print(run(load_recipe({str(tmp_path / 'r.yaml')!r}), runner='local').release)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["begins", "releases/v1"], done.stderr


@pytest.fixture
def server() -> Iterator[ForkServer]:
    running = ForkServer()
    yield running
    running.close()


def answers(server: ForkServer, number: int) -> list[tuple[bytes, int, int]]:
    found: list[tuple[bytes, int, int]] = []
    while len(found) < number:
        found += server.answers()
    return found


def threads(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


def parent(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid"))


def test_the_server_has_one_thread_because_it_forks(server: ForkServer) -> None:
    """Also after it has imported each component of the engine, with the packages that workers share."""
    from specialists import CATALOG

    for target in sorted({*CATALOG.values(), "pipelines.emit.shard:Release"}):
        number, link = server.start(target)
        [(kind, of, worker)] = answers(server, 1)
        assert (kind, of) == (FORKED, number)
        assert threads(parent(worker)) == 1, target
        assert importlib.import_module(target.partition(":")[0])
        link.close()
        assert answers(server, 1) == [(ENDED, number, worker)]


def test_the_server_imports_what_it_will_need_while_it_waits_for_the_first_worker(server: ForkServer) -> None:
    server.import_soon(["specialists.tags:Tags"])
    mapped = Path(f"/proc/{server._process.pid}/maps")
    wait_until(lambda: "ai_edge_litert" in mapped.read_text())


def test_the_server_imports_no_module_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_detector.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    server = ForkServer()
    _, link = server.start("own_detector:Detector")
    [(kind, _, _)] = answers(server, 1)
    server.close()
    link.close()
    assert kind == FORKED
    assert not (tmp_path / "imported").exists()
    import own_detector  # noqa: F401  as a worker does

    assert (tmp_path / "imported").exists()


def test_workers_end_if_the_driver_closes_the_server_or_their_link(server: ForkServer) -> None:
    links = [server.start() for _ in range(3)]
    started = [process for _, _, process in answers(server, 3)]
    assert all(map(alive, started))
    server.kill(links[0][0])
    assert answers(server, 1) == [(ENDED, links[0][0], started[0])]
    other = ForkServer()
    _, link = other.start()
    [(_, _, process)] = answers(other, 1)
    other.close()
    wait_until(lambda: not alive(process), 10.0)
    link.close()


def node(**resources: Any) -> Node:
    return Node("n", "m:N", {}, (), (), "0" * 32, {}, resources=Resources(**resources))


def test_workers_share_gpus_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    here = Machine()
    small, large, both = node(cpus=0, gpus=0.6), node(cpus=0, gpus=1), node(cpus=0, gpus=2)
    assert here.place(small, []) == ("0",)
    assert here.place(small, [(small, ("0",))]) == ("1",)
    assert here.place(node(cpus=0, gpus=0.4), [(small, ("0",)), (small, ("1",))]) == ("0",)
    assert here.place(small, [(small, ("0",)), (small, ("1",))]) is None
    assert here.place(large, [(small, ("0",))]) == ("1",)
    assert here.place(both, []) == ("0", "1")
    assert here.place(both, [(small, ("1",))]) is None
    assert here.why_impossible(node(gpus=3)) == "n asks for 3 GPU, this machine has 2: lower it in the recipe."


def test_workers_share_processors_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    here = Machine()
    all_but_one = node(cpus=here.total["CPU"] - 0.5)
    assert here.place(node(cpus=0.5), [(all_but_one, ())]) == ()
    assert here.place(node(cpus=0.6), [(all_but_one, ())]) is None
    half = node(cpus=0, memory=int(here.total["memory"] / 2))
    assert here.place(half, [(half, ())]) == ()
    assert here.place(half, [(half, ()), (half, ())]) is None
    assert "asks for 1 GPU, this machine has 0" in here.why_impossible(node(gpus=1))


def test_the_limits_of_a_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    without = Machine().total
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert Machine().total == without
    (tmp_path / "cpu.max").write_text("120000 100000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert Machine().total == without | {"CPU": min(1.2, without["CPU"]), "memory": 1000000.0}
    (tmp_path / "memory.current").write_text("990000\n")
    assert machine.memory_is_full()
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert not machine.memory_is_full()


@pytest.mark.parametrize(
    ("address", "environment", "gpus", "expected"),
    [
        (None, {}, "", "local"),
        ("10.0.0.1:6379", {}, "", "ray"),
        (None, {"RAY_ADDRESS": "10.0.0.1:6379"}, "", "ray"),
        (None, {}, "0", "ray"),
    ],
)
def test_auto_is_ray_only_with_an_address_or_a_gpu(
    monkeypatch: pytest.MonkeyPatch, address: str | None, environment: dict[str, str], gpus: str, expected: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)  # other tests of this process may have connected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen_runner("auto", address) == expected
    assert chosen_runner("inline", address) == "inline"
