"""What a user of a release must not assume, in sentences that follow from the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.licences import UNKNOWN
from engine.reading.release_manifest import Figures, Manifest
from pipelines.emit.figures import PEOPLE
from pipelines.emit.markdown import code, escape, listed, several, table

# Rules whose absence a user should know of, and what their absence means.
_RULES = {
    "near_duplicate": "near-duplicates of an image may be in the release, and in more than one split",
    "unsafe": "no rule looked for unsafe images",
    "text_language": "texts may be in any language",
}


def limits(manifest: Manifest) -> str:
    figures = manifest.get("figures")
    lines = "\n".join(f"* {sentence}" for sentence in _sentences(manifest, figures))
    producers = _producers(figures["producers"]) if figures else ""
    return f"## Limits\n\n{lines}" + (f"\n\n{producers}" if producers else "")


def _sentences(manifest: Manifest, figures: Figures | None) -> Iterator[str]:
    if figures:
        yield _people(figures)
    yield (
        "Scores of different producers are not on one scale: the same score of two models does not mean that both are "
        "right equally often."
    )
    yield _calibration(manifest["recipe"])
    yield (
        "Boxes are in pixels of the upright image, after its EXIF rotation, unless the section of a format states "
        "another frame. A reader that ignores EXIF gets some images on their side, with boxes that do not fit."
    )
    if figures and (number := figures["licences"].get("", 0)):
        yield f"The source of {several(number, 'image')} states no licence."
    yield from _nodes(manifest)
    yield from _missing_rules(manifest["recipe"])


def _people(figures: Figures) -> str:
    found = [kinds for producers in figures["producers"].values() for kinds in producers.values()]
    people = sum(kinds.get(PEOPLE, 0) for kinds in found)
    everything = sum(sum(kinds.values()) for kinds in found)
    if not people:
        return f"No person checked the annotations. Models and rules made all {everything:,}."
    return (
        f"People made {people:,} of {everything:,} annotations; these have no score. Models and rules made the others, "
        "and no person checked them."
    )


def _calibration(recipe: Mapping[str, Any]) -> str:
    """Where the recipe uses fitted score curves. They exist for regions only."""
    nodes = [name for name, options in recipe.get("annotate", {}).items() if options.get("calibration")]
    rules = [
        name
        for rule in recipe.get("filter", [])
        if isinstance(rule, Mapping)
        for name, options in rule.items()
        if isinstance(options, Mapping) and options.get("calibration")
    ]
    none = "Scores of texts, region texts, phrases, tags and images are not calibrated"
    if nodes:
        named = listed([escape(name) for name in nodes])
        return f"Of the scores, only those of regions of the node {named} are calibrated. {none}."
    if rules:
        named = listed([code(name) for name in rules])
        return f"No score in the files is calibrated. The rule {named} compared calibrated scores of regions. {none}."
    return "No score is calibrated: a score of .8 does not mean that 80 % of such annotations are right."


def _nodes(manifest: Manifest) -> Iterator[str]:
    random = [escape(node["name"]) for node in manifest["nodes"] if not node["deterministic"]]
    if random:
        yield f"Another run may give other annotations of {listed(random)}, which are not deterministic."
    unknown = [
        escape(node["name"]) for node in manifest["nodes"] if UNKNOWN in (node["code_licence"], node["weights_licence"])
    ]
    if unknown:
        yield f"The licence of the code or the weights of {listed(unknown)} is not known."


def _missing_rules(recipe: Mapping[str, Any]) -> Iterator[str]:
    if "filter" not in recipe:
        return
    named = {rule if isinstance(rule, str) else next(iter(rule), "") for rule in recipe["filter"]}
    for rule, sentence in _RULES.items():
        if rule not in named:
            yield f"The recipe has no rule {code(rule)}: {sentence}."


def _producers(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    rows = [
        (column.replace("_", " "), escape(producer), _score(kind), f"{number:,}")
        for column, producers in found.items()
        for producer, kinds in producers.items()
        for kind, number in kinds.items()
    ]
    if not rows:
        return ""
    made = table(("annotations", "producer", "score", "number"), rows)
    return f"The producers, and the kind of their scores (`score_kind`):\n\n{made}"


def _score(kind: str) -> str:
    return "none: made by people" if kind == PEOPLE else escape(kind)
