"""Nodes, which are configured components, and the graph that shows which node reads which.

The graph follows from what nodes need and give. If a node `replaces` a resource, it reads the resource and gives it
again. The record then has the output of this node instead of the output that it read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.component import RESOURCES
from engine.config.catalog import defaults_of
from engine.errors import ConfigError
from engine.keys import RUN_OPTIONS, node_key
from engine.layout import IMAGES, JUDGE_REGIONS
from engine.licences import ENGINE, NO_WEIGHTS
from engine.records.embeddings import EMBEDDINGS
from engine.records.selection import Where
from engine.running.draft import Draft, make_draft

KEPT_REGIONS = "kept_regions"


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker of a node takes, and its batch size. `memory`: bytes. `max_workers`: 0 for as many as fit."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    batch_size: int = 16
    timeout_s: float = 120.0
    max_workers: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One configured component. `inputs`: {node name: resources that it reads}. Images need not be listed."""

    name: str
    target: str  # "module:Name"
    options: Mapping[str, Any]
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    key: str
    inputs: Mapping[str, tuple[str, ...]]
    over: str = "images"  # the kind of work in a unit: images | texts | entries | shard
    base: str = IMAGES  # the folder whose shards it works on: images or inputs
    replaces: tuple[str, ...] = ()
    deterministic: bool = True
    resources: Resources = Resources()
    component: str = ""
    version: int = 1
    score_names: tuple[str, ...] | None = None  # names of the image scores it gives; None: not declared
    stands_for: str = ""  # the node whose answers it replaces in the record
    place: str = ""  # the folder above its answers; '' stands for the node's name
    code_licence: str = ENGINE
    weights_licence: str = NO_WEIGHTS
    resolved: Mapping[str, str] = field(default_factory=dict)  # values found for its options, such as a commit
    where: Where | None = None  # limits it to some images

    @property
    def folder(self) -> str:
        return f"{self.place or self.name}/{self.key[:8]}"

    @property
    def own_code(self) -> bool:
        """Whether the component is the user's own: the recipe gives "module:Name", not a name of the catalog."""
        return self.component == self.target

    @property
    def sample_inputs(self) -> Mapping[str, tuple[str, ...]]:
        """{node name: resources} that the component itself gets.

        The other resources in `inputs` are only for `where`.
        """
        return self.inputs if self.where is None else self.where.sample_inputs

    @property
    def reads_labels(self) -> bool:
        return bool({"labels", "scene"} & set(self.needs))


def build(
    annotate: Mapping[str, Mapping[str, Any]],
    catalog: Mapping[str, str],
    max_workers: int = 0,
    judge_regions: Callable[[Sequence[Node]], Node] | None = None,
) -> list[Node]:
    """The nodes of a recipe's `annotate` section. Each comes after the nodes that it reads.

    `judge_regions`: makes the node that judges regions, given the nodes before it. It is called only if a node needs
    kept_regions. If it is None, such a node gets all regions.
    """
    drafts = [make_draft(name, dict(options), catalog) for name, options in annotate.items()]
    drafts = _expand_each(drafts)
    for draft in drafts:
        draft.inputs = _inputs_of(draft, drafts, draft.needs, draft.uses)
        draft.where_reads = _inputs_of(draft, drafts, draft.where_needs)
    ordered = _in_order(drafts)
    later = _reading_kept(ordered) if judge_regions else set[str]()
    nodes: dict[str, Node] = {}
    for draft in sorted(ordered, key=lambda draft: draft.name in later):  # stable
        if draft.name in later and JUDGE_REGIONS not in nodes and judge_regions:
            nodes[JUDGE_REGIONS] = judge_regions(list(nodes.values()))
        if JUDGE_REGIONS in nodes and _needs_kept(draft):
            draft.inputs[JUDGE_REGIONS] = (KEPT_REGIONS,)
        nodes[draft.name] = _finish(draft, nodes, max_workers)
    return list(nodes.values())


def _needs_kept(draft: Draft) -> bool:
    return KEPT_REGIONS in draft.needs


def _reading_kept(ordered: Sequence[Draft]) -> set[str]:
    """The names of the nodes that need kept_regions, and of all nodes that read from them."""
    found = set[str]()
    for draft in ordered:
        if _needs_kept(draft) or found & set(draft.all_inputs):
            found.add(draft.name)
    return found


def _expand_each(drafts: list[Draft]) -> list[Draft]:
    """Replace a component that declares `each`, a resource, by one node for each node that gives this resource."""
    answer: list[Draft] = []
    for draft in drafts:
        kind = getattr(draft.component, "each", "")
        givers = [other.name for other in drafts if kind and kind in other.gives]
        if not kind or not givers:
            answer.append(draft)
            continue
        for giver in givers:
            copy = replace(draft, name=f"{draft.name}-{giver}", only=giver, inputs={})
            answer.append(copy)
    return answer


def _inputs_of(
    draft: Draft, drafts: Sequence[Draft], needs: Sequence[str], uses: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The nodes that give what `draft` needs or uses, with the resources that it reads from each.

    Raises ConfigError if no node gives a resource that it needs.
    """
    found: dict[str, list[str]] = {}
    needed = ["regions" if kind == KEPT_REGIONS else kind for kind in needs]
    for kind in (*needed, *uses):
        if kind in ("pixels", "labels", "scene"):
            continue
        givers = [
            other.name
            for other in drafts
            if kind in other.gives and other.name != draft.name and draft.only in ("", other.name)
        ]
        if not givers and kind in needed:
            raise ConfigError(_unmet(draft, kind))
        if kind == EMBEDDINGS and len(givers) > 1:
            raise ConfigError(
                f"{draft.place} needs embeddings, but {' and '.join(givers)} give some: it can read those of one node, "
                "so put the other into a recipe of its own."
            )
        for giver in givers:
            kinds = found.setdefault(giver, [])
            kinds += [kind] if kind not in kinds else []
    return {name: tuple(kinds) for name, kinds in found.items()}


def _unmet(draft: Draft, kind: str) -> str:
    hint = {
        "regions": "add a node that gives them, such as 'objects: {use: consensus}'",
        "boxes": "add a detector, such as 'ssd: {use: ssd_mobilenet}', or 'human: {use: human}'",
        "texts": "add a node that gives them, such as 'captions: {use: composer}'",
        "parse": "add 'parse: {use: spacy_parse}'",
    }.get(kind, "add a node that gives them")
    return f"{draft.place} needs {kind}, which no node gives: {hint}."


def _in_order(drafts: Sequence[Draft]) -> list[Draft]:
    waiting, done, answer = list(drafts), set[str](), list[Draft]()
    while waiting:
        ready = [draft for draft in waiting if set(draft.all_inputs) <= done]
        if not ready:
            names = " and ".join(sorted(draft.name for draft in waiting))
            raise ConfigError(f"The nodes {names} need each other's output: remove one of them.")
        answer += ready
        done |= {draft.name for draft in ready}
        waiting = [draft for draft in waiting if draft.name not in done]
    return answer


def _finish(draft: Draft, nodes: Mapping[str, Node], max_workers: int) -> Node:
    instance, component = draft.instance, draft.component
    settings = {name: getattr(instance, name) for name in RUN_OPTIONS if getattr(instance, name, None) is not None}
    resources = Resources(**{name: type(getattr(Resources(), name))(value) for name, value in settings.items()})
    if max_workers and (resources.max_workers == 0 or resources.max_workers > max_workers):
        resources = Resources(**(settings | {"max_workers": max_workers}))
    _check_resources(draft, resources)
    key = node_key(
        vars(component).get("key_name", draft.target),  # not inherited: a subclass is a different component
        component.version,
        _plain(draft.options),
        _plain(defaults_of(component)),
        tuple(getattr(instance, "weights", ()) or ())
        if not isinstance(getattr(instance, "weights", ()), str)
        else (instance.weights,),
        {name: nodes[name].key for name in draft.all_inputs},
        {"sql": draft.where_sql, "reads": draft.where_reads} if draft.where_sql else None,
    )
    return Node(
        name=draft.name,
        target=draft.target,
        options=draft.options,
        needs=draft.needs,
        gives=draft.gives,
        key=key,
        inputs=draft.all_inputs,
        over="texts" if draft.gives == ("parse",) else "images",
        replaces=tuple(getattr(component, "replaces", ())),
        deterministic=bool(component.deterministic),
        resources=resources,
        component=draft.use,
        score_names=_score_names(draft.instance),
        version=component.version,
        code_licence=draft.licences[0],
        weights_licence=draft.licences[1],
        resolved=draft.resolved,
        where=Where(draft.where_sql, draft.where_reads, draft.inputs) if draft.where_sql else None,
    )


def _score_names(instance: Any) -> tuple[str, ...] | None:
    names = getattr(instance, "score_names", None)
    return None if names is None else tuple(names)


def _check_resources(draft: Draft, found: Resources) -> None:
    """Raise ConfigError for the first resource setting of a worker that is out of range."""
    expected = {
        "batch_size": (found.batch_size >= 1, "1 or more"),
        "timeout_s": (found.timeout_s > 0, "more than 0"),
        "gpus": (found.gpus >= 0 and (found.gpus <= 1 or found.gpus % 1 == 0), "0 to 1, or a whole number"),
        "cpus": (0 <= found.cpus < math.inf and found.cpus + found.gpus > 0, "0 or more, and more than 0 without GPUs"),
        "memory": (found.memory >= 0, "0 or more"),
        "max_workers": (found.max_workers >= 0, "0 or more"),
    }
    for name, (right, numbers) in expected.items():
        if not right:
            value = getattr(found, name)
            raise ConfigError(f"{draft.place} has {name}: {value}, expected {numbers}: correct it.")


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with tuples and sets as lists, so that JSON can store them."""
    return {
        name: sorted(value)
        if isinstance(value, set | frozenset)
        else list(value)
        if isinstance(value, tuple)
        else value
        for name, value in options.items()
    }


def record_nodes(nodes: Iterable[Node]) -> list[Node]:
    """The nodes whose annotations make up the record. A node whose whole output is replaced is left out."""
    nodes = list(nodes)
    replaced = {
        (reader_input, kind)
        for node in nodes
        for reader_input, kinds in node.inputs.items()
        for kind in kinds
        if kind in node.replaces
    }
    instead = {node.stands_for for node in nodes}
    answer = []
    for node in nodes:
        columns = {column for kind in node.gives for column in RESOURCES[kind]}
        gone = {column for kind in node.gives if (node.name, kind) in replaced for column in RESOURCES[kind]}
        if columns - gone and node.name not in instead:
            answer.append(node)
    return answer


def replaced_columns(node: Node, nodes: Iterable[Node]) -> frozenset[str]:
    """The columns of a node that are not part of the record, because other nodes replace them."""
    return frozenset(
        column
        for other in nodes
        for kind in (node.gives if other.stands_for == node.name else other.inputs.get(node.name, ()))
        if kind in other.replaces or other.stands_for == node.name
        for column in RESOURCES[kind]
    )


def dependants(nodes: Sequence[Node], name: str) -> list[str]:
    """The names of all nodes that read from `name`, directly or through other nodes, in graph order."""
    found = {name}
    for node in nodes:
        if found & set(node.inputs):
            found.add(node.name)
    return [node.name for node in nodes if node.name in found - {name}]


def split_at_judge(nodes: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """Split the nodes at judge-regions. Both lists are in graph order.

    The first has the nodes that do not depend on rules. The second has judge-regions and all nodes that depend on it.
    """
    later = {JUDGE_REGIONS, *dependants(nodes, JUDGE_REGIONS)}
    return [node for node in nodes if node.name not in later], [node for node in nodes if node.name in later]
