"""The scheduler where others use the cluster too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.running.backends import LocalBackend
from engine.running.graph import Node
from engine.running.slots import Event
from pipelines.stages import run as stages
from tests.runs import draw_photos, recipe, released_ids


class Crowded(LocalBackend):
    """Room for one worker, and a run that believes there is more: others hold the rest."""

    waited = 0

    def fits(self, node: Node) -> bool:
        return True

    def events(self, timeout: float) -> Sequence[Event]:
        waiting = list(self._starting) if self._workers else []
        self._starting = [slot for slot in self._starting if slot not in waiting]
        told = super().events(timeout)
        self._starting = [*waiting, *self._starting]
        self.waited = 0 if told else self.waited + 1
        assert self.waited < 100, "every worker waits for one that idles"
        return told


def test_a_run_gives_back_what_it_holds_idle_where_its_next_worker_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.running.scheduler.CROWDED_S", 0.0)
    monkeypatch.setattr("pipelines.annotate.annotate.LocalBackend", Crowded)
    draw_photos(tmp_path / "photos", 6)

    stages.run(recipe(tmp_path / "set", tmp_path / "photos", {}), runner="local")

    assert len(released_ids(tmp_path / "set")) == 6
