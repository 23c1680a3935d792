"""Checks before a run that the recipe makes what each rule reads.

Without this check, a rule would keep everything, or fail after hours. What a rule reads follows from its signature
(columns, parsed texts, columns about the whole data set) and from its declaration by `filters.judging.needs`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.component import RESOURCES
from engine.config.catalog import defaults_of
from engine.errors import ConfigError
from engine.records.embeddings import EMBEDDINGS
from engine.running.graph import Node
from filters.judging.needs import Given, need_of, score
from filters.verdict import needs_embeddings, needs_hashes, needs_parse, reads
from pipelines.filter.judge import NamedRule

_CAPTIONS, _PARSE = "'captions: {use: composer}'", "'parse: {use: spacy_parse}'"
_ADD = {
    "regions": "a detector, such as 'ssd: {use: ssd_mobilenet}', and 'objects: {use: consensus}'",
    "texts": f"a node that writes, such as {_CAPTIONS}",
    "region_texts": "a node that reads, such as 'ocr: {use: rapidocr}'",
    "phrases": "'phrases: {use: label_grounder}'",
    "tags": "'tags: {use: tags}'",
    "image_scores": "a node that measures, such as 'quality: {use: image_quality}'",
}
_FROM_OUTSIDE = ("labels", "scene")  # their producers are not nodes of the recipe


def check_rules(rules: Sequence[NamedRule], nodes: Sequence[Node]) -> None:
    """Raises ConfigError for the first rule whose input is missing. The message names the node to add."""
    given = _given(nodes)
    comparing = [name for name, rule, _ in rules if needs_embeddings(rule)]
    if len(comparing) > 1:
        raise ConfigError(f"The rules {' and '.join(comparing)} both compare embeddings: keep only one of them.")
    for name, rule, options in rules:
        lacking = _lacking(rule, {**defaults_of(rule), **options}, nodes, given)
        if lacking:
            raise ConfigError(f"Filter '{name}' {lacking} under annotate.")
        _check_producers(name, options, nodes)


def _lacking(rule: Any, options: Mapping[str, Any], nodes: Sequence[Node], given: Given) -> str:
    """What is missing and what to add. '' if nothing is missing."""
    if needs_hashes(rule) and (lacking := score("phash", add="quality: {use: image_quality}")(given, options)):
        return lacking
    if (need := need_of(rule)) and (lacking := need(given, options)):
        return lacking
    columns = {column for node in nodes for kind in node.gives for column in RESOURCES[kind]}
    for place, column in enumerate(reads(rule)):
        if column != "images" and column not in columns:
            return f"{'reads' if place else 'judges'} {column}, which no node gives: add {_ADD[column]}"
    if needs_parse(rule) and not any("parse" in node.gives for node in nodes):
        return f"reads parsed texts, but no node parses them: add {_PARSE}"
    return ""


def _given(nodes: Sequence[Node]) -> Given:
    scores: dict[str, tuple[str, ...]] = {}
    others: list[str] = []
    for node in nodes:
        if "image_scores" in node.gives and node.score_names is None:
            others.append(node.name)
        for name in node.score_names or ():
            scores[name] = (*scores.get(name, ()), node.name)
    seen = {"boxes", "regions", "phrase_regions"}
    detectors = [node.name for node in nodes if seen & set(node.gives) and not node.replaces]
    embedders = [node.name for node in nodes if EMBEDDINGS in node.gives]
    return Given(scores, tuple(others), tuple(detectors), tuple(embedders))


def _check_producers(rule: str, options: Mapping[str, Any], nodes: Sequence[Node]) -> None:
    """Raises ConfigError if a name in `by_producer` looks like a misspelt node.

    Other names may be of nodes not in use.
    """
    given = options.get("by_producer", {})
    names = [node.name for node in nodes]
    if any(set(_FROM_OUTSIDE) & set(node.needs) for node in nodes):
        return
    for name in given if isinstance(given, Mapping) else ():
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.75)
        if name not in names and near and not re.match(r"round-\d+-", str(name)):
            raise ConfigError(f"Filter '{rule}' has a bound for the producer '{name}': did you mean '{near[0]}'?")
