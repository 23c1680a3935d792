"""Predicts what a run would do, and why. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.errors import ConfigError
from engine.layout import JUDGE, JUDGE_REGIONS, REPORT, ROUNDS, release_folder
from engine.reading.dataset import CurrentNode
from engine.running.component_source import changed_source
from engine.running.graph import Node
from engine.running.plan import Plan, make_plan
from engine.storage.files import Storage
from engine.storage.listings import read_listing
from engine.storage.removals import require_no_removal
from pipelines.emit.check_recipe import check_release
from pipelines.ingest.header import check_dataset
from pipelines.ingest.list_inputs import CHUNK, preview_listing
from pipelines.ingest.listing_changes import count_changes, state_changes
from pipelines.ingest.probe_node import probe_node
from pipelines.ingest.unreachable import find_unreachable
from pipelines.recipe import Recipe
from pipelines.stages.current import current_nodes
from pipelines.stages.run import NO_SOURCES, makes_report
from pipelines.stages.state import State, read_state, require, require_inputs
from pipelines.training.initial_weights import check_init


@dataclass(frozen=True, slots=True)
class DryRunRow:
    """One node: it would process `todo` of `shards`, for the reason `why`. `folder`: where its output is."""

    node: str
    component: str
    folder: str
    todo: int
    shards: int
    why: str


class DryRun(list[DryRunRow]):
    """One row for each node, in the order in which they would run. str() is the table of `engine run --dry-run`."""

    def __str__(self) -> str:
        from pipelines.stages.summary import render_dry_run

        return render_dry_run(self)


def dry_run(recipe: Recipe, *, stage: str | None = None, retry_failed: bool = False) -> DryRun:
    """What `run` would do, for each node: `print(dry_run(recipe, stage="filter"))`. Writes nothing.

    Only committed shards are counted. How many shards new inputs will fill is not known before they are read.
    """
    storage = Storage(recipe.dataset)
    require_no_removal(storage)
    state = read_state(storage, recipe)
    check_release(recipe, state.annotators)
    rows, new = DryRun(), 0
    if stage in (None, "ingest"):
        row, new = _would_ingest(state, retry_failed)
        rows.append(row)
    else:
        require_inputs(storage)
    rows += _would_annotate_and_filter(state, stage, new, retry_failed)
    if stage in (None, "refine") and not state.rounds.settled(recipe):
        check_init(storage, recipe.train)
        rows.append(_would_refine(state))
    if stage in (None, "emit"):
        rows.append(_would_emit(state, before=any(row.todo for row in rows)))
    if makes_report(recipe, stage):
        rows.append(DryRunRow("report", "analyse", REPORT, 1, 1, "a report is always made again"))
    return rows


def _would_ingest(state: State, retry: bool) -> tuple[DryRunRow, int]:
    """The row of the probe, and the number of new inputs."""
    storage, recipe, probe = state.storage, state.recipe, probe_node(state.recipe)
    check_dataset(storage, recipe)
    new, notes = _would_list(storage, recipe)
    reach = find_unreachable(storage, probe, recipe.run.read_attempts)
    plan = make_plan(storage, [probe], retry_failed=retry, again={probe.name: reach.retry})
    row = _would_probe(storage, plan, probe, new)
    return replace(row, why="; ".join([row.why, *notes, *reach.notes])), new


def _would_annotate_and_filter(state: State, stage: str | None, new: int, retry: bool) -> list[DryRunRow]:
    nodes, storage = state.annotators, state.storage
    judges = [*state.whole_set_nodes, *state.rounds.after_annotation]
    if stage in ("filter", "emit"):
        require(storage, state.before_regions_are_judged if stage == "filter" else [*nodes, *judges], stage)
    filtering = [*state.after_regions_are_judged, *judges]
    group = {None: [*nodes, *judges], "annotate": nodes, "filter": filtering}.get(stage, [])
    if not group:
        return []
    plan = make_plan(storage, group, [node for node in nodes if node not in group], retry_failed=retry)
    rows = _would(storage, plan, group, new)
    if state.whole_set and state.judge in group and plan.todo()[state.whole_set.name].any():
        rows[-1] = _row(state.judge, plan.shards, plan.shards, "reads survey")  # all verdicts depend on the survey
    return rows


def _would_refine(state: State) -> DryRunRow:
    """One row for all rounds together, because each round depends on the result of the round before."""
    refine, done = state.recipe.refine, len(state.rounds.accepted)
    why = f"{refine.folds} students a round, {state.recipe.train.steps} steps each; what is committed of them is reused"
    return DryRunRow("refine", "rounds", ROUNDS, refine.rounds - done, refine.rounds, why)


def _would_list(storage: Storage, recipe: Recipe) -> tuple[int, list[str]]:
    """The number of new inputs, and notes on inputs that changed since they were listed and on files left out."""
    if not recipe.ingest.sources:
        raise ConfigError(NO_SOURCES)
    new, listing = preview_listing(storage, recipe.ingest.sources)
    notes = list(count_changes(state_changes(read_listing(storage), listing)))
    left_out: Counter[str] = Counter()
    for name in listing.looked_at:
        left_out.update(listing.sources[name].left_out)
    if left_out:
        notes.append("left out: " + ", ".join(f"{number} x {reason}" for reason, number in left_out.items()))
    return new, notes


def _would_probe(storage: Storage, plan: Plan, probe: Node, new: int) -> DryRunRow:
    todo = int(plan.todo()[probe.name].sum())
    why = "not finished, or changed" if todo else "up to date"
    if new:
        why = f"{new} new inputs" + (f"; {todo} chunks not finished" if todo else "")
    more = -(-new // CHUNK)
    return _row(probe, todo + more, plan.shards + more, why)


def _would(storage: Storage, plan: Plan, group: Sequence[Node], new: int) -> list[DryRunRow]:
    before = current_nodes(storage)
    todo = plan.todo()
    rows = []
    for node in group:
        count = int(todo[node.name].sum())
        done = int((plan.revisions[node.name] >= 0).sum())
        redone = [name for name in node.inputs if name in todo and todo[name].any()]
        why = _why(node, before, redone, done) if count else ""
        parts = [*([why] if why else []), *(["what the new inputs bring"] if new else [])]
        parts = [*(parts or ["up to date"]), changed_source(storage, node)]
        rows.append(_row(node, count, plan.shards, "; ".join(filter(None, parts))))
    return rows


def _why(node: Node, before: Mapping[str, CurrentNode], redone: Sequence[str], done: int) -> str:
    """Why shards must be processed: the node changed, a node that it reads runs again, or it was not finished."""
    changes = _changes(before[node.name], node) if node.name in before else []
    if redone:
        return "; ".join([*changes, f"reads {', '.join(redone)}"])
    if done:
        return "not finished"
    if node.name in before and before[node.name].key != node.key:
        anything = "rules, or a node it reads," if node.name in (JUDGE, JUDGE_REGIONS) else "options, weights or inputs"
        return f"{'; '.join(changes) or f'{anything} changed'} (was {before[node.name].key[:8]})"
    return "new"


def _changes(before: CurrentNode, node: Node) -> list[str]:
    """How the component differs from the one in current.json.

    The judge is not compared: current.json has no component of it.
    """
    if not before.component:
        return []
    if before.component != node.component:
        return [f"{node.component} in place of {before.component}"]
    if before.version != node.version:
        return [f"version {before.version} of {node.component} is now {node.version}"]
    return [
        f"the {name} of its weights was {old[:8]}, now {node.resolved.get(name, 'none')[:8]}"
        for name, old in before.resolved.items()
        if node.resolved.get(name) != old
    ]


def _would_emit(state: State, *, before: bool) -> DryRunRow:
    """The row of the release. `before`: whether a node that it reads has shards to do."""
    from pipelines.emit.content import accepted_keys, content_key
    from pipelines.emit.emit import altered, existing_manifest

    storage, recipe, now = state.storage, state.recipe, state.rounds
    made_from = [*now.nodes, now.judge]
    content = content_key(storage, made_from, recipe)
    name = recipe.emit.name or f"r-{content[:8]}"
    taken = existing_manifest(storage, release_folder(name))
    if before and not recipe.emit.name:
        name, why = "", "new, named by its content"
    elif taken is None:
        why = "new"
    elif before or taken["content"] not in accepted_keys(storage, made_from, recipe):
        why = "the name is taken: give another with --set emit.name=NAME"
    else:
        why = altered(storage, release_folder(name), taken) or "up to date"
    return DryRunRow("emit", name, release_folder(name), int(why != "up to date"), 1, why)


def _row(node: Node, todo: int, shards: int, why: str) -> DryRunRow:
    return DryRunRow(node.name, node.component, node.folder, todo, shards, why)
