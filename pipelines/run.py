"""The path of the data, stage after stage. Everything here can be called from Python; the command line only prints.

`run` does what is not done yet and nothing else; `dry_run` says what that would be.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any
from uuid import uuid4

from engine.config import Recipe
from engine.errors import ConfigError
from engine.graph import IMAGES, Node
from engine.progress import LiveLine, NodeTally
from engine.runner import Plan, make_plan
from engine.schema import SCHEMA_VERSION
from engine.shards import Commits
from engine.storage import Storage
from pipelines.annotate import Runtime, annotation_nodes, run_nodes
from pipelines.filter import judge_node, record_columns
from pipelines.ingest import list_inputs, open_dataset, place_images, probe_node

STAGES = ("ingest", "annotate", "filter", "emit")
PACKAGES = ("ray", "pyarrow", "duckdb", "numpy", "pillow", "opencv-python-headless", "onnxruntime", "rapidocr", "spacy")


@dataclass(slots=True)
class Summary:
    """What one run did."""

    dataset: str
    seconds: float = 0.0
    listed: int = 0
    shards: int = 0
    tallies: dict[str, NodeTally] = field(default_factory=dict)
    release: str = ""
    manifest: dict[str, Any] = field(default_factory=dict)


def run(
    recipe: Recipe,
    *,
    stage: str | None = None,
    runner: str = "ray",
    address: str | None = None,
    retry_failed: bool = False,
    watch: Callable[[str], LiveLine] | None = None,
    command: str = "",
) -> Summary:
    """Run one stage, or all of them. EngineError says in one sentence what stops it; commits stay."""
    nodes, judge = all_nodes(recipe)
    storage = Storage(recipe.dataset)
    runtime = Runtime(storage, recipe, runner, address, watch)
    open_dataset(storage, recipe)
    summary = Summary(storage.url)
    started = time.monotonic()
    error = ""
    try:
        _stages(runtime, nodes, judge, stage, retry_failed, summary)
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}"
        raise
    finally:
        summary.seconds = time.monotonic() - started
        _write_run(storage, recipe, [*nodes, judge], summary, stage, command, error)
    return summary


def _stages(
    runtime: Runtime, nodes: Sequence[Node], judge: Node, stage: str | None, retry: bool, summary: Summary
) -> None:
    recipe, storage = runtime.recipe, runtime.storage
    if stage in (None, "ingest"):
        _ingest(runtime, retry, summary)
    summary.shards = len(Commits(storage, IMAGES).revisions())
    if stage != "ingest" and not summary.shards and not Commits(storage, "inputs").revisions().size:
        raise ConfigError(f"'{storage.url}' holds no images yet: run --stage ingest first, or leave --stage out.")
    write_current(storage, nodes, judge, probe_node(recipe))
    if stage is None:
        _tally(summary, run_nodes(runtime, "annotate", [*nodes, judge], retry_failed=retry))
    elif stage == "annotate":
        _tally(summary, run_nodes(runtime, "annotate", nodes, retry_failed=retry))
    elif stage == "filter":
        require(storage, nodes, "filter", "annotate")
        _tally(summary, run_nodes(runtime, "filter", [judge], nodes))
    if stage in (None, "emit"):
        require(storage, [*nodes, judge], "emit", "filter")
        from pipelines.emit import emit

        info = {"versions": versions()}
        summary.release, summary.manifest = emit(runtime, nodes, judge, info)


def _ingest(runtime: Runtime, retry: bool, summary: Summary) -> None:
    if not runtime.recipe.ingest.sources:
        raise ConfigError("The recipe names no images: add ingest.sources, for example '- folder: photos'.")
    node = probe_node(runtime.recipe)
    summary.listed = list_inputs(runtime.storage, runtime.recipe.ingest.sources)
    plan, line = run_nodes(runtime, "ingest", [node], retry_failed=retry)
    _tally(summary, (plan, line))
    place_images(runtime.storage, runtime.recipe, plan, node)


def _tally(summary: Summary, done: tuple[Plan, LiveLine]) -> None:
    summary.tallies.update(done[1].tallies)


def require(storage: Storage, nodes: Sequence[Node], stage: str, before: str) -> None:
    """A stage alone complains, in one sentence, of what it lacks."""
    shards = len(Commits(storage, IMAGES).revisions())
    for node in nodes:
        missing = int((Commits(storage, node.folder).revisions(shards) < 0).sum())
        if missing:
            raise ConfigError(
                f"--stage {stage} lacks {missing} of {shards} shards of '{node.name}' ({node.folder}): "
                f"run --stage {before} first, or leave --stage out."
            )


def all_nodes(recipe: Recipe) -> tuple[list[Node], Node]:
    nodes = annotation_nodes(recipe)
    if not any("pixels" in node.needs for node in nodes):
        # Somebody must look at the pixels, or an image that cannot be decoded would be released.
        check = annotation_nodes(recipe.model_copy(update={"annotate": {"decodes": {"use": "decodes"}}}))
        nodes = [*check, *nodes]
    return nodes, judge_node(recipe, nodes)


def write_current(storage: Storage, nodes: Sequence[Node], judge: Node, probe: Node) -> None:
    """current.json: which nodes make up the data set now, for everything that reads it back."""
    described = [
        {
            "name": node.name,
            "key": node.key,
            "folder": node.folder,
            "component": node.component,
            "version": node.version,
            "deterministic": node.deterministic,
            "over": node.over,
            "needs": list(node.needs),
            "gives": list(node.gives),
            "inputs": list(node.inputs),
            "columns": record_columns(node, nodes) if node.over == "images" else [],
        }
        for node in nodes
    ]
    current = {
        "schema_version": SCHEMA_VERSION,
        "nodes": described,
        "judge": {"folder": judge.folder, "key": judge.key},
        "probe": {"folder": probe.folder},
    }
    data = json.dumps(current, indent=1).encode()
    if not storage.exists("current.json") or storage.read("current.json") != data:
        storage.put("current.json", data)


# --- what would be done ----------------------------------------------------------------------


def dry_run(recipe: Recipe, *, stage: str | None = None, retry_failed: bool = False) -> list[dict[str, Any]]:
    """Per node: shards to do and why, without doing anything. Nothing is written, not even current.json."""
    nodes, judge = all_nodes(recipe)
    storage = Storage(recipe.dataset)
    probe = probe_node(recipe)
    chosen = {"ingest": [probe], "annotate": nodes, "filter": [judge], "emit": []}.get(
        stage or "", [probe, *nodes, judge]
    )
    answer = []
    for group in ([node for node in chosen if node is probe], [node for node in chosen if node is not probe]):
        if not group:
            continue
        plan = make_plan(storage, group, [node for node in nodes if node not in group], retry_failed=retry_failed)
        todo = plan.todo()
        answer += [_would(storage, plan, node, int(todo[node.name].sum())) for node in group]
    return answer


def _would(storage: Storage, plan: Plan, node: Node, todo: int) -> dict[str, Any]:
    earlier = [key for key in storage.names(node.name) if key != node.key[:8] and "." not in key]
    done = int((plan.revisions[node.name] >= 0).sum())
    if not todo:
        why = "up to date"
    elif not done and earlier:
        why = f"options, version or inputs changed (was {', '.join(earlier)})"
    elif not done:
        why = "new"
    else:
        why = "not finished"
    return {"node": node.name, "component": node.component, "folder": node.folder, "todo": todo, "shards": plan.shards, "why": why}


# --- the record of a run ---------------------------------------------------------------------


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _write_run(
    storage: Storage,
    recipe: Recipe,
    nodes: Sequence[Node],
    summary: Summary,
    stage: str | None,
    command: str,
    error: str,
) -> None:
    number = 1 + max((int(name.split("-")[0]) for name in storage.names("runs") if name[0].isdigit()), default=0)
    record: Mapping[str, Any] = {
        "command": command,
        "stage": stage or "all",
        "recipe": json.dumps(recipe.model_dump(mode="json"), sort_keys=True),
        "versions": json.dumps(versions(), sort_keys=True),
        "host": platform.node(),
        "seconds": round(summary.seconds, 3),
        "listed": summary.listed,
        "shards": summary.shards,
        "error": error,
        "release": summary.release,
        "nodes": [
            {
                "node": name,
                "units": tally.units,
                "items": tally.items,
                "failed": tally.failed,
                "skipped": tally.skipped,
                "worker_seconds": round(tally.seconds, 3),
                "lost_races": tally.lost_races,
                "notes": tally.notes[:200],
            }
            for name, tally in summary.tallies.items()
        ],
    }
    import contextlib

    from engine.errors import StorageError

    with contextlib.suppress(StorageError, OSError):  # the run's own error is the one to tell
        storage.put(f"runs/{number:05d}-{uuid4().hex[:6]}/run.json", json.dumps(record, indent=1).encode())
