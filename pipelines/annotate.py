"""Run nodes over the shards that lack them: the specialists, and whatever else is a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.backends import LocalBackend, RayBackend
from engine.config import Recipe
from engine.errors import ConfigError
from engine.graph import Node, build
from engine.plan import Plan, make_plan
from engine.progress import LiveLine
from engine.runner import Scheduler
from engine.slots import Backend
from engine.storage import Storage
from pipelines.ingest import limits_of
from specialists import CATALOG

MODELS, TRAINED = "models", "training.json"  # the folder of models, and what says of one that it is finished


@dataclass(slots=True)
class Runtime:
    """How nodes are run, in Ray or in this process, and who is told; of a training: whom `hear` gives for its name.

    `tell` is given sentences that a person should read before the run ends.
    """

    storage: Storage
    recipe: Recipe
    runner: str = "ray"
    address: str | None = None
    watch: Callable[[str], LiveLine] | None = None
    hear: Callable[[str], Callable[[dict[str, Any]], None]] | None = None
    tell: Callable[[str], None] | None = None

    def backend(self, nodes: Mapping[str, Node]) -> Backend:
        limits, url, seconds = limits_of(self.recipe), self.storage.url, self.recipe.ingest.max_seconds
        if self.runner == "local":
            return LocalBackend(nodes, url, limits, max_seconds=seconds)
        return RayBackend(nodes, url, limits, address=self.address, max_seconds=seconds)


def annotation_nodes(recipe: Recipe) -> list[Node]:
    annotate = {name: _with_own_model(recipe, name, options) for name, options in recipe.annotate.items()}
    return build(annotate, CATALOG, recipe.run.max_workers)


def _with_own_model(recipe: Recipe, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """`checkpoint: models/NAME` is what `engine train` left in the data set itself."""
    checkpoint = str(options.get("checkpoint", ""))
    if not checkpoint.startswith(f"{MODELS}/"):
        return options
    storage = Storage(recipe.dataset)
    if not storage.exists(f"{checkpoint}/{TRAINED}"):
        raise ConfigError(
            f"annotate.{name} names the checkpoint '{checkpoint}', which '{recipe.dataset}' does not hold: "
            f"make it with 'engine train --set train.name={checkpoint.removeprefix(MODELS + '/')}'."
        )
    return {**options, "checkpoint": storage.path(checkpoint) if storage.local else f"{storage.url}/{checkpoint}"}


def run_nodes(
    runtime: Runtime, stage: str, nodes: Sequence[Node], known: Sequence[Node] = (), *, retry_failed: bool = False
) -> tuple[Plan, LiveLine]:
    """Schedule until nothing is left to do. A backend is started only if there is something."""
    plan = make_plan(runtime.storage, nodes, known, retry_failed=retry_failed)
    line = runtime.watch(stage) if runtime.watch else LiveLine(stage, runtime.recipe.ingest.shard_size, live=False)
    if not any(mask.any() for mask in plan.todo().values()):
        return plan, line
    backend = runtime.backend(plan.known)
    try:
        Scheduler(
            runtime.storage,
            plan,
            backend,
            line,
            limits=limits_of(runtime.recipe),
            max_failures=runtime.recipe.run.max_failures,
            start_timeout_s=runtime.recipe.run.start_timeout_s,
        ).run()
    finally:
        backend.close()
        line.close()
        sweep(runtime.storage, [node for node in nodes if line.tallies.get(node.name, None)])
    return plan, line


def sweep(storage: Storage, nodes: Sequence[Node]) -> None:
    """Remove files that no record names, where this run has worked."""
    from engine.shards import Commits

    for node in nodes:
        Commits(storage, node.folder).sweep()
