"""What a run would do, and why, without doing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import ConfigError
from engine.layout import JUDGE, JUDGE_REGIONS, ROUNDS, release_folder
from engine.reading.dataset import CurrentNode
from engine.running.component_source import changed_source
from engine.running.graph import Node, split_at_judge
from engine.running.plan import Plan, make_plan
from engine.storage.files import Storage
from engine.storage.listings import read_listing
from pipelines.ingest.header import check_dataset
from pipelines.ingest.list_inputs import CHUNK, preview_listing
from pipelines.ingest.listing_changes import count_changes, state_changes
from pipelines.ingest.probe_node import probe_node
from pipelines.ingest.unreachable import find_unreachable
from pipelines.recipe import Recipe
from pipelines.refine.standing import Standing, standing
from pipelines.stages.current import current_nodes
from pipelines.stages.run import NO_SOURCES, all_nodes, judging, require, require_inputs
from pipelines.training.initial_weights import check_init


def dry_run(recipe: Recipe, *, stage: str | None = None, retry_failed: bool = False) -> list[dict[str, Any]]:
    """Per node: shards to do and why, without doing anything. Nothing is written, not even current.json.

    `todo` counts committed shards alone: how many more the new inputs will make is not known before they are read.
    """
    nodes = all_nodes(recipe)
    storage = Storage(recipe.dataset)
    survey, judge = judging(storage, recipe, nodes)
    now = standing(storage, recipe, nodes, judge)
    judges = [*([survey] if survey else []), *now.after_annotation]
    probe = probe_node(recipe)
    rows: list[dict[str, Any]] = []
    new = 0
    if stage in (None, "ingest"):
        check_dataset(storage, recipe)
        new, told = _would_list(storage, recipe)
        reach = find_unreachable(storage, probe, recipe.run.read_attempts)
        plan = make_plan(storage, [probe], retry_failed=retry_failed, again={probe.name: reach.retry})
        row = _would_probe(storage, plan, probe, new)
        told = [*told, *reach.notes]
        rows.append(row | {"why": "; ".join([row["why"], *told])})
    else:
        require_inputs(storage)
    seen, written = split_at_judge(nodes)
    group = {None: [*nodes, *judges], "annotate": nodes, "filter": [*written, *judges]}.get(stage, [])
    if stage in ("filter", "emit"):
        require(storage, seen if stage == "filter" else [*nodes, *judges], stage)
    if group:
        plan = make_plan(storage, group, [node for node in nodes if node not in group], retry_failed=retry_failed)
        rows += _would(storage, plan, group, new)
        if survey and judge in group and plan.todo()[survey.name].any():  # whose numbers every verdict hangs on
            rows[-1] = _row(judge, plan.shards, plan.shards, "reads survey")
    if stage in (None, "refine") and not now.settled(recipe):
        check_init(storage, recipe.train)
        rows.append(_would_refine(recipe, now))
    if stage in (None, "emit"):
        rows.append(_would_emit(storage, recipe, now.nodes, now.judge, any(row["todo"] for row in rows)))
    return rows


def _would_refine(recipe: Recipe, now: Standing) -> dict[str, Any]:
    """One line for all rounds: what a later one does hangs on what an earlier one finds."""
    rounds, done = recipe.refine.rounds, len(now.accepted)
    why = f"{recipe.refine.folds} students a round, {recipe.train.steps} steps each; what is committed of them is found"
    row = {"node": "refine", "component": "rounds", "folder": ROUNDS, "todo": rounds - done, "shards": rounds}
    return row | {"why": why}


def _would_list(storage: Storage, recipe: Recipe) -> tuple[int, list[str]]:
    """How many new inputs the sources have; what became of those listed before, and what is left out."""
    if not recipe.ingest.sources:
        raise ConfigError(NO_SOURCES)
    new, listing = preview_listing(storage, recipe.ingest.sources)
    told = list(count_changes(state_changes(read_listing(storage), listing)))
    left_out: Counter[str] = Counter()
    for name in listing.looked_at:
        left_out.update(listing.sources[name].left_out)
    if left_out:
        told.append("left out: " + ", ".join(f"{number} x {reason}" for reason, number in left_out.items()))
    return new, told


def _would_probe(storage: Storage, plan: Plan, probe: Node, new: int) -> dict[str, Any]:
    todo = int(plan.todo()[probe.name].sum())
    why = "not finished, or changed" if todo else "up to date"
    if new:
        why = f"{new} new inputs" + (f"; {todo} chunks not finished" if todo else "")
    more = -(-new // CHUNK)
    return _row(probe, todo + more, plan.shards + more, why)


def _would(storage: Storage, plan: Plan, group: Sequence[Node], new: int) -> list[dict[str, Any]]:
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
    """Why shards are to do: it was changed itself, it reads what is redone, or it was never finished."""
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
    """What current.json can tell of a node that was changed. The judge has no component and no inputs there."""
    if not before.component:
        return []
    if before.component != node.component:
        return [f"{node.component} in place of {before.component}"]
    if before.version != node.version:
        return [f"version {before.version} of {node.component} is now {node.version}"]
    return []


def _would_emit(storage: Storage, recipe: Recipe, nodes: Sequence[Node], judge: Node, before: bool) -> dict[str, Any]:
    """One line for the release, which is made whole or not at all. `before`: something it reads is to do."""
    from pipelines.emit.emit import altered, content_key, existing_manifest

    content = content_key(storage, [*nodes, judge], recipe)
    name = recipe.emit.name or f"r-{content[:8]}"
    taken = existing_manifest(storage, release_folder(name))
    if before and not recipe.emit.name:
        name, why = "", "new, named by its content"
    elif taken is None:
        why = "new"
    elif before or taken["content"] != content:
        why = "the name is taken: give another with --set emit.name=NAME"
    else:
        why = altered(storage, release_folder(name), taken) or "up to date"
    todo = int(why != "up to date")
    return {"node": "emit", "component": name, "folder": release_folder(name), "todo": todo, "shards": 1, "why": why}


def _row(node: Node, todo: int, shards: int, why: str) -> dict[str, Any]:
    place = {"node": node.name, "component": node.component, "folder": node.folder}
    return {**place, "todo": todo, "shards": shards, "why": why}
