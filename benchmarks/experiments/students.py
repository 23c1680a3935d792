"""Students that were never trained: one that knows the truth, one that looks at the wrong image.

They replace `pipelines.refine.propose.Propose` in a run in this process, to see what the merge and the gate make of
them.
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
from pipelines.refine.propose import Propose
from pipelines.refine.rows import KeptShard, Row, region_row
from specialists.synthetic.world import scene_at

_SURE, _UNSURE = 0.95, 0.02


class Oracle(Propose):
    """Sees what was drawn, and finds likely what overlaps it."""

    def _look(
        self,
        model: Any,
        rows: Sequence[Row],
        kept: KeptShard,
        inputs: ShardInputs,
        answers: dict[str, Row],
        evidence: list[Row],
    ) -> None:
        for row in rows:
            image_id = row["image_id"]
            drawn = [as_row(one) for one in scene_at(kept.images[image_id]["sources"][0]["uri"]).truth.regions]
            objects = [one for one in drawn if one["kind"] == "object"]
            answers[image_id] = {"image_id": image_id, "regions": list(self._said(objects))}
            ids = [region["id"] for region in answers[image_id]["regions"]]
            evidence += [_thinks(image_id, name, True, _SURE, _SURE) for name in ids]
            for given in row["regions"]:
                near = [one for one in objects if iou(row_box(one), row_box(given)) >= 0.4]
                named = any(one["label"] == given["label"] for one in near)
                evidence.append(
                    _thinks(image_id, given["id"], False, _SURE if named else _UNSURE, _SURE if near else _UNSURE)
                )

    def _said(self, objects: Sequence[Row]) -> Iterator[Row]:
        for number, one in enumerate(objects):
            name = f"{self.name}/{number}"
            yield region_row(name, self.name, self.round, one["label"], row_box(one), _SURE, SCORE_KIND, [])


class Shuffled(Propose):
    """A trained student that is shown the shard's next image in the place of each."""

    def _pixels(self, image: Row, inputs: ShardInputs) -> Any:
        images = inputs.images.to_pylist()
        place = next(number for number, one in enumerate(images) if one["image_id"] == image["image_id"])
        return super()._pixels(images[(place + 1) % len(images)], inputs)


def _thinks(image_id: str, region_id: str, proposed: bool, label: float, location: float) -> Row:
    about = {"image_id": image_id, "region_id": region_id, "proposed": proposed}
    return about | {"label": label, "location": location}


@contextmanager
def instead(student: type[Propose] | None) -> Iterator[None]:
    """Rounds ask this student; None: those that are trained."""
    if student is None:
        yield
        return
    with mock.patch("pipelines.refine.propose.Propose", student):
        yield
