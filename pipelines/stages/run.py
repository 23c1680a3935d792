"""Runs the stages: ingest, annotate, filter, refine, emit, analyse. Committed work is not repeated.

`pipelines/stages/dry_run.py` predicts what `run` would do. Each stage imports its own code, so a short stage starts
quickly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from engine.extras import require
from engine.layout import CONFUSION, IMAGES, ROUNDS
from engine.running.backends.fork_client import import_soon
from engine.running.component_source import changed_source
from engine.running.graph import Node
from engine.running.interrupts import interruptible
from engine.running.progress import LineDrawer, LiveLine, NodeTally
from engine.storage.commits import Commits
from engine.storage.files import Storage
from engine.storage.going import RUN_KIND, going
from engine.storage.listings import SourceCounts, source_counts
from engine.storage.removals import unfinished_removals
from pipelines.analyse import MODULES
from pipelines.annotate.run_nodes import run_nodes
from pipelines.annotate.runtime import Runtime
from pipelines.emit.check_recipe import check_release
from pipelines.ingest.header import open_dataset
from pipelines.recipe import Recipe
from pipelines.stages.current import forget_damaged_current, settled_before, write_current
from pipelines.stages.run_record import new_run_folder, remove_empty_logs, versions, write_run_record
from pipelines.stages.state import State, read_state, require_inputs
from pipelines.stages.state import require as require_shards
from specialists import CATALOG

if TYPE_CHECKING:
    from engine.reading.release_manifest import Manifest
    from model.training.job import OnProgress
    from pipelines.refine.standing import Standing

STAGES = ("ingest", "annotate", "filter", "refine", "emit", "analyse")
NO_SOURCES = "The recipe names no images: add ingest.sources, for example '- folder: photos'."


@dataclass(slots=True)
class Summary:
    """What one run did. str() is the text that `engine run` prints at its end."""

    dataset: str
    seconds: float = 0.0
    listed: int = 0  # new inputs
    shards: int = 0
    tallies: dict[str, NodeTally] = field(default_factory=dict)
    release: str = ""
    report: str = ""  # the page that the stage analyse wrote
    manifest: Manifest | None = None
    notes: list[str] = field(default_factory=list)
    sources: dict[str, SourceCounts] = field(default_factory=dict)  # inputs by source: listed and left out
    logs: str = ""  # folder of what the workers printed; '' if they printed nothing

    def __str__(self) -> str:
        from pipelines.stages.summary import render_summary

        return render_summary(self)


def run(
    recipe: Recipe,
    *,
    stage: str | None = None,
    runner: str = "auto",
    address: str | None = None,
    retry_failed: bool = False,
    live_line: Callable[[str], LiveLine] | None = None,
    on_training: Callable[[str], OnProgress] | None = None,
    on_note: Callable[[str], None] | None = None,
    command: str = "",
    summary: Summary | None = None,
) -> Summary:
    """Runs one stage, or all stages: `run(recipe, stage="filter")`. After an EngineError, committed work is kept.

    `runner`: where workers run: "local" (processes of this machine), "ray", "inline" (one worker, in this process, for
    a debugger), or "auto": Ray if there is an address of a cluster, a connection to one, or a GPU; otherwise "local".
    `address`: the address of a Ray cluster; with None, "ray" starts a private one. `retry_failed`: whether to repeat
    work that was committed as failed. `live_line`: makes the progress line of a stage. `on_training`: makes the
    callback for the progress of a student's training. `on_note`: gets each sentence that the user should read before
    the run ends. `command`: stored in the run's record. `summary`: is filled.
    """
    storage = Storage(recipe.dataset)
    summary = summary or Summary("")
    summary.dataset = storage.url
    summary.notes += forget_damaged_current(storage, recipe, stage)
    logs = f"{new_run_folder(storage)}/logs"
    runtime = Runtime(storage, recipe, runner, address, live_line, on_training, on_note, summary.tallies, logs)
    if stage in (None, "annotate") and not settled_before(storage):  # otherwise there may be nothing to annotate
        import_soon(CATALOG[use] for node in recipe.annotate.values() if (use := node.get("use")) in CATALOG)
    state = _prepare(storage, recipe, stage)
    if unfinished_removals(storage):
        from pipelines.removal.complete import complete_removals

        complete_removals(storage)
        summary.notes.append("A removal of images that had been killed was completed first.")
        state = state.renewed()
    with going(storage, RUN_KIND), _recorded(runtime, summary, stage, command):
        _run_stages(runtime, state, stage, retry_failed, summary)
    return summary


@contextmanager
def _recorded(runtime: Runtime, summary: Summary, stage: str | None, command: str) -> Iterator[None]:
    """A context that can be interrupted, and that ends with the record of the run, also after an error."""
    storage, logs = runtime.storage, runtime.logs
    folder, started, error = logs.rpartition("/")[0], time.monotonic(), ""
    try:
        with interruptible():
            yield
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}".removesuffix(": ")  # an interruption has no text
        raise
    finally:
        summary.seconds = time.monotonic() - started
        summary.logs = f"{storage.url}/{logs}" if remove_empty_logs(storage, logs) else ""
        write_run_record(storage, runtime.recipe, summary, folder=folder, stage=stage, command=command, error=error)


def _prepare(storage: Storage, recipe: Recipe, stage: str | None) -> State:
    """Checks the recipe before anything is written, then opens the data set."""
    if makes_report(recipe, stage):
        require("The report", MODULES, extra="report")
    state = read_state(storage, recipe)
    check_release(recipe, state.annotators)
    if stage == "refine" and not recipe.refine.rounds:
        raise ConfigError("The recipe asks for no rounds of refinement: add 'refine: {rounds: 2}'.")
    if state.needs_rounds(stage):
        from pipelines.training.initial_weights import check_init

        check_init(storage, recipe.train)  # checked here, because the error would otherwise come hours later
    if stage not in (None, "ingest"):
        require_inputs(storage)  # raises before anything is created in a mistyped path
    open_dataset(storage, recipe)
    for folder in ("", ROUNDS, CONFUSION):  # `run_nodes` sweeps the folders of nodes
        storage.sweep_temporaries(folder)
    return state


def _run_stages(runtime: Runtime, state: State, stage: str | None, retry: bool, summary: Summary) -> None:
    storage = runtime.storage
    if stage == "analyse":
        _analyse(runtime, summary)
        return
    if stage in (None, "ingest"):
        _ingest(runtime, state, retry, summary)
        state = state.renewed()
    summary.shards = len(Commits(storage, IMAGES).revisions())
    summary.notes += filter(None, (changed_source(storage, node) for node in state.annotators))
    _require_earlier_stages(state, stage)
    if not settled_before(storage):  # then there is no earlier state to keep, and readers can watch the first run
        write_current(storage, state.rounds, runtime.recipe, settled=False)
    state = _annotate_and_filter(runtime, state, stage, retry)
    if stage != "ingest":
        write_current(storage, state.rounds, runtime.recipe)
    now = state.rounds
    if state.needs_rounds(stage):
        now = _refine(runtime, state, stage, summary)
    if stage in (None, "emit"):
        from pipelines.emit.emit import emit

        summary.release, summary.manifest = emit(runtime, now.nodes, now.judge, versions())
    if makes_report(runtime.recipe, stage):
        _analyse(runtime, summary)


def makes_report(recipe: Recipe, stage: str | None) -> bool:
    """Whether a run of this stage, or of all (None), ends with a report."""
    return stage == "analyse" or (stage is None and recipe.analyse.every_run)


def _analyse(runtime: Runtime, summary: Summary) -> None:
    from engine.reading.dataset import Dataset
    from pipelines.analyse.progress_line import report_line
    from pipelines.analyse.report import report

    options = runtime.recipe.analyse
    with report_line() as on_step:
        made = report(
            Dataset.open(runtime.storage.url), compare=options.compare, images=options.images, on_step=on_step
        )
    summary.report = made.page


def _require_earlier_stages(state: State, stage: str | None) -> None:
    """Raises ConfigError if an earlier stage is incomplete.

    This comes before current.json refers to that stage's nodes.
    """
    if stage == "filter":
        require_shards(state.storage, state.before_regions_are_judged, stage)
    elif stage == "refine":
        require_shards(state.storage, [*state.annotators, *state.whole_set_nodes, state.judge], stage)
    elif stage == "emit":
        now = state.rounds
        require_shards(state.storage, [*now.nodes, *state.whole_set_nodes, now.judge], stage, now.earlier_judges)


def _annotate_and_filter(runtime: Runtime, state: State, stage: str | None, retry: bool) -> State:
    """Runs the stages annotate and filter. Returns the new state, because the judge depends on the whole-set pass."""
    if stage == "annotate":
        run_nodes(runtime, "annotate", state.annotators, retry_failed=retry)
    if stage not in (None, "filter"):
        return state
    judging = state.whole_set_nodes or state.rounds.after_annotation  # nodes that need no other shards
    if stage is None:
        run_nodes(runtime, "annotate", [*state.annotators, *judging], retry_failed=retry)
    else:
        done = state.before_regions_are_judged
        run_nodes(runtime, "filter", [*state.after_regions_are_judged, *judging], done)
    if state.whole_set:
        _combine(runtime, state.whole_set)
        state = state.renewed()
        run_nodes(runtime, "filter", state.rounds.after_annotation, state.annotators)
    return state


def _combine(runtime: Runtime, whole_set: Node) -> None:
    """Combines what all shards contribute, with a progress line, because comparing embeddings may take hours."""
    from pipelines.filter.whole_set import combine

    line = LineDrawer(live=None if runtime.live_line else False)

    def on_progress(share: float) -> None:
        line.draw(lambda: [(0, "filter"), (0, f"comparing embeddings {share:.0%}")])

    try:
        combine(runtime.storage, whole_set, runtime.recipe, on_progress if runtime.live_line else None)
    finally:
        line.close()


def _refine(runtime: Runtime, state: State, stage: str | None, summary: Summary) -> Standing:
    from pipelines.refine.rounds import run_rounds

    if state.rounds.decisions and stage is None:  # judges the annotations before the first round
        run_nodes(runtime, "filter", [state.judge], state.annotators)
    now = run_rounds(runtime, state.annotators, state.judge)
    summary.notes += now.notes
    summary.tallies |= now.tallies
    write_current(state.storage, now, state.recipe)
    return now


def _ingest(runtime: Runtime, state: State, retry: bool, summary: Summary) -> None:
    from pipelines.ingest.assign_shards import assign_shards
    from pipelines.ingest.label_report import label_report, unused_labels
    from pipelines.ingest.probe_node import probe_node
    from pipelines.ingest.unreachable import find_unreachable
    from pipelines.removal.new_inputs import hide_removed, without_removed

    recipe, storage = runtime.recipe, runtime.storage
    if not recipe.ingest.sources:
        raise ConfigError(NO_SOURCES)
    node = without_removed(storage, probe_node(recipe))
    again = {node.name: find_unreachable(storage, node, recipe.run.read_attempts).retry}
    summary.listed = _list_inputs(runtime)
    plan, _ = run_nodes(runtime, "ingest", [node], retry_failed=retry, again=again)
    summary.notes += hide_removed(storage, node)
    summary.notes += assign_shards(storage, recipe, plan, node)
    found = label_report(storage, node)
    summary.notes += find_unreachable(storage, node, recipe.run.read_attempts).notes
    summary.notes += [*found.notes, *unused_labels(storage, node, state.annotators)]
    summary.sources = source_counts(storage, found.left_out)


def _list_inputs(runtime: Runtime) -> int:
    """Lists the inputs of all sources, with a progress line. Returns the number of new inputs."""
    from pipelines.ingest.list_inputs import list_inputs

    line = LineDrawer(live=None if runtime.live_line else False)

    def on_listed(count: int) -> None:
        line.draw(lambda: [(0, "listing"), (0, f"{count:,} inputs")])

    try:
        return list_inputs(runtime.storage, runtime.recipe.ingest.sources, on_listed if runtime.live_line else None)
    finally:
        line.close()
