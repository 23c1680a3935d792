"""Predicts a student's texts in a refinement round, and computes the student's probability of each kept text.

This covers only the caption tasks and <REGION_TO_DESCRIPTION> in refine.tasks. The name of a region
(<REGION_TO_CATEGORY>) is its label, which the merge of regions decides. apply_text_merge.py decides which texts to use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.florence2_tasks import CAPTIONS, DESCRIPTION
from model.pairs.locations import location_tokens
from model.pairs.parsing import text_fault
from model.pairs.record_view import RecordView
from pipelines.refine.evidence import Evidence, TextEvidence
from pipelines.refine.rows import Row, provenance, region_text_row, text_row

if TYPE_CHECKING:
    from model.decoding.predict import Prediction
    from model.network.encoding import EncodedImages, Question
    from model.network.florence import Florence

TEXT_TASKS = (*CAPTIONS, DESCRIPTION)


@dataclass(slots=True)
class Proposals:
    """The students' predictions for a shard. answers: {image id: record row}. Regions are added before texts."""

    answers: dict[str, Row] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    text_evidence: list[TextEvidence] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TextQuestion:
    """A question whose answer is a text. region_id: the region that the text describes; '' for the whole image."""

    question: Question
    granularity: str
    region_id: str = ""


class TextProposer:
    """Predicts texts for images that are already encoded, and scores the kept texts."""

    def __init__(self, name: str, round_number: int, tasks: Sequence[str], batch: int, max_new_tokens: int) -> None:
        self.name, self.round, self.tasks = name, round_number, tasks
        self.batch, self.max_new_tokens = batch, max_new_tokens

    def predict_batch(self, model: Florence, encoded: EncodedImages, rows: Sequence[Row], found: Proposals) -> None:
        """Predicts texts for a batch of images and scores their kept texts. Adds both to `found`.

        `rows`: the records of the encoded images, in the same order.
        """
        from model.decoding.predict import predict

        asked = list(self._questions(encoded, rows))
        questions, tokens = [one.question for one in asked], self.max_new_tokens
        predictions = predict(model, encoded, questions, batch_size=self.batch, max_new_tokens=tokens)
        for one, prediction in zip(asked, predictions, strict=True):
            answer = found.answers[rows[one.question.image]["image_id"]]
            new = self._add_text(one, prediction, answer)
            if new is not None:
                found.text_evidence.append(_evidence(answer, new, prediction, proposed=True))
        found.text_evidence += self._score_kept(model, encoded, rows, asked)

    def _questions(self, encoded: EncodedImages, rows: Sequence[Row]) -> Iterator[TextQuestion]:
        from model.network.encoding import make_question

        for number, row in enumerate(rows):
            for task in self.tasks:
                if task in CAPTIONS:
                    yield TextQuestion(make_question(number, task), CAPTIONS[task])
            if DESCRIPTION in self.tasks:
                width, height = encoded.sizes[number]
                for thing in RecordView(row, width=width, height=height).objects:
                    if not thing.crowd and not thing.outside:
                        tokens = location_tokens(thing.box, width, height)
                        yield TextQuestion(make_question(number, DESCRIPTION, tokens), "brief", thing.id)

    def _add_text(self, one: TextQuestion, prediction: Prediction, answer: Row) -> Row | None:
        """Adds a text to the answer and returns its row. None if the text was cut off, malformed or empty."""
        text = prediction.parsed.text
        if prediction.cut or prediction.parsed.faults or not text.strip():
            return None
        texts, region_texts = answer.setdefault("texts", []), answer.setdefault("region_texts", [])
        name = f"{self.name}/{len(answer['regions']) + len(texts) + len(region_texts)}"
        common = provenance(name, self.name, self.round, prediction.likelihood.text, [])
        about = one.region_id
        new = region_text_row(common, about, text) if about else text_row(common, one.granularity, text)
        (region_texts if about else texts).append(new)
        return new

    def _score_kept(
        self, model: Florence, encoded: EncodedImages, rows: Sequence[Row], asked: Sequence[TextQuestion]
    ) -> Iterator[TextEvidence]:
        """Yields the scores of kept texts that models wrote.

        Human texts are skipped because they never change. Texts that the student cannot write are skipped too.
        """
        from model.decoding.score import score

        questions, items = [], []
        for one in asked:
            for item in _kept_texts(rows[one.question.image], one):
                fits = not text_fault(item["text"]) and len(model.target_ids(item["text"])) <= model.max_tokens
                if fits and item["score"] is not None:
                    questions.append(one.question)
                    items.append(item)
        scores = score(model, encoded, questions, [item["text"] for item in items], batch_size=self.batch)
        for question, item, prediction in zip(questions, items, scores, strict=True):
            yield _evidence(rows[question.image], item, prediction, proposed=False)


def _kept_texts(row: Row, one: TextQuestion) -> list[Row]:
    """The kept texts that could be the answer to a question."""
    texts = row["region_texts"] if one.region_id else row["texts"]
    same = [text for text in texts if text["granularity"] == one.granularity]
    return [text for text in same if text["region_id"] == one.region_id] if one.region_id else same


def _evidence(image: Row, text: Row, prediction: Prediction, *, proposed: bool) -> TextEvidence:
    return TextEvidence(image["image_id"], text["id"], proposed, prediction.likelihood.mean_log_prob)
