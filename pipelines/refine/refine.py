"""Rounds of refinement: students learn from what was kept, look at the same images again, and change what they can.

A round is pairs -> one student a fold -> propose -> merge -> judge -> gate. Each step is committed, and so is the
decision (`rounds/<n>-<key8>.json`): the same command finds it. A refused round changes nothing; its reasons stay on
record. Which rounds are part of the data set is told by current.json; with fewer of them in the recipe the last ones
are undone. Other rules judge what the rounds made; students learn again only where --stage refine asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.keys import stable_hash
from engine.layout import ROUNDS
from engine.reading.dataset import read_current
from engine.running.graph import Node
from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from engine.storage.sealed import read_sealed, seal
from model.network.presets import PRESETS, preset_of
from model.pairs.tasks import task_of
from pipelines.annotate.annotate import Runtime, run_nodes
from pipelines.filter.judge import judge_node
from pipelines.ingest.probe_node import limits_of
from pipelines.recipe import Recipe, Train
from pipelines.refine.audit import audited
from pipelines.refine.confusion import Report, by_people, by_students, notes, pairs_of
from pipelines.refine.merge import merge_options
from pipelines.refine.merge_texts import diversity
from pipelines.refine.nodes import (
    REFINE_VERSION,
    given_node,
    merge_keys,
    merge_node,
    pairs_node,
    parse_node,
    propose_node,
    written,
)
from pipelines.refine.notes import round_notes
from pipelines.refine.propose import OD
from pipelines.refine.standing import Standing, Told, changed_share, finished
from refinement.gate import GateOptions, RoundMeasures, judge_round
from refinement.measures import Counted


@dataclass(slots=True)
class _Round:
    number: int
    given: Node
    propose: Node
    parse: Node | None  # of what students wrote
    merge: Node

    @property
    def made(self) -> list[Node]:
        """The nodes that become part of the data set."""
        return [self.propose, *([self.parse] if self.parse else []), self.merge]

    def after(self, now: Standing, judge: Node) -> Standing:
        nodes = [*now.nodes, *self.made]
        rounds = [*now.rounds, self.given, *self.made]
        known = [*now.known, self.given]
        return Standing(nodes, judge, known, rounds, list(now.told), list(now.notes), now.tallies)


# --- what stands -----------------------------------------------------------------------------


def standing(storage: Storage, recipe: Recipe, nodes: Sequence[Node], judge: Node) -> Standing:
    """The rounds that current.json names, as far as they are of these nodes and this recipe; no student is trained.

    They were given what the rules of their time kept; what they made is judged by the rules of now.
    """
    now = Standing(nodes, judge)
    for name in rounds_named(storage):
        try:
            told: Told = read_sealed(storage, name) | {"name": name}
        except FileNotFoundError:
            break
        if told["options"] != _options(recipe) or told["base"] != _base(nodes):
            break
        if told["round"] > recipe.refine.rounds:
            break
        if not told["accepted"]:
            now.told.append(told)
            break
        now = with_round(recipe, now, told)
        now.told.append(told)
    if now.accepted:
        now.judge = judge_node(recipe, now.nodes, judge.options["surveyed"], now.merge)
    return finished(recipe, now)


def with_round(recipe: Recipe, now: Standing, told: Told) -> Standing:
    """The data set with what one more round made, whatever the gate said of it; the rules of now judge it."""
    then = judge_node(recipe.model_copy(update={"filter": told["filter"]}), now.nodes, told["surveyed"], now.merge)
    after = _round(recipe, now, then, told["round"], told["students"]).after(now, now.judge)
    after.judge = judge_node(recipe, after.nodes, now.judge.options["surveyed"], told["merge"])
    return after


def rounds_named(storage: Storage) -> list[str]:
    """The decisions that the data set as it is rests on, first round first."""
    try:
        named: list[str] = read_current(storage).get("rounds", [])
    except FileNotFoundError:
        return []
    return named


def _options(recipe: Recipe) -> str:
    """Of all that decides what a round makes."""
    refine = recipe.refine.model_dump(mode="json", exclude={"rounds", "stop_when_changed_below"})
    refine["merge"] = merge_keys(recipe)
    train = recipe.train.model_dump(mode="json", exclude={"name", "release", "checkpoint_every", "cpus"})
    pairs = recipe.emit.pairs.model_dump(mode="json", exclude={"tasks"})
    return stable_hash(["refine", REFINE_VERSION, refine, train, pairs])


def _base(nodes: Sequence[Node]) -> dict[str, str]:
    """Who annotates, without what rounds have added."""
    return {node.name: node.key for node in nodes if not node.name.startswith("round-")}


# --- rounds ----------------------------------------------------------------------------------


def refine(runtime: Runtime, nodes: Sequence[Node], judge: Node) -> Standing:
    """Every round of the recipe, from the first: what is committed is found, the rest is done.

    It ends early where a round is refused, or changes less than `stop_when_changed_below`.
    """
    recipe, storage, surveyed = runtime.recipe, runtime.storage, str(judge.options["surveyed"])
    check(recipe)
    now, students = Standing(nodes, judge), list[str]()
    for number in range(1, recipe.refine.rounds + 1):
        people = by_people(storage, (now.nodes, now.judge), number)
        _tell(runtime, now, people)
        students = _students(runtime, now, number, students)
        one = _round(recipe, now, now.judge, number, students)
        judged = judge_node(recipe, [*now.nodes, *one.made], surveyed, one.merge.name)
        _, line = run_nodes(runtime, "refine", [*one.made, judged], [*now.nodes, *now.known, one.given])
        now.tallies |= {name: tally for name, tally in line.tallies.items() if tally.units}
        options = merge_options(recipe.refine.merge.model_dump(), recipe.refine.hold_labels)
        seen = by_students(storage, (now.nodes, now.judge), one.propose, one.merge, number, options)
        _tell(runtime, now, seen)
        told = _decided(runtime, now, one, judged, students, surveyed, {"students": seen, "people": people})
        if told["accepted"]:
            now = one.after(now, judged)
        now.told.append(told)
        now.notes += round_notes(told)
        if not told["accepted"]:
            break
        if (changed := changed_share(told)) < recipe.refine.stop_when_changed_below:
            what = "regions and texts" if written(recipe) else "regions"
            now.notes.append(f"round {number} changed {changed:.1%} of the {what}: no other is needed.")
            break
    done = finished(recipe, now)
    run_nodes(runtime, "refine", done.rest[len(now.rounds) :], [*now.nodes, *now.known])
    return done


def check(recipe: Recipe) -> None:
    """ConfigError, before anything is trained, for options that cannot be meant."""
    merge_options(recipe.refine.merge.model_dump(), recipe.refine.hold_labels)
    GateOptions(**recipe.refine.gate.model_dump())
    if OD not in recipe.refine.tasks:
        raise ConfigError(f"refine.tasks is {recipe.refine.tasks}: rounds correct boxes, so {OD} must be among them.")
    for task in recipe.refine.tasks:
        task_of(task)


def _tell(runtime: Runtime, now: Standing, report: Report | None) -> None:
    """At the end of the run, and at once if it is news: there may be hours to go."""
    lines = notes(report, runtime.storage.url, runtime.recipe.refine.hold_labels) if report else []
    now.notes += lines
    if report and report["new"] and runtime.tell:
        for line in lines:
            runtime.tell(line)


def _round(recipe: Recipe, now: Standing, judge: Node, number: int, students: Sequence[str]) -> _Round:
    given = given_node(judge, number)
    propose = propose_node(recipe, now.nodes, given, number, students)
    parse = parse_node(recipe, now.nodes, propose, number)
    return _Round(number, given, propose, parse, merge_node(recipe, now.nodes, given, propose, parse, number))


def _students(runtime: Runtime, now: Standing, number: int, before: Sequence[str]) -> list[str]:
    """One model a fold, trained on the other folds: folders of the data set."""
    from pipelines.training.train import fit, training_key

    recipe, storage = runtime.recipe, runtime.storage
    given = given_node(now.judge, number)
    pairs = pairs_node(recipe, now.nodes, given, number)
    _, line = run_nodes(runtime, "refine", [pairs], [*now.nodes, *now.known, given])
    now.tallies |= {name: tally for name, tally in line.tallies.items() if tally.units}
    records = _records(storage, pairs)
    if not sum(record.counts["pairs"] for record in records):
        raise ConfigError(
            f"There is nothing to learn from: no image that is kept to train on has a pair of {recipe.refine.tasks}."
        )
    files = [f"{storage.url}/{record.files['data'].path}" for record in records]
    content = stable_hash([record.files["data"].sha256 for record in records])
    students = []
    for fold in range(recipe.refine.folds):
        options = _student_options(recipe, fold, before)
        only = {"fold": [other for other in range(recipe.refine.folds) if other != fold or recipe.refine.folds == 1]}
        key = training_key(storage, options, content, only)
        result = fit(
            storage,
            options.model_copy(update={"name": f"round-{number}-fold-{fold}-{key[:8]}"}),
            files,
            content,
            runner=runtime.runner,
            address=runtime.address,
            say=runtime.hear(f"round {number}, fold {fold + 1} of {recipe.refine.folds}") if runtime.hear else None,
            limits=limits_of(recipe),
            only=only,
            base=storage.url,
        )
        students.append(result.folder)
    return students


def _student_options(recipe: Recipe, fold: int, before: Sequence[str]) -> Train:
    """In the first round as `train` says; later each fold's student goes on from its own of the round before."""
    refine, train = recipe.refine, recipe.train
    changes: dict[str, Any] = {"release": "", "tasks": list(refine.tasks), "seed": train.seed + fold}
    if before:
        changes |= {"init": before[fold], "size": 0, "vocabulary": 0, "steps": refine.steps_later or train.steps}
        preset = preset_of(train.init).learning_rate if train.init in PRESETS else 0.0
        changes["learning_rate"] = refine.learning_rate_later or train.learning_rate or preset
    return train.model_copy(update=changes)


def _records(storage: Storage, node: Node) -> list[Record]:
    commits = Commits(storage, node.folder)
    return [commits.record(shard, int(revision)) for shard, revision in enumerate(commits.revisions())]


# --- the gate --------------------------------------------------------------------------------


def _decided(
    runtime: Runtime,
    now: Standing,
    one: _Round,
    judged: Node,
    students: Sequence[str],
    surveyed: str,
    confused: Mapping[str, Report | None],
) -> Told:
    """The committed decision on a round, made now if there is none."""
    recipe, storage = runtime.recipe, runtime.storage
    gate = recipe.refine.gate.model_dump(mode="json")
    revisions = Commits(storage, one.merge.folder).revisions().tolist()
    key = stable_hash(["round", REFINE_VERSION, one.merge.key, judged.key, gate, revisions])
    name = f"{ROUNDS}/{one.number}-{key[:8]}.json"
    if not storage.exists(name):
        measures = _measures(storage, now, one, judged)
        decision = judge_round(measures, GateOptions(**gate))
        told = {
            "round": one.number,
            "accepted": decision.accepted,
            "reasons": decision.reasons,
            "alarms": decision.alarms,
            "measures": decision.measures,
            "changes": dict(measures.changes),
            "confused": {by: pairs_of(report) for by, report in confused.items()},
            "students": list(students),
            "propose": one.propose.name,
            "merge": one.merge.name,
            "folders": [one.propose.folder, one.merge.folder, judged.folder],
            "filter": recipe.model_dump(mode="json")["filter"],
            "options": _options(recipe),
            "base": _base(now.nodes),
            "surveyed": surveyed,
        }
        storage.create(name, seal(told))
    found: Told = read_sealed(storage, name)
    return found | {"name": name}


def _changes(records: Sequence[Record]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.counts["changes"])
    return dict(sorted(total.items()))


def _measures(storage: Storage, now: Standing, one: _Round, judged: Node) -> RoundMeasures:
    records = _records(storage, one.merge)
    labels: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    agreement: dict[str, list[int]] = {}
    for record in records:
        for counter, part in zip(labels, ("labels_before", "labels_after"), strict=True):
            counter.update(record.counts[part])
        for fold, numbers in record.counts["agreement"].items():
            sums = agreement.setdefault(fold, [0, 0, 0])
            agreement[fold] = [a + b for a, b in zip(sums, numbers, strict=True)]
    after = one.after(now, judged)
    texts = [record.counts["texts"] for record in records if "texts" in record.counts]
    return RoundMeasures(
        agreement=[Counted(*(np.array([number]) for number in agreement[fold])) for fold in sorted(agreement)],
        given=sum(record.counts["given"] for record in records),
        changes=_changes(records),
        labels=labels,
        texts=sum(one["given"] for one in texts),
        diversity=diversity(texts),
        audit=audited(storage, (now.nodes, now.judge), (after.nodes, judged), texts=bool(texts)),
    )
