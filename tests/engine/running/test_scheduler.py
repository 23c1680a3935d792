"""Which workers the scheduler starts and ends, also on a cluster that other runs use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from engine.running.backends.inline import InlineBackend
from engine.running.graph import Node
from engine.running.slots import Event, Slot
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe, released_ids


class Crowded(InlineBackend):
    """A cluster with room for one worker, which reports more: another run has taken the rest."""

    waited = 0

    def fits(self, node: Node) -> bool:
        return True

    def events(self, timeout: float) -> Sequence[Event]:
        waiting = list(self._starting) if self._workers else []
        self._starting = [slot for slot in self._starting if slot not in waiting]
        events = super().events(timeout)
        self._starting = [*waiting, *self._starting]
        self.waited = 0 if events else self.waited + 1
        assert self.waited < 100, "a worker waits for resources that an idle one holds"
        return events


def test_a_run_ends_its_idle_workers_if_its_next_worker_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.running.scheduler.CROWDED_S", 0.0)
    monkeypatch.setattr("engine.running.backends.choice.InlineBackend", Crowded)
    draw_photos(tmp_path / "photos", 6)

    stages.run(recipe(tmp_path / "set", tmp_path / "photos", {}), runner="inline")

    assert len(released_ids(tmp_path / "set")) == 6


class TwoWorkers(InlineBackend):
    """Has room for two workers. `started`: the nodes of all that were started."""

    started: ClassVar[list[str]] = []

    def fits(self, node: Node) -> bool:
        return len(self._workers) + len(self._starting) < 2

    def start(self, slot: Slot) -> None:
        self.started.append(slot.node.name)
        super().start(slot)


def test_each_node_gets_a_worker_before_one_gets_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.running.backends.choice.InlineBackend", TwoWorkers)
    draw_photos(tmp_path / "photos", 3)
    shards = {"sources": [{"folder": str(tmp_path / "photos")}], "shard_size": 1}
    nodes = {"left": {"use": "faulty"}, "right": {"use": "faulty"}}

    two = recipe(tmp_path / "set", "", {}, ingest=shards, annotate=nodes, run={})
    stages.run(two, stage="ingest", runner="inline")
    TwoWorkers.started.clear()
    stages.run(two, stage="annotate", runner="inline")

    assert TwoWorkers.started[:2] == ["left", "right"]
