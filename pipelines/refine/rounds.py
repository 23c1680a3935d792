"""Rounds of refinement: students train on the kept annotations, look at the same images again, and correct the labels.

A round is pairs -> one student for each fold -> propose -> merge -> judge -> gate. Every step is committed, and so is
the decision (round_record.py), so the same command resumes. A round that the gate refuses changes nothing, and its
reasons are recorded. current.json names the rounds that are part of the data set. Lowering refine.rounds undoes the
latest rounds. If the rules change, they judge the results of the rounds. Students are then trained again only with
--stage refine.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.running.graph import Node
from pipelines.annotate.run_nodes import run_nodes
from pipelines.annotate.runtime import Runtime
from pipelines.filter.judge import judge_node
from pipelines.refine.apply_merge import merge_rules
from pipelines.refine.decide import decide
from pipelines.refine.measure_confusion import CommittedReport, people_report, students_report
from pipelines.refine.nodes import RoundNodes, round_nodes, text_tasks
from pipelines.refine.notes import confusion_notes, round_notes
from pipelines.refine.standing import Standing, with_rewritten_texts
from pipelines.refine.students import train_students


def run_rounds(runtime: Runtime, nodes: Sequence[Node], judge: Node) -> Standing:
    """Runs every round of the recipe, from the first one. Committed steps are not done again.

    Stops after a round that is refused, or that changes less than `stop_when_changed_below`.
    """
    recipe = runtime.recipe
    now, students = Standing(nodes, judge), list[str]()
    for number in range(1, recipe.refine.rounds + 1):
        people = people_report(runtime.storage, (now.nodes, now.judge), number)
        _note_confusion(runtime, now, people)
        students = train_students(runtime, now, number, students)
        now = _run_round(runtime, now, round_nodes(recipe, now.nodes, now.judge, number, students), students, people)
        last = now.decisions[-1]
        if not last.accepted:
            break
        if last.changed_share < recipe.refine.stop_when_changed_below:
            what = "regions and texts" if text_tasks(recipe) else "regions"
            now.notes.append(
                f"round {number} changed {last.changed_share:.1%} of the {what}: no further round is needed."
            )
            break
    done = with_rewritten_texts(recipe, now)
    added = done.after_annotation[len(now.round_nodes) :]
    run_nodes(runtime, "refine", added, [*now.nodes, *now.earlier_judges])
    return done


def _run_round(
    runtime: Runtime, now: Standing, nodes: RoundNodes, students: Sequence[str], people: CommittedReport | None
) -> Standing:
    """Runs the nodes of one round and decides on it.

    Returns `now` with the decision and, if it is accepted, the round.
    """
    recipe, storage = runtime.recipe, runtime.storage
    judge = judge_node(recipe, [*now.nodes, *nodes.made], str(now.judge.options["surveyed"]), nodes.merge.name)
    _, line = run_nodes(runtime, "refine", [*nodes.made, judge], [*now.nodes, *now.earlier_judges, nodes.given])
    now.tallies |= {name: tally for name, tally in line.tallies.items() if tally.units}
    options = merge_rules(recipe.refine.merge.model_dump(), recipe.refine.hold_labels)
    seen = students_report(storage, (now.nodes, now.judge), nodes.propose, nodes.merge, nodes.number, options)
    _note_confusion(runtime, now, seen)
    confused = {by: found.report.confused if found else [] for by, found in (("students", seen), ("people", people))}
    record = decide(storage, recipe, now, nodes, judge, students, confused)
    if record.accepted:
        now = now.with_nodes(nodes, judge)
    now.decisions.append(record)
    now.notes += round_notes(record)
    return now


def _note_confusion(runtime: Runtime, now: Standing, found: CommittedReport | None) -> None:
    """Adds the notes of a report.

    Notes of a new report are also printed at once, because the run may go on for hours.
    """
    if found is None:
        return
    path = f"{runtime.storage.url}/{found.stem}"
    lines = confusion_notes(found.report, path, runtime.recipe.refine.hold_labels)
    now.notes += lines
    if found.new and runtime.on_note:
        for line in lines:
            runtime.on_note(line)
