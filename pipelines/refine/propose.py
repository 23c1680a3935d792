"""The proposals of a round: the regions and texts that the students predict, and their evidence for what is there.

A node over shards. Each student looks only at images of the fold that it was not trained on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.component import Output
from engine.errors import ImageError
from engine.images.decode import Limits
from engine.images.locate import image_pixels
from engine.records.boxes import row_box
from engine.running.shard_inputs import ShardInputs
from engine.schema import record_table, required
from engine.storage.commits import Commits
from engine.storage.files import Storage
from model.decoding.likelihood import SCORE_KIND
from model.network.model_folder import local_copy
from model.pairs.targets import Item, Order, in_target_order, item_fault, write_target
from pipelines.refine.propose_texts import TEXT_EVIDENCE, Writing
from pipelines.refine.rows import KeptShard, Row, region_row
from refinement.folds import fold_of

if TYPE_CHECKING:
    from model.decoding.predict import Location, Prediction
    from model.network.encoding import EncodedImages
    from model.network.florence import Florence

OD = "<OD>"

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
        kept = KeptShard(inputs, self.record, self.judge)
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
        kept: KeptShard,
        inputs: ShardInputs,
        answers: dict[str, Row],
        evidence: list[Row],
    ) -> None:
        """One batch: one look at each image for what the student says and for what it thinks of what was said."""
        from model.decoding.predict import predict
        from model.network.encoding import encode_images, make_question

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
        seen = encode_images(model, pixels)
        questions = [make_question(number, OD) for number in range(len(seen_rows))]
        said = predict(
            model, seen, questions, batch_size=self.batch, location=self.location, max_new_tokens=self.max_new_tokens
        )
        for row, one in zip(seen_rows, said, strict=True):
            answers[row["image_id"]], own = self._proposals(row["image_id"], one)
            evidence += own
        evidence += self._of_given(model, seen, seen_rows, kept)
        if self.writing:
            self.writing.look(model, seen, seen_rows, answers)

    def _of_given(self, model: Florence, seen: EncodedImages, rows: Sequence[Row], kept: KeptShard) -> Iterator[Row]:
        """How likely the student finds what is there. What a target cannot hold it is not asked about."""
        from model.decoding.score import score
        from model.network.encoding import make_question

        questions, targets, asked = [], [], []
        for number, row in enumerate(rows):
            image = kept.images[row["image_id"]]
            items = self._items(row)
            target = write_target(
                "labelled_boxes", items, width=image["width"], height=image["height"], order=self.order
            )
            if items and len(model.target_ids(target)) <= model.max_tokens:
                questions.append(make_question(number, OD))
                targets.append(target)
                asked.append((row["image_id"], items))
        told = score(model, seen, questions, targets, batch_size=self.batch)
        for (image_id, items), one in zip(asked, told, strict=True):
            for item, found in zip(items, one.likelihood.regions, strict=True):
                yield {"image_id": image_id, "region_id": item.ids[0], "proposed": False, "label": found.label} | {
                    "location": found.location
                }

    def _pixels(self, image: Row, inputs: ShardInputs) -> Any:
        return image_pixels(inputs.storage, image, self.limits)

    def _proposals(self, image_id: str, said: Prediction) -> tuple[Row, list[Row]]:
        regions: list[Row] = []
        evidence: list[Row] = []
        for found, told in zip(said.parsed.regions, said.likelihood.regions, strict=True):
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
            Item(region["label"], row_box(region), ids=(region["id"],))
            for region in row["regions"]
            if region["kind"] == "object"
        ]
        items = [item for item in items if not item_fault("labelled_boxes", item)]
        return list(in_target_order("labelled_boxes", items, self.order))
