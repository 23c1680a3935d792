"""Makes the nodes that the engine adds: the probe, the judges, the nodes of rounds, the writer of a release.

Nodes that a recipe names are made in graph.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.keys import stable_hash
from engine.layout import IMAGES
from engine.licences import NO_WEIGHTS
from engine.running.graph import Node, Resources


def engine_node(
    name: str,
    target: str,
    version: int,
    *,
    key_parts: Sequence[Any],
    options: Mapping[str, Any],
    inputs: Mapping[str, tuple[str, ...]],
    component: str = "",
    over: str = "shard",
    base: str = IMAGES,
    gives: tuple[str, ...] = (),
    replaces: tuple[str, ...] = (),
    resources: Resources | None = None,
    weights_licence: str = NO_WEIGHTS,
) -> Node:
    """A node that runs the engine's own code.

    `target`: "module:Name" of the component. `component`: its name in reports, by default `name`. `key_parts`: plain
    values that affect the answers; the node's key is their hash. `version` is part of the key only if it is among them.
    """
    return Node(
        name=name,
        target=target,
        options=options,
        needs=(),
        gives=gives,
        key=stable_hash(key_parts),
        inputs=inputs,
        over=over,
        base=base,
        replaces=replaces,
        resources=resources or Resources(),
        component=component or name,
        version=version,
        weights_licence=weights_licence,
    )
