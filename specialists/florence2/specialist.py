"""Runs any tasks of a Florence-2 model. Each image is encoded once for all questions.

Scores are the model's own probabilities of what it wrote (model/decoding/likelihood.py). They are comparable within a
task, and `engine eval --fit` calibrates them. Answers that are malformed, cut off or unusable are not repaired. They
are counted in the image score `malformed`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from engine.config.ranges import Share
from engine.errors import ConfigError
from engine.extras import FLORENCE
from engine.layout import TRAINED
from engine.licences import OWN
from engine.schema import Answer, Region, Sample, Text
from model.florence2_tasks import TASKS, Task, task_of
from model.network.model_folder import local_copy
from model.pairs.locations import location_tokens
from model.pairs.parsing import text_fault
from specialists.florence2.answers import AnswerBuilder
from specialists.transformers.checkpoint import Checkpoint, device_of
from specialists.transformers.licences import licence_of

_FILES = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "model.safetensors.index.json"),
)


class Florence2:
    """Runs the tasks of a Florence-2 model. The tasks decide which columns the node needs and gives.

    Captions become texts. <OD>, <OPEN_VOCABULARY_DETECTION>, <REGION_PROPOSAL>, <REFERRING_EXPRESSION_SEGMENTATION>
    (with a mask) and <DENSE_REGION_CAPTION> (with a brief text) become boxes for `consensus`. <OCR_WITH_REGION> becomes
    printed text. <CAPTION_TO_PHRASE_GROUNDING> grounds the captions that this node writes; if it writes none, it
    grounds the texts of other nodes. <REGION_TO_SEGMENTATION> adds masks to regions of other nodes, and the other
    <REGION_TO_...> tasks add texts to them. A node that gives boxes cannot read the regions that `consensus` makes of
    them; use a second node for that.

    Options. checkpoint: a folder, models/NAME of the data set, or a hub id such as florence-community/Florence-2-base
    (MIT, 0.5 GB of weights in float16; Florence-2-large 1.6 GB). revision: branch, tag or commit of a hub id; the
    commit is part of the node's key. tasks: the tasks to run on each image. min_score: regions of other nodes with a
    lower score are skipped; human regions never are. Filters run after this node, so a threshold here saves time if
    many regions are dropped later. names: the names to look for, in the tasks that take names; each is a separate
    question. location: "argmax" writes the most probable location, and "median" the median of all locations, which is
    much more accurate for small models. constrained: whether only valid targets are allowed. max_new_tokens: longest
    answer in tokens, at most the decoder's own maximum. dtype: number type of the weights. gpus: GPUs for each worker;
    with 0 the worker uses the CPU with `cpus` threads.
    """

    packages: ClassVar[tuple[str, ...]] = FLORENCE
    extra: ClassVar[str] = "florence"
    score_names: ClassVar[tuple[str, ...]] = ("malformed",)
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.florence2:Florence2"
    deterministic: ClassVar[bool] = False  # the last digits of a score depend on the rest of the batch
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers
    needs: tuple[str, ...] = ("pixels",)
    uses: tuple[str, ...] = ()
    gives: tuple[str, ...] = tuple(dict.fromkeys(kind for task in TASKS.values() for kind in task.makes))
    gives += ("image_scores",)

    def __init__(
        self,
        *,
        checkpoint: str,
        tasks: list[str],
        revision: str = "",
        names: list[str] = [],  # noqa: B006 - never changed, and YAML's own type
        min_score: Share = 0.0,
        location: Literal["argmax", "median"] = "argmax",
        constrained: bool = True,
        max_new_tokens: int = 1024,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.checkpoint, self.tasks, self.names = checkpoint, list(dict.fromkeys(tasks)), names
        self.source = Checkpoint(checkpoint, revision)
        self.decoding: dict[str, Any] = {
            "location": location,
            "constrained": constrained,
            "max_new_tokens": max_new_tokens,
        }
        self.dtype, self.batch_size, self.min_score = dtype, batch_size, min_score
        self.cpus, self.gpus, self.timeout_s = cpus, gpus, timeout_s
        self._check()
        self._declare()

    def _check(self) -> None:
        if self.source.revision and (self._is_url or self.source.is_folder):
            raise ConfigError(
                f"florence2's checkpoint '{self.checkpoint}' has the revision '{self.source.revision}': only a hub id "
                "has revisions, so leave it out."
            )
        if not self.tasks:
            raise ConfigError(f"florence2 has no tasks: give some of {', '.join(_answerable())}.")
        for task in self.tasks:
            if not task_of(task).makes:
                raise ConfigError(
                    f"florence2 cannot keep answers to {task} as annotations: give another task, for printed text "
                    "<OCR_WITH_REGION>."
                )
        asking = [name for name in self.tasks if task_of(name).input == "names"]
        if asking and not self.names:
            raise ConfigError(f"florence2's task {asking[0]} needs `names`: give the names of what to look for.")
        if self.names and not asking:
            every = " or ".join(task.name for task in TASKS.values() if task.input == "names")
            raise ConfigError(f"florence2 has `names` but no task that takes any: leave them out, or add {every}.")
        if bad := [name for name in self.names if text_fault(name)]:
            raise ConfigError(f"florence2 cannot put this name into a prompt, '{bad[0]}': {text_fault(bad[0])}.")
        if self.decoding["max_new_tokens"] < 4:
            raise ConfigError(f"florence2's max_new_tokens is {self.decoding['max_new_tokens']}: expected 4 or more.")

    def _declare(self) -> None:
        """Sets the columns that the node needs, uses and gives. They depend on the tasks."""
        tasks = [task_of(name) for name in self.tasks]
        self.grounds_own_captions = any(task.reads == "texts" for task in tasks)
        inputs = [_needed(task) for task in tasks if not (task.input == "caption" and self.grounds_own_captions)]
        made = [kind for task in tasks for kind in task.makes]
        self.needs = tuple(dict.fromkeys(["pixels", *filter(None, inputs)]))
        self.gives = tuple(dict.fromkeys([*made, "image_scores"]))
        # Phrases may name regions that already exist.
        matches = any(task.input == "caption" for task in tasks) and "boxes" not in made and "regions" not in inputs
        self.uses = ("regions",) if matches else ()

    @property
    def weights_licence(self) -> str:
        return OWN if self._is_url else licence_of(self.checkpoint)

    @property
    def _is_url(self) -> bool:
        """Whether the checkpoint is a model trained in a data set that is not local."""
        return "://" in self.checkpoint

    @property
    def resolved(self) -> Mapping[str, str]:
        """{"revision": commit} for a hub id; empty for other checkpoints."""
        return {} if self._is_url else self.source.resolved

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The paths of the files whose content affects the answers. Empty for a hub id, because its commit identifies
        the content.
        """
        if self._is_url:
            return (f"{self.checkpoint}/{TRAINED}",)
        if not self.source.is_folder:
            return self.source.weights
        names = sorted(os.listdir(self.checkpoint))
        found = [name for name in names if name.endswith(".safetensors")]
        if not found:
            raise ConfigError(f"'{self.checkpoint}' holds no safetensors: give the folder of a Florence-2 checkpoint.")
        return tuple(os.path.join(self.checkpoint, name) for name in names if name in (*found, *_FILES))

    def load(self) -> None:
        import torch

        from model.network.florence import load

        torch.set_num_threads(max(1, int(self.cpus)))
        self.florence = load(
            self._local(), revision=self.source.revision, device=device_of(self.gpus), dtype=self.dtype
        )

    def _local(self) -> str:
        if not self._is_url:
            return self.checkpoint
        import tempfile

        from engine.storage.files import Storage

        parent, _, name = self.checkpoint.rpartition("/")
        return local_copy(Storage(parent), name, Path(tempfile.mkdtemp(prefix="florence2-")))

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order. Captions are written first, because grounding may read
        them.
        """
        from model.network.encoding import encode_images

        builders = [AnswerBuilder(sample) for sample in batch]
        images = encode_images(self.florence, [_pixels(sample) for sample in batch])
        tasks = [task_of(name) for name in self.tasks]
        self._ask(images, builders, [task for task in tasks if task.input != "caption"])
        self._ask(images, builders, [task for task in tasks if task.input == "caption"])
        return [builder.finish() for builder in builders]

    def _ask(self, images: Any, builders: Sequence[AnswerBuilder], tasks: Sequence[Task]) -> None:
        from model.decoding.predict import predict
        from model.network.encoding import make_question, prompt_tokens

        questions, subjects = [], []
        for number, builder in enumerate(builders):
            for task, input_, subject in self._questions(tasks, builder):
                question = make_question(number, task, input_)
                try:
                    prompt_tokens(self.florence, question.prompt)
                except ValueError:
                    builder.count_malformed(task, "prompt_too_long")
                else:
                    questions.append(question)
                    subjects.append(subject)
        predictions = predict(self.florence, images, questions, batch_size=self.batch_size, **self.decoding)
        for question, subject, prediction in zip(questions, subjects, predictions, strict=True):
            builders[question.image].add(question.task, prediction, subject)

    def _questions(self, tasks: Sequence[Task], builder: AnswerBuilder) -> Iterator[tuple[str, str, Any]]:
        """All questions about an image: (task, input of the prompt, subject). The subject is the region, name or text
        that the answer is about.
        """
        for task in tasks:
            if task.input == "caption":
                yield from ((task.name, text.text, text) for text in self._captions(task, builder))
            elif task.input == "names":
                yield from ((task.name, name, name) for name in self.names)
            elif task.input == "region":
                regions = [region for region in builder.sample.regions if region.kind == task.region_kind]
                trusted = [region for region in regions if self._trusted(region)]
                yield from ((task.name, _locations(region, builder.sample), region) for region in trusted)
            else:
                yield task.name, "", None

    def _trusted(self, region: Region) -> bool:
        return region.score is None or region.score >= self.min_score

    def _captions(self, task: Task, builder: AnswerBuilder) -> Iterator[Text]:
        """The texts to ground. A text that cannot be put into a prompt is skipped and counted as malformed."""
        for text in builder.answer.texts if self.grounds_own_captions else builder.sample.texts:
            if reason := text_fault(text.text):
                builder.count_malformed(task.name, reason)
            else:
                yield text


def _answerable() -> list[str]:
    return [task.name for task in TASKS.values() if task.makes]


def _needed(task: Task) -> str:
    """The resource (engine/component.py) that provides the prompt's input; '' if no resource is needed."""
    if task.input == "region":
        return "ocr" if task.region_kind == "text" else "regions"
    return "texts" if task.input == "caption" else ""


def _locations(region: Region, sample: Sample) -> str:
    return location_tokens((region.x1, region.y1, region.x2, region.y2), sample.width, sample.height)


def _pixels(sample: Sample) -> Any:
    if sample.pixels is None:
        raise ConfigError("florence2 needs the pixels of every sample, but one has none.")
    return sample.pixels
