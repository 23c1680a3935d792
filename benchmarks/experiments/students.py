"""Students for tests of the gate: one that proposes the true objects, and one that gets the wrong images.

`use_student` puts one in the place of `pipelines.refine.propose.Propose`, for runs in this process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from engine.records.boxes import iou, row_box
from engine.running.shard_inputs import ShardInputs
from engine.schema import as_row
from model.decoding.likelihood import SCORE_KIND
from pipelines.refine.evidence import Evidence
from pipelines.refine.propose import Propose
from pipelines.refine.propose_texts import Proposals
from pipelines.refine.rows import KeptShard, Row, region_row
from specialists.synthetic.world import scene_at

_SURE, _UNSURE = 0.95, 0.02


class Oracle(Propose):
    """Proposes the drawn objects, and finds a kept box probable if it overlaps one of them."""

    def _predict_batch(
        self, model: Any, rows: Sequence[Row], kept: KeptShard, inputs: ShardInputs, found: Proposals
    ) -> None:
        for row in rows:
            image_id = row["image_id"]
            drawn = [as_row(one) for one in scene_at(kept.images[image_id]["sources"][0]["uri"]).truth.regions]
            objects = [one for one in drawn if one["kind"] == "object"]
            regions = list(self._regions(objects))
            found.answers[image_id] = {"image_id": image_id, "regions": regions}
            found.evidence += [Evidence(image_id, region["id"], True, _SURE, _SURE) for region in regions]
            for given in row["regions"]:
                near = [one for one in objects if iou(row_box(one), row_box(given)) >= 0.4]
                label = _SURE if any(one["label"] == given["label"] for one in near) else _UNSURE
                found.evidence.append(Evidence(image_id, given["id"], False, label, _SURE if near else _UNSURE))

    def _regions(self, objects: Sequence[Row]) -> Iterator[Row]:
        for number, one in enumerate(objects):
            name = f"{self.name}/{number}"
            yield region_row(name, self.name, self.round, one["label"], row_box(one), _SURE, SCORE_KIND, [])


class Shuffled(Propose):
    """A trained student that gets the pixels of the next image of the shard instead of those of each image."""

    def _pixels(self, image: Row, inputs: ShardInputs) -> Any:
        images = inputs.images.to_pylist()
        row = next(number for number, one in enumerate(images) if one["image_id"] == image["image_id"])
        return super()._pixels(images[(row + 1) % len(images)], inputs)


@contextmanager
def use_student(student: type[Propose] | None) -> Iterator[None]:
    """Rounds run this student instead of the trained ones. None changes nothing."""
    if student is None:
        yield
        return
    with mock.patch("pipelines.refine.propose.Propose", student):
        yield
