"""How nodes are run: the backend and the callbacks of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.running.backends.choice import make_backend
from engine.running.graph import Node
from engine.running.progress import LiveLine, NodeTally
from engine.running.slots import Backend
from engine.running.worker import WorkerContext
from engine.storage.files import Storage
from pipelines.ingest.probe_node import limits_of
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from model.training.job import OnProgress


@dataclass(slots=True)
class Runtime:
    """How nodes are run, and the callbacks for progress.

    `runner`: "auto", "local", "ray" or "inline" (see pipelines.stages.run). `live_line`: makes the progress line of a
    stage. `on_training`: takes the name of a training and returns the callback for its progress. `on_note`: gets each
    sentence that the user should read before the run ends.
    """

    storage: Storage
    recipe: Recipe
    runner: str = "auto"
    address: str | None = None
    live_line: Callable[[str], LiveLine] | None = None
    on_training: Callable[[str], OnProgress] | None = None
    on_note: Callable[[str], None] | None = None
    tallies: dict[str, NodeTally] = field(default_factory=dict)  # by node, for nodes that ran a unit or wrote a note
    logs: str = ""  # folder for the output of workers, relative to the data set; '' discards it

    def backend(self, nodes: Mapping[str, Node]) -> Backend:
        context = WorkerContext(
            nodes=dict(nodes),
            dataset=self.storage.url,
            limits=limits_of(self.recipe),
            decode_seconds=self.recipe.ingest.max_seconds,
            web_attempts=self.recipe.run.web_attempts,
        )
        return make_backend(self.runner, context, address=self.address, logs=self.logs)
