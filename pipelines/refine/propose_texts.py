"""What a student writes in a round of refinement, and how likely it finds what is written already.

Asked for by caption tasks, and <REGION_TO_DESCRIPTION>, in refine.tasks; without them no text changes. What a region is
called (<REGION_TO_CATEGORY>) is its label, which the merge of boxes decides. The rest is in merge_texts.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from engine.schema import required
from model.pairs.locations import location_tokens
from model.pairs.parsing import text_fault
from model.pairs.record_view import RecordView
from model.pairs.tasks import CAPTIONS, DESCRIPTION
from pipelines.refine.rows import Row, provenance, region_text_row, text_row

if TYPE_CHECKING:
    from model.decoding.predict import Prediction
    from model.network.encoding import EncodedImages, Question
    from model.network.florence import Florence

TEXT_TASKS = (*CAPTIONS, DESCRIPTION)

# What a student thinks of a text, teacher-forced: of its own, and of those that are there.
TEXT_EVIDENCE = pa.schema(
    [
        required("image_id", pa.string()),
        required("text_id", pa.string()),
        required("proposed", pa.bool_()),
        required("mean_log_prob", pa.float64()),  # a token, the end among them
    ]
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question whose answer is a text. `about`: the region it tells of, '' for the image."""

    question: Question
    granularity: str
    about: str = ""


class Writing:
    """What a student writes of images it has seen, and how likely it finds what is written of them."""

    def __init__(self, name: str, round_number: int, tasks: Sequence[str], batch: int, max_new_tokens: int) -> None:
        self.name, self.round, self.tasks = name, round_number, tasks
        self.batch, self.max_new_tokens = batch, max_new_tokens
        self._evidence: list[Row] = []

    def take(self) -> list[Row]:
        """What it thinks of all it was shown since it was last asked, as TEXT_EVIDENCE."""
        taken, self._evidence = self._evidence, []
        return taken

    def look(self, model: Florence, seen: EncodedImages, rows: Sequence[Row], answers: Mapping[str, Row]) -> None:
        """The rows' answers get its texts."""
        from model.decoding.predict import predict

        wanted = list(self._wanted(seen, rows))
        said = predict(
            model, seen, [one.question for one in wanted], batch_size=self.batch, max_new_tokens=self.max_new_tokens
        )
        for one, prediction in zip(wanted, said, strict=True):
            answer = answers[rows[one.question.image]["image_id"]]
            if (new := self._proposed(one, prediction, answer)) is not None:
                self._evidence.append(_told(answer["image_id"], new["id"], prediction, proposed=True))
        self._evidence += self._of_given(model, seen, rows, wanted)

    def _wanted(self, seen: EncodedImages, rows: Sequence[Row]) -> Iterator[Wanted]:
        from model.network.encoding import make_question

        for number, row in enumerate(rows):
            for task in self.tasks:
                if task in CAPTIONS:
                    yield Wanted(make_question(number, task), CAPTIONS[task])
            if DESCRIPTION in self.tasks:
                width, height = seen.sizes[number]
                for thing in RecordView(row, width=width, height=height).objects:
                    if not thing.crowd and not thing.outside:
                        place = location_tokens(thing.box, width, height)
                        yield Wanted(make_question(number, DESCRIPTION, place), "brief", thing.id)

    def _proposed(self, one: Wanted, said: Prediction, answer: Row) -> Row | None:
        """None of what was cut off, or is no text."""
        text = said.parsed.text
        if said.cut or said.parsed.faults or not text.strip():
            return None
        texts, described = answer.setdefault("texts", []), answer.setdefault("region_texts", [])
        name = f"{self.name}/{len(answer['regions']) + len(texts) + len(described)}"
        told = provenance(name, self.name, self.round, said.likelihood.text, [])
        new = text_row(told, one.granularity, text) if not one.about else region_text_row(told, one.about, text)
        (described if one.about else texts).append(new)
        return new

    def _of_given(
        self, model: Florence, seen: EncodedImages, rows: Sequence[Row], wanted: Sequence[Wanted]
    ) -> Iterator[Row]:
        """What no target can hold the student is not asked about, nor what people wrote: it stays in any case."""
        from model.decoding.score import score

        questions, items = [], []
        for one in wanted:
            for item in _texts_of(rows[one.question.image], one):
                fits = not text_fault(item["text"]) and len(model.target_ids(item["text"])) <= model.max_tokens
                if fits and item["score"] is not None:
                    questions.append(one.question)
                    items.append(item)
        told = score(model, seen, questions, [item["text"] for item in items], batch_size=self.batch)
        for asked, item, said in zip(questions, items, told, strict=True):
            yield _told(rows[asked.image]["image_id"], item["id"], said, proposed=False)


def _texts_of(row: Row, one: Wanted) -> list[Row]:
    items = row["region_texts"] if one.about else row["texts"]
    own = [item for item in items if item["granularity"] == one.granularity]
    return [item for item in own if item["region_id"] == one.about] if one.about else own


def _told(image_id: str, text_id: str, said: Prediction, *, proposed: bool) -> Row:
    row = {"image_id": image_id, "text_id": text_id, "proposed": proposed}
    return row | {"mean_log_prob": said.likelihood.mean_log_prob}
