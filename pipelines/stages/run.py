"""The path of the data, stage after stage. Everything here can be called from Python; the command line only prints.

`run` does what is not done yet and nothing else; `pipelines/stages/dry_run.py` tells what that would be.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any
from uuid import uuid4

from engine.errors import ConfigError, StorageError
from engine.layout import CONFUSION, IMAGES, INPUTS, JUDGE, JUDGE_REGIONS, ROUNDS, RUN, RUNS, SURVEY
from engine.reading.release_manifest import Manifest
from engine.running.component_source import changed_source
from engine.running.graph import Node, split_at_judge
from engine.running.interrupts import interruptible
from engine.running.plan import make_plan
from engine.running.progress import LineDrawer, LiveLine, NodeTally
from engine.storage.commits import Commits
from engine.storage.files import Storage
from engine.storage.listings import SourceCounts
from engine.storage.sealed import seal
from model.training.job import OnProgress
from pipelines.annotate.annotate import Runtime, annotation_nodes, run_nodes
from pipelines.emit.pairs import pair_options
from pipelines.filter.judge import judge_node, rules_of
from pipelines.filter.rule_needs import check_rules
from pipelines.filter.whole_set import put_together, survey_node, surveyed_folder
from pipelines.ingest.assign_shards import assign_shards
from pipelines.ingest.header import open_dataset
from pipelines.ingest.label_report import label_report, unused_labels
from pipelines.ingest.list_inputs import list_inputs
from pipelines.ingest.probe_node import probe_node
from pipelines.ingest.source_report import source_report
from pipelines.ingest.unreachable import find_unreachable
from pipelines.recipe import Recipe
from pipelines.refine.rounds import check_options as check_rounds
from pipelines.refine.rounds import run_rounds
from pipelines.refine.standing import Standing, standing
from pipelines.stages.current import forget_damaged_current, settled_before, write_current
from pipelines.training.initial_weights import check_init

STAGES = ("ingest", "annotate", "filter", "refine", "emit")
NO_SOURCES = "The recipe names no images: add ingest.sources, for example '- folder: photos'."
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
    manifest: Manifest | None = None
    notes: list[str] = field(default_factory=list)
    sources: dict[str, SourceCounts] = field(default_factory=dict)  # what each holds and leaves out, of this listing
    logs: str = ""  # where workers left what they printed, if they did


def run(
    recipe: Recipe,
    *,
    stage: str | None = None,
    runner: str = "ray",
    address: str | None = None,
    retry_failed: bool = False,
    watch: Callable[[str], LiveLine] | None = None,
    hear: Callable[[str], OnProgress] | None = None,
    tell: Callable[[str], None] | None = None,
    command: str = "",
    summary: Summary | None = None,
) -> Summary:
    """Run one stage, or all of them. EngineError says in one sentence what stops it; commits stay.

    `summary` is filled as the run goes on: after an error it holds what was done until then.
    """
    nodes = all_nodes(recipe)
    storage = Storage(recipe.dataset)
    summary = summary or Summary("")
    summary.dataset = storage.url
    summary.notes += forget_damaged_current(storage, recipe, stage)
    folder = _new_folder(storage)
    logs = f"{folder}/logs"
    runtime = Runtime(storage, recipe, runner, address, watch, hear, tell, summary.tallies, logs)
    _, judge = judging(storage, recipe, nodes)  # a rule that cannot be is told before anything is made
    pair_options(recipe.emit.pairs)  # and so is a task
    check_rounds(recipe)
    if stage == "refine" and not recipe.refine.rounds:
        raise ConfigError("The recipe asks for no rounds of refinement: add 'refine: {rounds: 2}'.")
    if _refines(stage, recipe, standing(storage, recipe, nodes, judge)):
        check_init(storage, recipe.train)  # hours before a student needs it
    if stage not in (None, "ingest"):
        require_inputs(storage)  # before anything is made in a folder that may be a slip of the pen
    open_dataset(storage, recipe)
    for place in ("", ROUNDS, CONFUSION):  # run_nodes looks after folders of nodes
        storage.sweep_temporaries(place)
    started = time.monotonic()
    error = ""
    try:
        with interruptible():
            _stages(runtime, nodes, stage, retry_failed, summary)
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}"
        raise
    finally:
        summary.seconds = time.monotonic() - started
        if _sweep_logs(storage, logs):
            summary.logs = f"{storage.url}/{logs}"
        _write_run(storage, recipe, summary, stage, command, error, folder)
    return summary


def _stages(runtime: Runtime, nodes: Sequence[Node], stage: str | None, retry: bool, summary: Summary) -> None:
    recipe, storage = runtime.recipe, runtime.storage
    if stage in (None, "ingest"):
        _ingest(runtime, nodes, retry, summary)
    summary.shards = len(Commits(storage, IMAGES).revisions())
    summary.notes += filter(None, (changed_source(storage, node) for node in nodes))
    survey, judge = judging(storage, recipe, nodes)
    now = standing(storage, recipe, nodes, judge)
    surveys = [survey] if survey else []
    seen, written = split_at_judge(nodes)
    if stage == "filter":  # before current.json names nodes that have not answered
        require(storage, seen, stage)
    elif stage == "refine":
        require(storage, [*nodes, *surveys, judge], stage)
    elif stage == "emit":
        require(storage, [*now.nodes, *surveys, now.judge], stage, now.earlier_judges)
    if not settled_before(storage):  # there is no earlier state to keep: the first run can be watched
        write_current(storage, now, recipe, settled=False)
    after = surveys or now.after_annotation  # what can be done shard by shard
    if stage is None:
        run_nodes(runtime, "annotate", [*nodes, *after], retry_failed=retry)
    elif stage == "annotate":
        run_nodes(runtime, "annotate", nodes, retry_failed=retry)
    elif stage == "filter":
        run_nodes(runtime, "filter", [*written, *after], seen)
    if survey and stage in (None, "filter"):
        put_together(storage, survey, recipe)
        _, judge = judging(storage, recipe, nodes)
        now = standing(storage, recipe, nodes, judge)
        run_nodes(runtime, "filter", now.after_annotation, nodes)
    if stage != "ingest":
        write_current(storage, now, recipe)
    if _refines(stage, recipe, now):
        if now.decisions and stage is None:  # the rules of now on what there was before any round
            run_nodes(runtime, "filter", [judge], nodes)
        now = run_rounds(runtime, nodes, judge)
        summary.notes += now.notes
        summary.tallies |= now.tallies
        write_current(storage, now, recipe)
    if stage in (None, "emit"):
        from pipelines.emit.emit import emit

        summary.release, summary.manifest = emit(runtime, now.nodes, now.judge, versions())


def _refines(stage: str | None, recipe: Recipe, now: Standing) -> bool:
    return stage == "refine" or (stage is None and not now.settled(recipe))


def _ingest(runtime: Runtime, nodes: Sequence[Node], retry: bool, summary: Summary) -> None:
    if not runtime.recipe.ingest.sources:
        raise ConfigError(NO_SOURCES)
    node = probe_node(runtime.recipe)
    again = {node.name: find_unreachable(runtime.storage, node, runtime.recipe.run.read_attempts).retry}
    summary.listed = _listed(runtime)
    plan, _ = run_nodes(runtime, "ingest", [node], retry_failed=retry, again=again)
    summary.notes += assign_shards(runtime.storage, runtime.recipe, plan, node)
    found = label_report(runtime.storage, node)
    summary.notes += find_unreachable(runtime.storage, node, runtime.recipe.run.read_attempts).notes
    summary.notes += [*found.notes, *unused_labels(runtime.storage, node, nodes)]
    summary.sources = source_report(runtime.storage, found)


def _listed(runtime: Runtime) -> int:
    line = LineDrawer(live=None if runtime.watch else False)

    def watch(looked: int) -> None:
        line.draw(lambda: [(0, "listing"), (0, f"{looked:,} inputs")])

    try:
        return list_inputs(runtime.storage, runtime.recipe.ingest.sources, watch if runtime.watch else None)
    finally:
        line.close()


def require_inputs(storage: Storage) -> None:
    if not len(Commits(storage, IMAGES).revisions()) and not len(Commits(storage, INPUTS).revisions()):
        raise ConfigError(f"'{storage.url}' holds no images yet: run --stage ingest first, or leave --stage out.")


def require(storage: Storage, nodes: Sequence[Node], stage: str, known: Sequence[Node] = ()) -> None:
    """A stage alone complains, in one sentence, of what it lacks: answers that are missing or out of date."""
    plan = make_plan(storage, nodes, known)
    for name, missing in plan.todo().items():
        if missing.any():
            node = plan.known[name]
            raise ConfigError(
                f"--stage {stage} lacks {int(missing.sum())} of {plan.shards} shards of '{name}' ({node.folder}): "
                f"run --stage {_STAGE_OF.get(name, 'annotate')} first, or leave --stage out."
            )


_STAGE_OF = {JUDGE: "filter", SURVEY: "filter", JUDGE_REGIONS: "filter"}


def all_nodes(recipe: Recipe) -> list[Node]:
    """Whoever annotates."""
    nodes = annotation_nodes(recipe)
    if not any("pixels" in node.needs for node in nodes):
        # Somebody must look at the pixels, or an image that cannot be decoded would be released.
        check = annotation_nodes(recipe.model_copy(update={"annotate": {"decodes": {"use": "decodes"}}}))
        nodes = [*check, *nodes]
    return nodes


def judging(storage: Storage, recipe: Recipe, nodes: Sequence[Node]) -> tuple[Node | None, Node]:
    """The survey, if a rule needs one, and the judge as it is on what is committed now."""
    check_rules(rules_of(recipe), nodes)
    survey = survey_node(recipe, nodes)
    return survey, judge_node(recipe, nodes, surveyed_folder(storage, survey) if survey else "")


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
    summary: Summary,
    stage: str | None,
    command: str,
    error: str,
    folder: str,
) -> None:
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
        "sources": [{"source": name, **counts} for name, counts in summary.sources.items()],
        "notes": summary.notes,
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
    with contextlib.suppress(StorageError, OSError):  # the run's own error is the one to tell
        storage.put(f"{folder}/{RUN}", seal(record))


def _new_folder(storage: Storage) -> str:
    """Where this run leaves its record and what its workers print."""
    numbers = [int(name[:5]) for name in storage.names(RUNS) if name[:5].isdigit()]
    return f"{RUNS}/{1 + max(numbers, default=0):05d}-{uuid4().hex[:6]}"


def _sweep_logs(storage: Storage, folder: str) -> bool:
    """Remove the logs of workers that printed nothing; whether any is left."""
    with contextlib.suppress(StorageError, OSError):
        names = storage.names(folder)
        if storage.local:
            for name in names:
                if not os.path.getsize(storage.path(f"{folder}/{name}")):
                    storage.remove(f"{folder}/{name}")
            if names and not storage.names(folder):
                os.rmdir(storage.path(folder))
        return bool(storage.names(folder))
    return False
