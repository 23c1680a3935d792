"""The nodes of a refinement round. Their work is in training_pairs.py, propose.py and apply_merge.py.

Texts take part only if refine.tasks names a task that writes texts. Otherwise the options for texts are in no key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import DamageError
from engine.keys import stable_hash
from engine.layout import TRAINED
from engine.licences import OWN
from engine.running.engine_node import engine_node
from engine.running.graph import Node, Resources
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed
from pipelines.filter.judge import shard_options
from pipelines.ingest.probe_node import limits_of
from pipelines.recipe import Recipe
from pipelines.refine.propose_texts import TEXT_TASKS

REFINE_VERSION = 1  # a higher number makes all nodes of a round run again
MERGE_VERSION = 1  # a higher number makes only the merge run again
TEXTS_VERSION = 1  # the same, for rounds that write texts; in version 0, a text named the one it replaced as a parent
REPLACES = ("boxes", "drafts", "regions", "ocr", "masks", "phrase_regions", "region_texts")
_BATCH = 64
_TEXT_OPTIONS = frozenset(("max_briefs", "text_margin"))  # of refine.merge


@dataclass(frozen=True, slots=True)
class RoundNodes:
    """The nodes of one round.

    given: the judge whose kept annotations the round starts from. parse: the node that parses the new texts.
    """

    number: int
    given: Node
    propose: Node
    parse: Node | None
    merge: Node

    @property
    def made(self) -> list[Node]:
        """The nodes that become part of the data set."""
        return [self.propose, *([self.parse] if self.parse else []), self.merge]


def round_nodes(recipe: Recipe, nodes: Sequence[Node], judge: Node, number: int, students: Sequence[str]) -> RoundNodes:
    """Makes the nodes of a round.

    nodes, judge: the data set before the round. students: the folders of the models, one for each fold.
    """
    given = given_node(judge, number)
    propose = propose_node(recipe, nodes, given, number, students)
    parse = parse_node(recipe, nodes, propose, number)
    return RoundNodes(number, given, propose, parse, merge_node(recipe, nodes, given, propose, parse, number))


def text_tasks(recipe: Recipe) -> list[str]:
    """The tasks in refine.tasks whose answers are texts."""
    return [task for task in recipe.refine.tasks if task in TEXT_TASKS]


def merge_keys(recipe: Recipe) -> dict[str, Any]:
    """The options of refine.merge that affect the result of a round."""
    return recipe.refine.merge.model_dump(mode="json", exclude=set() if text_tasks(recipe) else set(_TEXT_OPTIONS))


def given_node(judge: Node, number: int) -> Node:
    """The judge whose kept annotations a round starts from, under another name.

    Its verdicts stay in the folder of `judge`.
    """
    return replace(judge, name=f"round-{number}-given", place=judge.place or judge.name)


def pairs_node(recipe: Recipe, nodes: Sequence[Node], given: Node, number: int) -> Node:
    pairs = recipe.emit.pairs.model_dump(mode="json") | {"tasks": list(recipe.refine.tasks)}
    folds = recipe.refine.folds
    return engine_node(
        f"round-{number}-pairs",
        "pipelines.refine.training_pairs:RoundPairs",
        REFINE_VERSION,
        key_parts=["round-pairs", REFINE_VERSION, given.key, pairs, folds],
        options=_record_options(nodes, given) | {"pairs": pairs, "folds": folds},
        inputs=_inputs(nodes, given),
        component="pairs",
    )


def propose_node(recipe: Recipe, nodes: Sequence[Node], given: Node, number: int, students: Sequence[str]) -> Node:
    storage, name, limits = Storage(recipe.dataset), f"round-{number}-propose", limits_of(recipe)
    keys = [_key_of(storage, student) for student in students]
    texts = text_tasks(recipe)
    questions: Mapping[str, Any] = {
        "order": recipe.emit.pairs.order,
        "location": recipe.refine.location,
        "max_new_tokens": recipe.refine.max_new_tokens,
        **({"written": texts} if texts else {}),
    }
    return engine_node(
        name,
        "pipelines.refine.propose:Propose",
        REFINE_VERSION,
        key_parts=["round-propose", REFINE_VERSION, given.key, keys, questions],
        options=_record_options(nodes, given)
        | {"name": name, "round_number": number, "dataset": recipe.dataset, "students": list(students), **questions}
        | {"batch_size": _BATCH, "limits": {"max_pixels": limits.max_pixels, "max_bytes": limits.max_bytes}}
        | {"device": "cuda" if recipe.train.gpus else "cpu"},
        inputs=_inputs(nodes, given),
        component="florence2",
        gives=("boxes", "drafts") if texts else ("boxes",),
        resources=Resources(cpus=1.0, gpus=recipe.train.gpus),
        weights_licence=OWN,
    )


def _key_of(storage: Storage, student: str) -> str:
    """The key of a trained model. Raises DamageError if its folder was removed."""
    try:
        return str(read_sealed(storage, f"{student}/{TRAINED}")["key"])
    except FileNotFoundError:
        raise DamageError(
            f"'{student}/{TRAINED}' is gone, but an accepted round was made by this student: restore the folder from a "
            "backup, or run once with --set refine.rounds=0 to undo the rounds; the next run then trains new students."
        ) from None


def parse_node(recipe: Recipe, nodes: Sequence[Node], propose: Node, number: int) -> Node | None:
    """The recipe's parser, applied to the students' texts. None if the recipe has no parser or no task writes texts."""
    parser = next((node for node in nodes if node.over == "texts"), None)
    if parser is None or not text_tasks(recipe):
        return None
    key = stable_hash(["round-parse", parser.key, propose.key])
    return replace(parser, name=f"round-{number}-parse", key=key, inputs={propose.name: ("drafts",)})


def merge_node(
    recipe: Recipe, nodes: Sequence[Node], given: Node, propose: Node, parse: Node | None, number: int
) -> Node:
    """The node that merges. It writes every region again, so the record takes all regions from it.

    Of the texts, it writes only the new ones.
    """
    options, held = merge_keys(recipe), recipe.refine.hold_labels
    name, texts = f"round-{number}-merge", text_tasks(recipe)
    reads = {**_inputs(nodes, given), propose.name: propose.gives}
    gives: tuple[str, ...] = ("regions", "region_texts")
    more: dict[str, Any] = {}
    if texts:
        parsers = [*(node for node in nodes if node.over == "texts"), *([parse] if parse else [])]
        reads |= {node.name: node.gives for node in parsers}
        phrases = any("phrases" in node.gives for node in nodes)
        gives += ("texts", *(("phrases",) if phrases else ()))
        more["written"] = {"tasks": texts, "phrases": phrases, "synonyms": _uses_synonyms(nodes)}
    version = MERGE_VERSION + (TEXTS_VERSION if texts else 0)  # the sum is new whenever either of them is raised
    return engine_node(
        name,
        "pipelines.refine.apply_merge:Merge",
        version,
        key_parts=["round-merge", version, propose.key, options, held],
        options=_record_options(nodes, given)
        | {"name": name, "round_number": number, "propose": propose.name, "folds": recipe.refine.folds}
        | {"options": options, "held": held, **more},
        inputs=reads,
        component="merge",
        gives=gives,
        replaces=REPLACES,
    )


def _uses_synonyms(nodes: Sequence[Node]) -> bool:
    """Whether the recipe's label grounder matches names by their synonyms. True if the recipe has no label grounder."""
    return all(node.options.get("synonyms", True) for node in nodes if node.target.endswith(":LabelGrounder"))


def _record_options(nodes: Sequence[Node], given: Node) -> dict[str, Any]:
    return {"record": shard_options(nodes)["record"], "judge": given.name}


def _inputs(nodes: Sequence[Node], given: Node) -> dict[str, tuple[str, ...]]:
    return {node.name: node.gives for node in nodes if node.over != "texts"} | {given.name: ()}
