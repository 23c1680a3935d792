"""The node that runs the probe over listed inputs."""

from __future__ import annotations

from engine.images.decode import Limits
from engine.layout import INPUTS, PROBE
from engine.running.engine_node import engine_node
from engine.running.graph import Node, Resources
from pipelines.ingest.probe import Probe
from pipelines.recipe import Recipe


def probe_node(recipe: Recipe) -> Node:
    phash = recipe.ingest.audit.wanted  # because an audit split is drawn by groups of near-duplicates
    options = {"max_pixels": recipe.ingest.max_pixels, "max_bytes": recipe.ingest.max_bytes}
    return engine_node(
        PROBE,
        "pipelines.ingest.probe:Probe",
        Probe.version,
        # Limits are not part of the key, so that images stay in their shards if a limit changes. After a limit was
        # raised, --retry-failed applies it.
        key_parts=["probe", Probe.version, *(["phash"] if phash else [])],
        options=options | ({"phash": True} if phash else {}),
        inputs={},
        component="ingest",
        over="entries",
        base=INPUTS,
        resources=Resources(batch_size=256, timeout_s=300.0),
    )


def limits_of(recipe: Recipe) -> Limits:
    return Limits(max_pixels=recipe.ingest.max_pixels, max_bytes=recipe.ingest.max_bytes)
