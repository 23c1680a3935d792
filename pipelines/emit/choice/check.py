"""Checks the options that choose what a release holds, before any stage runs."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ConfigError
from engine.layout import SPLITS
from engine.running.graph import Node
from engine.storage.commits import Commits
from engine.storage.files import Storage
from pipelines.emit.choice.groups import NO_EMBEDDINGS, NO_HASHES
from pipelines.emit.choice.where import check_where
from pipelines.recipe import Recipe

_RULE = "semantic_duplicate"


def check_choice(recipe: Recipe, nodes: Sequence[Node]) -> None:
    """Raises ConfigError for SQL that cannot run, and for groups of images that no node of the recipe can give."""
    options = recipe.emit
    if options.where:
        check_where(options.where)
    if not (options.splits.wanted or options.caps.cluster):
        return
    if options.splits.by == "semantic" and not _compares_embeddings(recipe):
        raise ConfigError(NO_EMBEDDINGS)
    if options.splits.by == "near_duplicate" and not _has_hashes(recipe, nodes):
        raise ConfigError(NO_HASHES)


def _compares_embeddings(recipe: Recipe) -> bool:
    """Whether a rule is semantic_duplicate. A rule of the user's own code, `module:name`, may do the same."""
    names = [name for rule in recipe.filter for name in ([rule] if isinstance(rule, str) else rule)]
    return any(name == _RULE or ":" in name for name in names)


def _has_hashes(recipe: Recipe, nodes: Sequence[Node]) -> bool:
    """Whether images will have perceptual hashes: from a node, or because an audit split was drawn by them."""
    for node in nodes:
        if "image_scores" in node.gives and (node.score_names is None or "phash" in node.score_names):
            return True
    return recipe.ingest.audit.wanted or len(Commits(Storage(recipe.dataset), SPLITS).revisions()) > 0
