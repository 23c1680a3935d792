"""A new task is an entry of the table of tasks: everything else follows from its facts."""

from __future__ import annotations

import numpy as np
import pytest

from engine.records.answers import check_answer
from engine.schema import ANNOTATIONS, Region, Sample
from model.decoding.score import score
from model.florence2_tasks import TASKS, Task, input_of
from model.network.encoding import make_question
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import PAIRS, pair_row
from model.pairs.parsing import parse_target
from pipelines.emit.verifiers.one_pair import RecordProof
from specialists.florence2.answers import AnswerBuilder
from specialists.florence2.specialist import Florence2
from tests.model.pictured import HEIGHT, WIDTH, pictured
from tests.model.tiny import tiny

NEW = (
    Task("<ALT_TEXT>", "What is the alternative text?", "text", "texts", "", "detailed", ("texts",)),
    Task("<PARTS>", "Describe all objects.", "labelled_boxes", "descriptions", "", "brief", ("boxes", "region_texts")),
    Task("<FIND>", "Where are {input}?", form="repeated_boxes", reads="names", input="names", makes=("boxes",)),
    Task("<READ>", "Read {input}.", "text", "printed", "region", "ocr", ("region_texts",)),
)


@pytest.mark.parametrize("task", NEW, ids=lambda task: task.name)
def test_a_new_task_of_an_existing_form_needs_only_its_entry(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, task.name, task)
    record = pictured()
    whole = dict.fromkeys(ANNOTATIONS, ()) | record | {"width": WIDTH, "height": HEIGHT}
    pairs = compile_pairs(record, width=WIDTH, height=HEIGHT, options=PairOptions(tasks=[task.name])).pairs

    assert pairs
    for pair in pairs:
        parsed = parse_target(task.name, pair.target, width=WIDTH, height=HEIGHT)
        assert parsed.faults == []
        assert parsed.text or parsed.regions
        image = {name: record.get(name, 0) for name in PAIRS.names[:7]}
        assert RecordProof(whole).fault(pair_row(pair, image)) == ""

    component = Florence2(checkpoint="owner/name", tasks=[task.name], names=["car"] if task.input == "names" else [])
    assert set(component.gives) == {*task.makes, "image_scores"}

    builder = AnswerBuilder(Sample("0" * 32, WIDTH, HEIGHT, np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
    question = make_question(0, task.name, input_of(task.name, pairs[0].prompt))
    (prediction,) = score(tiny(), [np.zeros((HEIGHT, WIDTH, 3), np.uint8)], [question], [pairs[0].target])
    subject = Region(0, 0, 9, 9, kind="text", id="ocr/0") if task.input == "region" else None
    builder.add(task.name, prediction, subject)
    answer = builder.finish()
    assert check_answer(answer, builder.sample, component.gives) == ""
    assert answer.texts or answer.regions or answer.region_texts
    assert not answer.image_scores
