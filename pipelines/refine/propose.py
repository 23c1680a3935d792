"""The proposals of a round: the regions and texts that the students predict, and their evidence on kept annotations.

A node over shards. Each student sees only images of the fold that it was not trained on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.component import Output
from engine.errors import ImageError
from engine.images.decode import Limits
from engine.images.locate import image_pixels
from engine.records.boxes import row_box
from engine.running.shard_inputs import ShardInputs
from engine.schema import record_table
from engine.storage.commits import Commits
from engine.storage.files import Storage
from model.decoding.likelihood import SCORE_KIND
from model.florence2_tasks import OBJECT_DETECTION
from model.network.model_folder import local_copy
from model.pairs.targets import Item, Order, in_target_order, item_fault, write_target
from pipelines.refine.evidence import (
    EVIDENCE_PART,
    TEXT_EVIDENCE_PART,
    Evidence,
    evidence_table,
    text_evidence_table,
)
from pipelines.refine.propose_texts import Proposals, TextProposer
from pipelines.refine.rows import KeptShard, Row, region_row
from refinement.folds import fold_of

if TYPE_CHECKING:
    from model.decoding.predict import Location, Prediction
    from model.network.encoding import EncodedImages
    from model.network.florence import Florence


class Propose:
    """Runs the students. students: model folders, one for each fold. written: the tasks whose answers are texts."""

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
        self.texts = TextProposer(name, round_number, written, batch_size, max_new_tokens) if written else None
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
        found = Proposals()
        for fold, model in enumerate(self.models):
            own = [row for row in kept.rows if fold_of(row["image_id"], len(self.models)) == fold]
            for start in range(0, len(own), self.batch):
                self._predict_batch(model, own[start : start + self.batch], kept, inputs, found)
        ids = inputs.images["image_id"].to_pylist()
        table = record_table([found.answers.get(image_id, {"image_id": image_id}) for image_id in ids])
        revision, evidence = inputs.unit.revision, evidence_table(found.evidence)
        files = {
            "data": commits.put_table(shard, table, revision),
            EVIDENCE_PART: commits.put_table(shard, evidence, revision, EVIDENCE_PART),
        }
        if self.texts:
            text_evidence = text_evidence_table(found.text_evidence)
            files[TEXT_EVIDENCE_PART] = commits.put_table(shard, text_evidence, revision, TEXT_EVIDENCE_PART)
        failed = sum(bool(row.get("failures")) for row in found.answers.values())
        return Output(files, len(ids), failed)

    def _predict_batch(
        self, model: Florence, rows: Sequence[Row], kept: KeptShard, inputs: ShardInputs, found: Proposals
    ) -> None:
        """Predicts and scores annotations for some images. Each image is encoded once.

        If it cannot be read, that is a failure.
        """
        from model.network.encoding import encode_images

        readable, pixels = [], []
        for row in rows:
            image = kept.images[row["image_id"]]
            try:
                pixels.append(self._pixels(image, inputs))
                readable.append(row)
            except ImageError as error:
                failure = {"component": self.name, "reason": error.reason, "error": str(error), "attempts": 1}
                found.answers[row["image_id"]] = {"image_id": row["image_id"], "failures": [failure]}
        if not readable:
            return
        encoded = encode_images(model, pixels)
        self._predict_regions(model, encoded, readable, found)
        found.evidence += self._score_kept(model, encoded, readable, kept)
        if self.texts:
            self.texts.predict_batch(model, encoded, readable, found)

    def _pixels(self, image: Row, inputs: ShardInputs) -> Any:
        return image_pixels(inputs.storage, image, self.limits)

    def _predict_regions(self, model: Florence, encoded: EncodedImages, rows: Sequence[Row], found: Proposals) -> None:
        from model.decoding.predict import predict
        from model.network.encoding import make_question

        questions = [make_question(number, OBJECT_DETECTION) for number in range(len(rows))]
        tokens, size = self.max_new_tokens, self.batch
        answers = predict(model, encoded, questions, batch_size=size, location=self.location, max_new_tokens=tokens)
        for row, prediction in zip(rows, answers, strict=True):
            self._add_regions(row["image_id"], prediction, found)

    def _add_regions(self, image_id: str, prediction: Prediction, found: Proposals) -> None:
        regions: list[Row] = []
        for one, likelihood in zip(prediction.parsed.regions, prediction.likelihood.regions, strict=True):
            if one.box is None or one.box[2] <= one.box[0] or one.box[3] <= one.box[1]:
                continue  # because the box has no area on the grid of locations
            name, score = f"{self.name}/{len(regions)}", likelihood.score
            regions.append(region_row(name, self.name, self.round, one.label, one.box, score, SCORE_KIND, []))
            found.evidence.append(Evidence(image_id, name, True, likelihood.label, likelihood.location))
        found.answers[image_id] = {"image_id": image_id, "regions": regions}

    def _score_kept(
        self, model: Florence, encoded: EncodedImages, rows: Sequence[Row], kept: KeptShard
    ) -> Iterator[Evidence]:
        """Yields the student's probability of each kept region. Regions that do not fit into a target are left out."""
        from model.decoding.score import score
        from model.network.encoding import make_question

        questions, targets, scored = [], [], []
        for number, row in enumerate(rows):
            image, items = kept.images[row["image_id"]], self._items(row)
            target = write_target(
                "labelled_boxes", items, width=image["width"], height=image["height"], order=self.order
            )
            if items and len(model.target_ids(target)) <= model.max_tokens:
                questions.append(make_question(number, OBJECT_DETECTION))
                targets.append(target)
                scored.append((row["image_id"], items))
        scores = score(model, encoded, questions, targets, batch_size=self.batch)
        for (image_id, items), one in zip(scored, scores, strict=True):
            for item, found in zip(items, one.likelihood.regions, strict=True):
                yield Evidence(image_id, item.ids[0], False, found.label, found.location)

    def _items(self, row: Row) -> list[Item]:
        """The kept objects that the grammar of targets can express, in the order of a target."""
        items = [
            Item(region["label"], row_box(region), ids=(region["id"],))
            for region in row["regions"]
            if region["kind"] == "object"
        ]
        items = [item for item in items if not item_fault("labelled_boxes", item)]
        return list(in_target_order("labelled_boxes", items, self.order))
