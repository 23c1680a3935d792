"""Whatever a Florence-2 can be asked of an image, in one load: an image is encoded once for all its questions.

Scores are the model's own probabilities of what it wrote (model/decoding/likelihood.py): comparable between answers of
one task, calibrated by `engine eval --fit`. What is malformed, cut off or of no use is counted in the image score
`malformed`, never repaired.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from engine.config.ranges import Share
from engine.errors import ConfigError, unknown
from engine.extras import FLORENCE
from engine.layout import TRAINED
from engine.schema import Answer, Region, Sample, Text
from model.pairs.locations import location_tokens
from model.pairs.parsing import text_fault
from model.pairs.tasks import task_of
from specialists.florence2.answers import Reply

GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
_CAPTIONS = ("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>")
_NAMED = ("<OPEN_VOCABULARY_DETECTION>", "<REFERRING_EXPRESSION_SEGMENTATION>")
_OF_REGIONS = ("<REGION_TO_SEGMENTATION>", "<REGION_TO_CATEGORY>", "<REGION_TO_DESCRIPTION>")

# What each task makes (engine/component.py). <OCR> is not here: words without a place have none in a record.
MAKES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_CAPTIONS, ("texts",)),
    "<OD>": ("boxes",),
    "<REGION_PROPOSAL>": ("boxes",),
    **dict.fromkeys(_NAMED, ("boxes",)),
    "<DENSE_REGION_CAPTION>": ("boxes", "region_texts"),
    "<OCR_WITH_REGION>": ("ocr",),
    GROUNDING: ("phrases", "phrase_regions"),
    "<REGION_TO_SEGMENTATION>": ("masks",),
    "<REGION_TO_CATEGORY>": ("region_texts",),
    "<REGION_TO_DESCRIPTION>": ("region_texts",),
    "<REGION_TO_OCR>": ("region_texts",),
}
_READS = dict.fromkeys(_OF_REGIONS, "regions") | {"<REGION_TO_OCR>": "ocr", GROUNDING: "texts"}
_FILES = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "model.safetensors.index.json"),
)


class Florence2:
    """What it needs and gives depends on its tasks; this is all of it.

    Captions become texts; <OD>, <OPEN_VOCABULARY_DETECTION>, <REFERRING_EXPRESSION_SEGMENTATION> (with a mask),
    <REGION_PROPOSAL> and <DENSE_REGION_CAPTION> (with a brief text) boxes for `consensus`; <OCR_WITH_REGION> printed
    text; <CAPTION_TO_PHRASE_GROUNDING> phrases of the captions it writes itself, or else of other nodes' texts;
    <REGION_TO_SEGMENTATION> masks, the other <REGION_TO_..> texts of other nodes' regions. A node that gives boxes
    cannot read what is made of them: use two.

    Options. checkpoint: a folder, models/NAME of the data set, or a hub id. tasks: what is asked of each image.
    min_score: other nodes' regions below it are not asked about; human ones always are. A threshold of the filters runs
    no network, so give one here where most regions are dropped.
    names: what the tasks that locate a name are asked for, one after the other.
    location: the most probable one (argmax), or the median of its distribution, which is far better of small models.
    constrained: only what the grammar of targets allows can be written.
    max_new_tokens: of an answer, at most as many as the decoder holds. dtype: of the weights.
    gpus: of a worker; 0: the CPU, with `cpus` threads.
    """

    packages: ClassVar[tuple[str, ...]] = FLORENCE
    extra: ClassVar[str] = "florence"
    score_names: ClassVar[tuple[str, ...]] = ("malformed",)
    version: ClassVar[int] = 1
    key_name: ClassVar[str] = "specialists.florence2:Florence2"
    deterministic: ClassVar[bool] = False  # the last digits of a score depend on who else is in the batch
    needs: tuple[str, ...] = ("pixels",)
    uses: tuple[str, ...] = ()
    gives: tuple[str, ...] = tuple(dict.fromkeys(kind for kinds in MAKES.values() for kind in kinds))
    gives += ("image_scores",)

    def __init__(
        self,
        *,
        checkpoint: str,
        tasks: list[str],
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
        if not self.tasks:
            raise ConfigError(f"florence2 was given no tasks: give some of {', '.join(MAKES)}.")
        for task in self.tasks:
            if task == "<OCR>":
                raise ConfigError("florence2 cannot keep what <OCR> answers, words without a place: <OCR_WITH_REGION>.")
            if task not in MAKES:
                raise unknown("task", task, MAKES)
        named = [task for task in self.tasks if task in _NAMED]
        if bool(named) != bool(self.names):
            wrong = f"{named[0]} needs `names`" if named else f"`names` are for {' and '.join(_NAMED)}"
            raise ConfigError(f"florence2's {wrong}: give both or neither.")
        if bad := [name for name in self.names if text_fault(name)]:
            raise ConfigError(f"florence2 cannot be asked for the name '{bad[0]}': {text_fault(bad[0])}.")
        if self.decoding["max_new_tokens"] < 4:
            raise ConfigError(
                f"florence2's max_new_tokens is {self.decoding['max_new_tokens']}: an answer takes 4 at least."
            )

    def _declare(self) -> None:
        self.grounds_own = any(task in _CAPTIONS for task in self.tasks)
        read = [_READS[task] for task in self.tasks if task in _READS and not (task == GROUNDING and self.grounds_own)]
        made = [kind for task in self.tasks for kind in MAKES[task]]
        self.needs = tuple(dict.fromkeys(["pixels", *read]))
        self.gives = tuple(dict.fromkeys([*made, "image_scores"]))
        # What a phrase names may be there already.
        matches = GROUNDING in self.tasks and "boxes" not in made and "regions" not in read
        self.uses = ("regions",) if matches else ()

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The files whose content decides the answers. A hub id stands for itself."""
        if "://" in self.checkpoint:
            return (f"{self.checkpoint}/{TRAINED}",)
        if not os.path.isdir(self.checkpoint):
            if self.checkpoint.startswith((".", "/")) or self.checkpoint.count("/") != 1:
                raise ConfigError(f"No checkpoint at '{self.checkpoint}': give a folder, models/NAME, or a hub id.")
            return ()
        there = sorted(os.listdir(self.checkpoint))
        found = [name for name in there if name.endswith(".safetensors")]
        if not found:
            raise ConfigError(f"'{self.checkpoint}' holds no safetensors: give the folder of a Florence-2 checkpoint.")
        return tuple(os.path.join(self.checkpoint, name) for name in there if name in (*found, *_FILES))

    def load(self) -> None:
        import torch

        from model.network.florence import load

        torch.set_num_threads(max(1, int(self.cpus)))
        self.florence = load(self._local(), device="cuda" if self.gpus else "cpu", dtype=self.dtype)

    def _local(self) -> str:
        if "://" not in self.checkpoint:
            return self.checkpoint
        import tempfile

        from engine.storage.files import Storage
        from model.network.model_folder import local_copy

        parent, _, name = self.checkpoint.rpartition("/")
        return local_copy(Storage(parent), name, Path(tempfile.mkdtemp(prefix="florence2-")))

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order. Its own captions are grounded after they are written."""
        from model.network.encoding import see

        replies = [Reply(sample) for sample in batch]
        seen = see(self.florence, [_pixels(sample) for sample in batch])
        first = [task for task in self.tasks if task != GROUNDING]
        for tasks in (first, [GROUNDING] if GROUNDING in self.tasks else []):
            self._ask(seen, replies, tasks)
        return [reply.finished() for reply in replies]

    def _ask(self, seen: Any, replies: Sequence[Reply], tasks: Sequence[str]) -> None:
        from model.decoding.predict import predict
        from model.network.encoding import ask, prompt_tokens

        asks, about = [], []
        for number, reply in enumerate(replies):
            for task, given, subject in self._questions(tasks, reply):
                asking = ask(number, task, given)
                try:
                    prompt_tokens(self.florence, asking.prompt)
                except ValueError:
                    reply.fault(task, "prompt_too_long")
                else:
                    asks.append(asking)
                    about.append(subject)
        predictions = predict(self.florence, seen, asks, batch_size=self.batch_size, **self.decoding)
        for asking, subject, prediction in zip(asks, about, predictions, strict=True):
            replies[asking.image].take(asking.task, prediction, subject)

    def _questions(self, tasks: Sequence[str], reply: Reply) -> Iterator[tuple[str, str, Any]]:
        """Task, what it is given, and what the answer is about."""
        for task in tasks:
            if not task_of(task).takes:
                yield task, "", None
            elif task in _NAMED:
                yield from ((task, name, name) for name in self.names)
            elif task == GROUNDING:
                yield from ((task, text.text, text) for text in self._texts(reply))
            else:
                kind = "text" if task == "<REGION_TO_OCR>" else "object"
                of_kind = [region for region in reply.sample.regions if region.kind == kind and self._trusted(region)]
                yield from ((task, _locations(region, reply.sample), region) for region in of_kind)

    def _trusted(self, region: Region) -> bool:
        return region.score is None or region.score >= self.min_score

    def _texts(self, reply: Reply) -> Iterator[Text]:
        """To be grounded; a prompt cannot hold what a tokenizer would take for a location."""
        for text in reply.answer.texts if self.grounds_own else reply.sample.texts:
            if reason := text_fault(text.text):
                reply.fault(GROUNDING, reason)
            else:
                yield text


def _locations(region: Region, sample: Sample) -> str:
    return location_tokens((region.x1, region.y1, region.x2, region.y2), sample.width, sample.height)


def _pixels(sample: Sample) -> Any:
    if sample.pixels is None:
        raise ConfigError("Florence2 was given a sample without pixels.")
    return sample.pixels
