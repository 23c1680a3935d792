"""Decides whether a round is accepted: measures what it changed, applies the gate, and commits the decision.

The file name contains a hash of the round and of the gate, so the same round is decided once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from engine.keys import stable_hash
from engine.layout import ROUNDS
from engine.running.graph import Node
from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from pipelines.recipe import Recipe
from pipelines.refine.audit import audited
from pipelines.refine.merge_counts import diversity
from pipelines.refine.nodes import REFINE_VERSION, RoundNodes
from pipelines.refine.round_record import RoundRecord, read_round, write_round
from pipelines.refine.standing import Standing, annotator_keys, options_digest
from refinement.confusion import ConfusedPair
from refinement.gate import RoundMeasures, judge_round
from refinement.measures import Counted


def decide(
    storage: Storage,
    recipe: Recipe,
    now: Standing,
    nodes: RoundNodes,
    judge: Node,
    students: Sequence[str],
    confused: Mapping[str, list[ConfusedPair]],
) -> RoundRecord:
    """The committed decision on a round. If there is none, measures and decides.

    now: the data set before the round. judge: the judge of what the round made. confused: pairs of labels, by who found
    them ("people" or "students").
    """
    gate = recipe.refine.gate.model_dump(mode="json")
    revisions = Commits(storage, nodes.merge.folder).revisions().tolist()
    key = stable_hash(["round", REFINE_VERSION, nodes.merge.key, judge.key, gate, revisions])
    name = f"{ROUNDS}/{nodes.number}-{key[:8]}.json"
    if not storage.exists(name):
        measures = _measures(storage, now, nodes, judge)
        decision = judge_round(measures, recipe.refine.gate)
        record = RoundRecord(
            round=nodes.number,
            accepted=decision.accepted,
            reasons=decision.reasons,
            alarms=decision.alarms,
            measures=decision.measures,
            changes=dict(measures.changes),
            confused=dict(confused),
            students=list(students),
            propose=nodes.propose.name,
            merge=nodes.merge.name,
            folders=[nodes.propose.folder, nodes.merge.folder, judge.folder],
            filter=recipe.model_dump(mode="json")["filter"],
            options=options_digest(recipe),
            base=annotator_keys(now.nodes),
            surveyed=str(judge.options["surveyed"]),
        )
        write_round(storage, name, record)
    return read_round(storage, name)


def _measures(storage: Storage, now: Standing, nodes: RoundNodes, judge: Node) -> RoundMeasures:
    records = list(Commits(storage, nodes.merge.folder).latest_records())
    texts = [record.counts["texts"] for record in records if "texts" in record.counts]
    after = [*now.nodes, *nodes.made]
    return RoundMeasures(
        agreement=_agreement(records),
        given=sum(record.counts["given"] for record in records),
        changes=dict(sorted(_summed(records, "changes").items())),
        labels=(_summed(records, "labels_before"), _summed(records, "labels_after")),
        texts=sum(one["given"] for one in texts),
        diversity=diversity(texts),
        audit=audited(storage, (now.nodes, now.judge), (after, judge), texts=bool(texts)),
    )


def _summed(records: Sequence[Record], name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for record in records:
        total.update(record.counts[name])
    return total


def _agreement(records: Sequence[Record]) -> list[Counted]:
    """For each fold, the numbers of kept, proposed and matching boxes in all shards."""
    sums: dict[str, list[int]] = {}
    for record in records:
        for fold, counts in record.counts["agreement"].items():
            sums[fold] = [a + b for a, b in zip(sums.get(fold, (0, 0, 0)), counts, strict=True)]
    return [Counted(*(np.array([count]) for count in sums[fold])) for fold in sorted(sums)]
