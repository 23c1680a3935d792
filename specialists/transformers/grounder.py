"""Finds boxes for words with any open-vocabulary detector of transformers. The words are noun chunks
of texts, or given labels.

The score of a phrase and the scores of its boxes are stored separately, because the paper (section 4.2) has a threshold
for each. The rule `min_phrase_score` reads the first and `min_score` the second. Scores of different models are not on
one scale. open_vocabulary.py describes what the scores of each model are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.config.ranges import Count, Number, Share
from engine.errors import ConfigError, unknown
from engine.schema import GRANULARITIES, Answer, Chunk, Sample, Text
from specialists.pixels import pixels_of
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.licences import licence_of
from specialists.transformers.open_vocabulary import Found, OpenVocabulary, family_of
from specialists.transformers.phrase_prompts import prompt_name
from specialists.transformers.phrase_regions import AnswerBuilder, Limits, Named, corners, detected, named

Plan = list[
    tuple[Text, list[tuple[Chunk, str]]]
]  # texts, each with its chunks and the names that stand for the chunks in prompts


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt about one image of the batch. `scope`: id of the text whose chunks it names; '' if it may name chunks
    of all texts.
    """

    image: int
    scope: str
    names: Sequence[str]


class HfGrounder:
    """Finds the regions of noun chunks, or the objects of given labels. Without `labels` it grounds every noun chunk of
    the texts. Each chunk becomes a phrase; if no box is good enough, its `region_ids` are empty. With `labels` it gives
    boxes.

    Checkpoints (`AutoModelForZeroShotObjectDetection`), both under Apache-2.0:
    openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det (`MMGroundingDinoForObjectDetection`, 0.7 GB of
    weights in float32), and google/owlv2-base-patch16-ensemble (`Owlv2ForObjectDetection`, 0.6 GB), which grounds all
    texts of an image at once. Without torchvision, preparing a photo of 12 megapixels for OWLv2 takes 30 s. Also
    supported are `GroundingDino-`, `OwlViT-` and `OmDetTurboForObjectDetection`; the released OmDet-Turbo needs the
    package timm.

    Options. labels: what to look for in every image; boxes get these labels. granularities: the granularities of the
    texts to ground; [] for all. min_words: chunks with fewer words are left out. box_floor, phrase_floor: boxes are
    left out if their own score is below box_floor, or the score of the phrase for this box is below phrase_floor. With
    `labels` there is only one score, and box_floor applies to it. Both defaults suit Grounding DINO; OWLv2 needs about
    .1. max_boxes: most boxes for a chunk or label; the best are kept. nms_iou: if two boxes of one chunk or label have
    a higher IoU, the worse is left out. names_per_prompt: most chunks or labels in a prompt; 0 for as many as fit. With
    fewer names in a prompt, Grounding DINO is slower, and its answer for a chunk depends less on other chunks.
    """

    needs: tuple[str, ...] = ("pixels", "texts", "parse")
    uses: ClassVar[tuple[str, ...]] = ()
    gives: tuple[str, ...] = ("boxes", "phrases", "phrase_regions")
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits of a score depend on the other prompts of the call
    packages: ClassVar[tuple[str, ...]] = PACKAGES
    extra: ClassVar[str] = EXTRA
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        labels: list[str] = [],  # noqa: B006 - never changed, and YAML's own type
        granularities: list[str] = [],  # noqa: B006
        min_words: Number = 1,
        box_floor: Share = 0.25,
        phrase_floor: Share = 0.25,
        max_boxes: Number = 20,
        nms_iou: Share = 0.7,
        names_per_prompt: Count = 0,
        dtype: Dtype = "float32",
        compile: bool = False,  # noqa: A002 - the recipe's word
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.labels, self.granularities, self.min_words = labels, granularities or list(GRANULARITIES), min_words
        self.limits = Limits(box_floor, 0.0 if labels else phrase_floor, nms_iou, max_boxes)
        self.names_per_prompt = names_per_prompt
        self.dtype, self.compile, self.batch_size = dtype, compile, batch_size
        self.cpus, self.gpus, self.timeout_s = cpus, gpus, timeout_s
        self._check()
        self.needs = ("pixels",) if labels else ("pixels", "texts", "parse")
        self.gives = ("boxes",) if labels else ("phrases", "phrase_regions")

    def _check(self) -> None:
        if unusable := [label for label in self.labels if not prompt_name(label)]:
            raise ConfigError(
                f"hf_grounder cannot look for the label '{unusable[0]}': give one with a letter or digit."
            )
        names = [prompt_name(label) for label in self.labels]
        if twice := [label for label, name in zip(self.labels, names, strict=True) if names.count(name) > 1]:
            raise ConfigError(f"hf_grounder cannot tell the labels '{twice[0]}' and '{twice[1]}' apart: leave one out.")
        for granularity in self.granularities:
            if granularity not in GRANULARITIES:
                raise unknown("granularity", granularity, GRANULARITIES)

    @property
    def weights_licence(self) -> str:
        return licence_of(self.source.name)

    @property
    def weights(self) -> tuple[str, ...]:
        return self.source.weights

    @property
    def resolved(self) -> Mapping[str, str]:
        return self.source.resolved

    def load(self) -> None:
        from transformers import AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

        given: dict[str, Any] = {"gpus": self.gpus, "dtype": self.dtype, "cpus": self.cpus, "compiled": self.compile}
        self.model = self.source.load_model(AutoModelForZeroShotObjectDetection, **given)
        self.images = self.source.load(AutoImageProcessor)
        tokenizer = self.source.load(AutoTokenizer)
        self.family: OpenVocabulary = family_of(self.source.name, self.model, tokenizer)
        self.special: Sequence[str] = tokenizer.all_special_tokens

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order."""
        plans = [self._plan(sample) for sample in batch]
        questions = [question for number, plan in enumerate(plans) for question in self._questions(number, plan)]
        found: dict[tuple[int, str, str], Named] = {}
        for question, answer in self._answers(batch, questions):
            for name, own in zip(question.names, self._named(batch[question.image], answer), strict=True):
                found[question.image, question.scope, name] = own
        return [self._answer(number, plan, found) for number, plan in enumerate(plans)]

    def _plan(self, sample: Sample) -> Plan:
        """The texts to ground, each with its chunks and the names that stand for the chunks in prompts. Empty with
        `labels`.
        """
        if self.labels:
            return []
        texts = [text for text in sample.texts if text.granularity in self.granularities]
        return [
            (
                text,
                [(chunk, self._name(chunk.text)) for chunk in sample.parse[text.text_key].chunks if self._asks(chunk)],
            )
            for text in texts
            if text.text_key in sample.parse
        ]

    def _asks(self, chunk: Chunk) -> bool:
        return len(chunk.text.split()) >= self.min_words

    def _name(self, words: str) -> str:
        return self.family.fit(prompt_name(words, self.special))

    def _questions(self, image: int, plan: Plan) -> Iterator[Question]:
        """All prompts about an image. Empty names are left out."""
        names: dict[str, list[str]] = {"": list(map(self._name, self.labels))}
        for text, chunks in plan:
            names.setdefault(self._scope(text), []).extend(name for _, name in chunks if name)
        for scope, own in names.items():
            groups = self.family.groups(list(dict.fromkeys(own)), self.names_per_prompt)
            yield from (Question(image, scope, group) for group in groups)

    def _scope(self, text: Text) -> str:
        return "" if self.family.independent else text.id

    def _answers(self, batch: Sequence[Sample], questions: Sequence[Question]) -> Iterator[tuple[Question, Found]]:
        """All questions with their answers. Images of one call have the same size, because padding affects the
        answers.
        """
        import torch

        tensors = {number: self._tensors(batch[number]) for number in {question.image for question in questions}}
        alike: dict[tuple[Any, int], list[Question]] = {}
        for question in questions:
            count = len(question.names) if self.family.same_count else 0
            alike.setdefault((tensors[question.image]["pixel_values"].shape, count), []).append(question)
        for same in alike.values():
            for start in range(0, len(same), len(batch)):  # if the engine halves the batch, calls become smaller too
                part = same[start : start + len(batch)]
                own = [tensors[question.image] for question in part]
                images = {name: torch.cat([each[name] for each in own]) for name in own[0]}
                with torch.inference_mode():
                    answers = self.family.ask(images, [question.names for question in part])
                yield from zip(part, answers, strict=True)

    def _tensors(self, sample: Sample) -> dict[str, Any]:
        pixels = self.family.prepare(pixels_of(sample))
        made = self.images(images=[pixels], input_data_format="channels_last", return_tensors="pt")
        made["pixel_values"] = made["pixel_values"].to(self.model.dtype)
        return {name: tensor.to(self.model.device) for name, tensor in made.items()}

    def _named(self, sample: Sample, found: Found) -> Iterator[Named]:
        """The boxes of each name in a prompt."""
        frame = self.family.frame(sample.width, sample.height)
        boxes = corners(found, frame, sample.width, sample.height)
        if self.labels:
            return detected(boxes, found.phrase, self.limits)
        columns = zip(found.phrase.T, found.box.T, strict=True)
        return (named(boxes, phrase, box, self.limits) for phrase, box in columns)

    def _answer(self, image: int, plan: Plan, found: Mapping[tuple[int, str, str], Named]) -> Answer:
        builder = AnswerBuilder(phrase_kind=self.family.phrase_kind, box_kind=self.family.box_kind)
        for label in self.labels:
            builder.add_objects(label, found[image, "", self._name(label)])
        nothing = Named()
        chunks = [(text, chunk, (image, self._scope(text), name)) for text, own in plan for chunk, name in own]
        builder.add_phrases([(text, chunk, found.get(asked, nothing)) for text, chunk, asked in chunks])
        return builder.answer
