"""What a round of refinement asks of a shard: pairs to learn from, what the students say; round_merge.py has the rest.

Each is a node over shards, committed and resumed like any other. Students look only at images of the fold that they
were not trained on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from engine.errors import ImageError
from engine.images.decode import Limits
from engine.images.locate import image_pixels
from engine.running.shard_inputs import ShardInputs
from engine.schema import record_table, required
from engine.storage.commits import Commits
from engine.storage.files import Storage
from filters.judging.apply_rules import keep
from model.decoding.likelihood import SCORE_KIND
from model.network.model_folder import local_copy
from model.pairs.compile import compile_pairs
from model.pairs.pair import PAIRS, Options, pair_row
from model.pairs.targets import Item, Order, arranged, item_fault, write
from pipelines.filter.judge import Output, shard_record
from pipelines.refine.propose_texts import TEXT_EVIDENCE, Writing
from refinement.folds import fold_of

if TYPE_CHECKING:
    from model.decoding.predict import Location, Prediction
    from model.network.encoding import Seen
    from model.network.florence import Florence

OD = "<OD>"
Row = dict[str, Any]

ROUND_PAIRS = PAIRS.append(required("fold", pa.int32()))
# What a student thinks: of a region that was given, teacher-forced; of one it proposed, its own.
EVIDENCE = pa.schema(
    [
        required("image_id", pa.string()),
        required("region_id", pa.string()),
        required("proposed", pa.bool_()),
        required("label", pa.float64()),  # probability of the label's tokens
        required("location", pa.float64()),  # geometric mean of what lies near each location
    ]
)


class Kept:
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
        kept = Kept(inputs, self.record, self.judge)
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
    """What the other fold's student sees, and how likely it finds what is there. `written`: what asks for texts."""

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
        written: Sequence[str] = (),
    ) -> None:
        self.writing = Writing(name, round_number, written, batch_size, max_new_tokens) if written else None
        self.name, self.round, self.record, self.judge = name, round_number, record, judge
        self.dataset, self.students, self.batch = dataset, students, batch_size
        self.order, self.location, self.max_new_tokens = order, location, max_new_tokens
        self.limits, self.device = Limits(**limits), device

    def load(self) -> None:
        import torch

        from model.network.florence import load

        torch.set_num_threads(1)
        storage = Storage(self.dataset)
        with tempfile.TemporaryDirectory(prefix="students-") as scratch:
            paths = [local_copy(storage, path, Path(scratch, str(fold))) for fold, path in enumerate(self.students)]
            self.models = [load(path, device=self.device) for path in paths]

    def run(self, shard: int, inputs: ShardInputs, commits: Commits) -> Output:
        kept = Kept(inputs, self.record, self.judge)
        answers: dict[str, Row] = {}
        evidence: list[Row] = []
        if self.writing:
            self.writing.take()  # what is left of a shard that was broken off
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
        if self.writing:
            told = pa.Table.from_pylist(self.writing.take(), TEXT_EVIDENCE)
            files["text_evidence"] = commits.put_table(shard, told, revision, "text_evidence")
        failed = sum(bool(row.get("failures")) for row in answers.values())
        return Output(files, len(ids), failed)

    def _look(
        self,
        model: Florence,
        rows: Sequence[Row],
        kept: Kept,
        inputs: ShardInputs,
        answers: dict[str, Row],
        evidence: list[Row],
    ) -> None:
        """One batch: one look at each image for what the student says and for what it thinks of what was said."""
        from model.decoding.predict import predict
        from model.network.encoding import ask, see

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
        if self.writing:
            self.writing.look(model, seen, seen_rows, answers)

    def _of_given(self, model: Florence, seen: Seen, rows: Sequence[Row], kept: Kept) -> Iterator[Row]:
        """How likely the student finds what is there. What a target cannot hold it is not asked about."""
        from model.decoding.score import score
        from model.network.encoding import ask

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
        return image_pixels(inputs.storage, image, self.limits)

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
