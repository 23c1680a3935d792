"""What a round of refinement does to a shard: pairs to learn from, what the students say, what is made of both.

Each is a node over shards, committed and resumed like any other. Students look only at images of the fold that they
were not trained on. Nothing is lost on the way: the merged record holds every region there was, the replaced ones
pointing at what they became, the others with the verdict they had.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from engine.errors import ImageError
from engine.flat import one_array
from engine.images import Limits, decode
from engine.inputs import ShardInputs
from engine.schema import CHANGES, record_table, required
from engine.shards import Commits
from engine.storage import Storage, read_image
from filters.chain import keep
from model.compiling import compile_pairs
from model.evaluate.detections import Detection, Truth
from model.evaluate.matching import matched
from model.likelihood import SCORE_KIND
from model.pairs import PAIRS, Options, pair_row
from model.ray_training import local_copy
from model.targets import Item, Order, arranged, item_fault, write
from pipelines.filter import Output, shard_record
from refinement.folds import fold_of
from refinement.matching import paired
from refinement.merge import Change, Given, Proposed, merge_regions
from refinement.options import MergeOptions, held

if TYPE_CHECKING:
    from model.encoding import Seen
    from model.florence import Florence
    from model.prediction import Location, Prediction

OD = "<OD>"
LABEL_SCORE = "label_probability"  # of a region that a student named or added
Row = dict[str, Any]

ROUND_PAIRS = PAIRS.append(required("fold", pa.int32()))
# What a student thinks: of a region that was given, teacher-forced; of one it proposed, its own.
EVIDENCE = pa.schema(
    [
        required("image_id", pa.string()),
        required("region_id", pa.string()),
        required("proposed", pa.bool_()),
        required("label", pa.float64()),  # probability of the label's tokens
        required("location", pa.float64()),  # geometric mean of what lies near each location (model/likelihood.py)
    ]
)
# What was decided of regions before the rules of this round: by the rules before it, or by the merge.
DECIDED = pa.schema(
    [
        required("image_id", pa.string()),
        required("region_id", pa.string()),
        required("rule", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
    ]
)


class _Kept:
    """What was kept of a shard: the record of `record`, judged by the node `judge`."""

    def __init__(self, inputs: ShardInputs, record: Sequence[Any], judge: str) -> None:
        self.record, _ = shard_record(inputs, record, ())
        self.verdicts = inputs.table(judge)
        self.rows: list[Row] = keep(self.record, self.verdicts).to_pylist()
        self.images: dict[str, Row] = {row["image_id"]: row for row in inputs.images.to_pylist()}


class RoundPairs:
    """Pairs of the kept images that are for training, each with its fold."""

    def __init__(self, *, record: list[Any], judge: str, pairs: Mapping[str, Any], folds: int) -> None:
        self.record, self.judge, self.pairs, self.folds = record, judge, pairs, folds

    def load(self) -> None:
        self.options = Options(**self.pairs)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = _Kept(inputs, self.record, self.judge)
        rows: list[Row] = []
        for row in kept.rows:
            image = kept.images[row["image_id"]]
            if image["split"] != "train":
                continue
            made = compile_pairs(row, width=image["width"], height=image["height"], options=self.options)
            fold = fold_of(row["image_id"], self.folds)
            rows += [pair_row(pair, image) | {"fold": fold} for pair in made.pairs]
        file = commits.put_table(shard, pa.Table.from_pylist(rows, ROUND_PAIRS), inputs.unit.revision)
        return Output({"data": file}, len(rows), counts={"pairs": len(rows)})


class Propose:
    """The boxes that the other fold's student sees, and how likely it finds those that are there."""

    def __init__(
        self,
        *,
        name: str,
        round_number: int,
        record: list[Any],
        judge: str,
        dataset: str,
        students: list[str],
        order: Order,
        location: Location,
        max_new_tokens: int,
        batch_size: int,
        limits: Mapping[str, Any],
        device: str,
    ) -> None:
        self.name, self.round, self.record, self.judge = name, round_number, record, judge
        self.dataset, self.students, self.batch = dataset, students, batch_size
        self.order, self.location, self.max_new_tokens = order, location, max_new_tokens
        self.limits, self.device = Limits(**limits), device

    def load(self) -> None:
        import torch

        from model.florence import load

        torch.set_num_threads(1)
        storage = Storage(self.dataset)
        with tempfile.TemporaryDirectory(prefix="students-") as scratch:
            paths = [local_copy(storage, path, Path(scratch, str(fold))) for fold, path in enumerate(self.students)]
            self.models = [load(path, device=self.device) for path in paths]

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = _Kept(inputs, self.record, self.judge)
        answers: dict[str, Row] = {}
        evidence: list[Row] = []
        for fold, model in enumerate(self.models):
            own = [row for row in kept.rows if fold_of(row["image_id"], len(self.models)) == fold]
            for start in range(0, len(own), self.batch):
                self._look(model, own[start : start + self.batch], kept, inputs, answers, evidence)
        ids = inputs.images["image_id"].to_pylist()
        table = record_table([answers.get(image_id, {"image_id": image_id}) for image_id in ids])
        revision = inputs.unit.revision
        files = {
            "data": commits.put_table(shard, table, revision),
            "evidence": commits.put_table(shard, pa.Table.from_pylist(evidence, EVIDENCE), revision, "evidence"),
        }
        failed = sum(bool(row.get("failures")) for row in answers.values())
        return Output(files, len(ids), failed)

    def _look(
        self,
        model: Florence,
        rows: Sequence[Row],
        kept: _Kept,
        inputs: ShardInputs,
        answers: dict[str, Row],
        evidence: list[Row],
    ) -> None:
        """One batch: one look at each image for what the student says and for what it thinks of what was said."""
        from model.encoding import ask, see
        from model.prediction import predict

        seen_rows, pixels = [], []
        for row in rows:
            image = kept.images[row["image_id"]]
            try:
                pixels.append(self._pixels(image, inputs))
                seen_rows.append(row)
            except ImageError as error:
                failure = {"component": self.name, "reason": error.reason, "error": str(error), "attempts": 1}
                answers[row["image_id"]] = {"image_id": row["image_id"], "failures": [failure]}
        if not seen_rows:
            return
        seen = see(model, pixels)
        asks = [ask(number, OD) for number in range(len(seen_rows))]
        said = predict(
            model, seen, asks, batch_size=self.batch, location=self.location, max_new_tokens=self.max_new_tokens
        )
        for row, one in zip(seen_rows, said, strict=True):
            answers[row["image_id"]], own = self._proposals(row["image_id"], one)
            evidence += own
        evidence += self._of_given(model, seen, seen_rows, kept)

    def _of_given(self, model: Florence, seen: Seen, rows: Sequence[Row], kept: _Kept) -> Iterator[Row]:
        """How likely the student finds what is there. What a target cannot hold it is not asked about."""
        from model.encoding import ask
        from model.scoring import score

        asks, targets, asked = [], [], []
        for number, row in enumerate(rows):
            image = kept.images[row["image_id"]]
            items = self._items(row)
            target = write("labelled_boxes", items, width=image["width"], height=image["height"], order=self.order)
            if items and len(model.target_ids(target)) <= model.places:
                asks.append(ask(number, OD))
                targets.append(target)
                asked.append((row["image_id"], items))
        told = score(model, seen, asks, targets, batch_size=self.batch)
        for (image_id, items), one in zip(asked, told, strict=True):
            for item, found in zip(items, one.likelihood.found, strict=True):
                yield {"image_id": image_id, "region_id": item.ids[0], "proposed": False, "label": found.label} | {
                    "location": found.location
                }

    def _pixels(self, image: Row, inputs: ShardInputs) -> Any:
        locator = (image["uri"], image["offset"], image["length"])
        data = read_image(
            inputs.storage, image["image_id"], locator, lambda: [source["uri"] for source in image["sources"]]
        )
        return decode(data, self.limits)

    def _proposals(self, image_id: str, said: Prediction) -> tuple[Row, list[Row]]:
        regions: list[Row] = []
        evidence: list[Row] = []
        for found, told in zip(said.parsed.found, said.likelihood.found, strict=True):
            if found.box is None or found.box[2] <= found.box[0] or found.box[3] <= found.box[1]:
                continue  # nothing is left of it on the grid
            name = f"{self.name}/{len(regions)}"
            regions.append(region_row(name, self.name, self.round, found.label, found.box, told.score, SCORE_KIND, []))
            evidence.append(
                {"image_id": image_id, "region_id": name, "proposed": True, "label": told.label}
                | {"location": told.location}
            )
        return {"image_id": image_id, "regions": regions}, evidence

    def _items(self, row: Row) -> list[Item]:
        """The kept objects in the order in which a target lists them; what the grammar cannot carry is not asked."""
        items = [
            Item(region["label"], box_of(region), ids=(region["id"],))
            for region in row["regions"]
            if region["kind"] == "object"
        ]
        items = [item for item in items if not item_fault("labelled_boxes", item)]
        return list(arranged("labelled_boxes", items, self.order))


class Merge:
    """The record after the round: every region there was and those that came, and what was decided of them."""

    def __init__(
        self,
        *,
        name: str,
        round_number: int,
        record: list[Any],
        judge: str,
        propose: str,
        folds: int,
        options: Mapping[str, Any],
        held: Sequence[Sequence[str]],
    ) -> None:
        self.name, self.round, self.record, self.judge, self.propose = name, round_number, record, judge, propose
        self.folds, self.given, self.held = folds, options, held

    def load(self) -> None:
        self.options = merge_options(self.given, self.held)

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = _Kept(inputs, self.record, self.judge)
        proposals = {row["image_id"]: row for row in inputs.table(self.propose).to_pylist()}
        evidence = _evidence(inputs, self.propose)
        kept_rows = {row["image_id"]: row for row in kept.rows}
        rows: list[Row] = []
        decided = list(_decided_before(kept))
        changes: list[Row] = []
        told = _Told(self.options)
        for row in kept.record.to_pylist():
            image_id = row["image_id"]
            if image_id in kept_rows and not proposals[image_id]["failures"]:
                self._merged(row, kept_rows[image_id], proposals[image_id], evidence, decided, changes, told)
            rows.append({name: row[name] for name in ("image_id", "regions", "region_texts", "failures")})
        revision = inputs.unit.revision
        files = {
            "data": commits.put_table(shard, record_table(rows), revision),
            "decided": commits.put_table(shard, pa.Table.from_pylist(decided, DECIDED), revision, "decided"),
            "changes": commits.put_table(shard, pa.Table.from_pylist(changes, CHANGES), revision, "changes"),
        }
        return Output(files, len(rows), counts=told.as_counts(changes))

    def _merged(
        self,
        row: Row,
        kept: Row,
        proposal: Row,
        evidence: Mapping[tuple[str, str], Row],
        decided: list[Row],
        changes: list[Row],
        told: _Told,
    ) -> None:
        image_id = row["image_id"]
        given = list(_given(kept, evidence))
        proposed = [_proposed(region, evidence[image_id, region["id"]]) for region in proposal["regions"]]
        made = merge_regions(given, proposed, self.options)
        told.see(fold_of(image_id, self.folds), given, proposed, made)
        by_id = {region["id"]: region for region in row["regions"]}
        for change in made:
            new = ""
            if change.new is not None:
                new = f"{self.name}/{len([r for r in row['regions'] if r['producer'] == self.name])}"
                row["regions"].append(self._region(new, change, by_id.get(change.old)))
            old = by_id.get(change.old)
            if old is not None and new:
                old["merged_into"] = new
            elif old is not None:
                decided.append(
                    {"image_id": image_id, "region_id": change.old, "rule": f"refine.{change.rule}"}
                    | {"value": change.value, "threshold": change.threshold}
                )
            changes.append(
                {"image_id": image_id, "round": self.round, "rule": change.rule, "old": change.old, "new": new}
                | {"old_label": old["label"] if old else "", "new_label": change.new.label if change.new else ""}
                | {"value": change.value, "threshold": change.threshold}
            )

    def _region(self, name: str, change: Change, old: Row | None) -> Row:
        """What takes the place of `old`, or comes anew."""
        assert change.new is not None
        new = change.new
        parents = [parent for parent in (change.old, change.by) if parent]
        kind = old["score_kind"] if old is not None and change.rule == "moved" else LABEL_SCORE
        row = region_row(name, self.name, self.round, new.label, new.box, new.score, kind, parents)
        if old is not None and new.keeps_shape:
            row |= {"rle": old["rle"], "quad": old["quad"]}
        return row


def merge_options(options: Mapping[str, Any], hold_labels: Sequence[Sequence[str]]) -> MergeOptions:
    """What a recipe says under refine.merge and refine.hold_labels."""
    return MergeOptions(**options, keep_labels=held(hold_labels))


class _Told:
    """What the gate asks of a shard, as counts that add up over shards."""

    def __init__(self, options: MergeOptions) -> None:
        self.options = options
        self.given, self.human = 0, 0
        self.called: dict[str, dict[str, list[int]]] = {}  # label, student's label: boxes it is sure of, and not
        self.before: Counter[str] = Counter()
        self.after: Counter[str] = Counter()
        self.agreement: dict[str, list[int]] = {}  # by fold: boxes that are there, found, right

    def see(self, fold: int, given: Sequence[Given], proposed: Sequence[Proposed], changes: Sequence[Change]) -> None:
        labels = {one.id: one.label for one in given}
        self.given += sum(not one.human for one in given)
        self.human += sum(one.human for one in given)
        self.before.update(labels.values())
        for change in changes:
            labels.pop(change.old, None)
        self.after.update([*labels.values(), *(change.new.label for change in changes if change.new)])
        names = [one.label for one in given], [one.label for one in proposed]
        pairs = paired([one.box for one in given], [one.box for one in proposed], names, iou=self.options.match_iou)
        for a, b in pairs.items():
            sure = proposed[b].label_score >= self.options.relabel
            counts = self.called.setdefault(given[a].label, {}).setdefault(proposed[b].label, [0, 0])
            counts[int(not sure)] += 1
        truth = [Truth(one.label, one.box) for one in given]
        found = [Detection(one.label, one.box, one.score) for one in proposed]
        sums = self.agreement.setdefault(str(fold), [0, 0, 0])
        for place, number in enumerate((len(truth), len(found), int(matched(truth, found)[0].sum()))):
            sums[place] += number

    def as_counts(self, changes: Sequence[Row]) -> dict[str, Any]:
        return {
            "given": self.given,
            "human": self.human,
            "changes": dict(sorted(Counter(change["rule"] for change in changes).items())),
            "labels_before": dict(sorted(self.before.items())),
            "labels_after": dict(sorted(self.after.items())),
            "agreement": self.agreement,
            "called": self.called,
        }


def region_row(
    name: str,
    producer: str,
    round_number: int,
    label: str,
    box: Sequence[float],
    score: float | None,
    kind: str,
    parents: Sequence[str],
) -> Row:
    edges = dict(zip(("x1", "y1", "x2", "y2"), (float(np.float32(edge)) for edge in box), strict=True))
    row = {"id": name, "kind": "object", "label": label, **edges, "quad": [], "rle": "", "merged_into": ""}
    row |= {"support": [], "producer": producer, "round": round_number, "score": score, "score_kind": kind}
    return row | {"parents": list(parents)}


def box_of(region: Mapping[str, Any]) -> tuple[float, float, float, float]:
    return (region["x1"], region["y1"], region["x2"], region["y2"])


def _given(kept: Row, evidence: Mapping[tuple[str, str], Row]) -> Iterator[Given]:
    for region in kept["regions"]:
        if region["kind"] != "object":
            continue
        told = evidence.get((kept["image_id"], region["id"]))
        yield Given(
            id=region["id"],
            kind=region["kind"],
            label=region["label"],
            box=box_of(region),
            score=region["score"],
            human=region["score"] is None,
            likelihood=told["location"] if told else None,
            label_likelihood=told["label"] if told else None,
            has_mask=bool(region["rle"]),
        )


def _proposed(region: Row, told: Row) -> Proposed:
    return Proposed(
        id=region["id"],
        label=region["label"],
        box=box_of(region),
        score=region["score"],
        label_score=told["label"],
        location=told["location"],
    )


def _evidence(inputs: ShardInputs, propose: str) -> dict[tuple[str, str], Row]:
    rows = inputs.part(propose, "evidence").to_pylist()
    return {(row["image_id"], row["region_id"]): row for row in rows}


def _decided_before(kept: _Kept) -> Iterator[Row]:
    """Regions that the rules of the round before dropped stay dropped, by the rule that did it: nobody asked again."""
    names = kept.record["image_id"].to_pylist()
    lists = one_array(kept.verdicts["regions"]).to_pylist()
    regions = one_array(kept.record["regions"]).to_pylist()
    for image_id, verdicts, own in zip(names, lists, regions, strict=True):
        for verdict, region in zip(verdicts, own, strict=True):
            if not verdict["kept"] and not region["merged_into"] and verdict["rule"] != "image_dropped":
                yield {"image_id": image_id, "region_id": region["id"], "rule": verdict["rule"]} | {
                    "value": verdict["value"],
                    "threshold": verdict["threshold"],
                }
