"""Scores how well texts match their image, with SigLIP 2, CLIP or a similar checkpoint.

Each image, each crop of a region and each distinct text of a batch is embedded once. A score is the cosine of the
embedding of a text and that of an image or crop. Cosines of two checkpoints cannot be compared. Nor can those of short
texts with those of long ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from engine.config.ranges import Amount, Share
from engine.errors import ConfigError
from engine.records.boxes import box_of, clipped
from engine.schema import Answer, ImageScore, Region, RegionText, Sample
from specialists.masks.crops import crop
from specialists.pixels import Pixels, pixels_of
from specialists.spacy_parse.specialist import PACKAGED_PIPELINE
from specialists.transformers.checkpoint import EXTRA, PACKAGES, Checkpoint, Dtype
from specialists.transformers.dual_encoder import DualEncoder, Floats
from specialists.transformers.licences import licence_of
from specialists.transformers.region_choice import Candidate, Chunker, best, candidates

Column = Literal["texts", "region_texts", "tags"]
SCORE, CANDIDATE_SCORE = "image_text", "region_text_candidate"
_SCORED: tuple[Column, ...] = ("texts", "region_texts", "tags")


@dataclass(slots=True)
class _Plan:
    """What has to be compared for one image. A picture is the whole image or the crop of a region, and a row is the
    number of a picture within the batch.

    `whole`: row of the whole image; -1 if it is not needed. `pairs`: texts to score. `choices`: regions to choose a
    text for, each with its row and its existing texts.
    """

    whole: int = -1
    pairs: list[tuple[int, str, str]] = field(default_factory=list)  # row, text, id of the annotation
    choices: list[tuple[int, Region, list[RegionText]]] = field(default_factory=list)


class ImageTextScorer:
    """Gives an image score `image_text` for each text, region text and tag; the parent of the score is that annotation.
    The value is a cosine from -1 to 1. Texts and tags are compared with the image, and region texts with the crop of
    their region. The `score` of the image score is the probability that SigLIP gives for the pair. CLIP gives no
    probability, so there it is the cosine again.

    Checkpoints (`AutoModel`, any with `get_text_features`): google/siglip2-base-patch16-224 (Apache-2.0, 1.5 GB of
    weights in float32), google/siglip2-so400m-patch14-384 (4.5 GB, better), google/siglip2-so400m-patch16-naflex (keeps
    the proportions of wide images), openai/clip-vit-large-patch14 (MIT, 1.7 GB). The limit is 64 tokens for SigLIP 2
    and 77 for CLIP. A longer text is cut between sentences into as few pieces as fit. Its cosine is the mean of the
    pieces' cosines, weighted by their length.

    choose_region_texts: adds a `brief` text to each object region that has a text, as in the paper. The candidates are
    the region's label, its texts and the noun chunks of these texts (by spaCy, extra `text`). The candidate with the
    highest cosine wins; of equal ones, the shortest. The cosines of labels and chunks are stored as image scores
    `region_text_candidate`, whose parent is the region and whose code is the words. Regions with a human text get no
    new text. The texts of a captioner should have the granularity `candidate` when this option is on.

    Options. checkpoint: a folder or a hub id. revision: revision of a hub id. score: what is scored; any of texts,
    region_texts and tags. embeddings: whether the image's embedding is kept. min_score: regions with a lower score are
    skipped; human regions are never skipped. margin: how far a crop extends beyond its box on each side, as a share of
    the box's sides. pipeline: the spaCy pipeline for noun chunks. dtype: number type of the weights. compile: compiles
    the network. batch_size: images in a batch, and also the number of crops or texts in one pass of the network. gpus:
    GPUs for each worker; with 0 the worker uses the CPU with `cpus` threads.
    """

    needs: tuple[str, ...] = ("pixels",)
    uses: tuple[str, ...] = (*_SCORED, "regions", "boxes")
    gives: tuple[str, ...] = ("image_scores", "embeddings", "region_texts")
    packages: tuple[str, ...] = PACKAGES
    extra: str = EXTRA
    score_names: tuple[str, ...] = (SCORE, CANDIDATE_SCORE)
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits depend on the rest of the batch
    code_licence: ClassVar[str] = "apache-2.0"  # of this engine and of transformers

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str = "",
        score: list[Column] = list(_SCORED),  # noqa: B006 - never changed, and YAML's own type
        choose_region_texts: bool = False,
        embeddings: bool = True,
        min_score: Share = 0.1,
        margin: Amount = 0.1,
        pipeline: str = PACKAGED_PIPELINE,
        dtype: Dtype = "float32",
        compile: bool = False,  # noqa: A002 - the name that recipes use
        batch_size: int = 16,
        cpus: float = 1.0,
        gpus: float = 0.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.source = Checkpoint(checkpoint, revision)
        self.score, self.embeddings = frozenset(score), embeddings
        self.min_score, self.margin = min_score, margin
        self.dtype, self.compile = dtype, compile
        self.batch_size, self.cpus, self.gpus, self.timeout_s = batch_size, cpus, gpus, timeout_s
        self.chunker = Chunker(pipeline) if choose_region_texts else None
        if not score and not choose_region_texts:
            raise ConfigError(
                "image_text_scorer has nothing to score: list texts, region_texts or tags in `score`, or use embed, "
                "which gives embeddings only."
            )
        self._declare()

    def _declare(self) -> None:
        """Sets the columns that the specialist needs, uses and gives. They depend on the options."""
        by_region = self.chunker is not None or "region_texts" in self.score
        used = [name for name in _SCORED if name in self.score or (name == "region_texts" and by_region)]
        self.uses = (*used, *(("regions", "boxes") if by_region else ()))
        self.gives = ("image_scores", *(("embeddings",) if self.embeddings else ()))
        self.score_names = (SCORE,)
        if self.chunker is not None:
            self.needs = ("pixels", "region_texts")
            self.uses = tuple(name for name in self.uses if name != "region_texts")
            self.gives += ("region_texts",)
            self.score_names = (SCORE, CANDIDATE_SCORE)
            self.packages, self.extra = (*PACKAGES, *self.chunker.packages), f"{EXTRA},text"

    @property
    def weights_licence(self) -> str:
        return licence_of(self.source.name)

    @cached_property
    def weights(self) -> tuple[str, ...]:
        return self.source.weights

    @cached_property
    def resolved(self) -> Mapping[str, str]:
        return self.source.resolved

    def load(self) -> None:
        self.encoder = DualEncoder(
            self.source,
            dtype=self.dtype,
            gpus=self.gpus,
            cpus=self.cpus,
            compiled=self.compile,
            at_once=self.batch_size,
        )
        self.embedding_size = self.encoder.size
        if self.chunker is not None:
            self.chunker.load()

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order."""
        pictures: list[Pixels] = []
        plans = [self._plan(sample, pictures) for sample in batch]
        chunks = self._chunks(plans)
        choices = [
            [(row, region, candidates(region, texts, chunks)) for row, region, texts in plan.choices] for plan in plans
        ]
        wanted = [text for plan in plans for _, text, _ in plan.pairs]
        wanted += [one.text for some in choices for _, _, options in some for one in options]
        match = _Match(self.encoder, pictures, wanted)
        answers = []
        for plan, some in zip(plans, choices, strict=True):
            answer = Answer(embedding=match.pictures[plan.whole] if self.embeddings else None)
            answer.image_scores = [self._score(match.cosine(row, text), [of]) for row, text, of in plan.pairs]
            for row, region, options in some:
                self._choose(answer, region, {one: match.cosine(row, one.text) for one in options})
            answers.append(answer)
        return answers

    def _plan(self, sample: Sample, pictures: list[Pixels]) -> _Plan:
        plan, texts = _Plan(), list(_of_image(sample, self.score))
        if texts or self.embeddings:
            plan.whole = len(pictures)
            pictures.append(pixels_of(sample))
        plan.pairs = [(plan.whole, words, of) for words, of in texts if words.strip()]
        regions = {region.id: region for region in sample.regions}
        for name, own in _by_region(sample.region_texts).items():
            if name in regions and self._is_cropped(regions[name], sample):
                row = len(pictures)
                pictures.append(crop(pixels_of(sample), regions[name], self.margin).pixels)
                if "region_texts" in self.score:
                    plan.pairs += [(row, text.text, text.id) for text in own]
                if self.chunker is not None and all(text.score is not None for text in own):
                    plan.choices.append((row, regions[name], own))
        return plan

    def _is_cropped(self, region: Region, sample: Sample) -> bool:
        x1, y1, x2, y2 = clipped(box_of(region), sample.width, sample.height)
        sure = region.score is None or region.score >= self.min_score
        return region.kind == "object" and sure and x1 < x2 and y1 < y2

    def _chunks(self, plans: Sequence[_Plan]) -> dict[str, list[str]]:
        texts = [text.text for plan in plans for _, _, own in plan.choices for text in own]
        return self.chunker.chunks(texts) if self.chunker is not None and texts else {}

    def _choose(self, answer: Answer, region: Region, cosines: Mapping[Candidate, float]) -> None:
        for one, cosine in cosines.items():
            if not one.whole:
                score = self._score(cosine, [region.id, *([one.source] if one.source else [])], CANDIDATE_SCORE)
                score.code = one.text
                answer.image_scores.append(score)
        chosen, local_id = best(cosines), f"brief-{len(answer.region_texts)}"
        found = self._score(cosines[chosen], [local_id])
        text = RegionText(region.id, chosen.text, id=local_id, score=found.score, score_kind=found.score_kind)
        text.parents = [region.id, *([chosen.source] if chosen.source else [])]
        answer.region_texts.append(text)
        answer.image_scores.append(found)

    def _score(self, cosine: float, parents: list[str], name: str = SCORE) -> ImageScore:
        score, kind = (self.encoder.probability(cosine), "sigmoid") if self.encoder.sigmoid else (cosine, "cosine")
        return ImageScore(name, cosine, parents=parents, score=score, score_kind=kind)


class _Match:
    """The embeddings of all pictures and texts of a batch."""

    def __init__(self, encoder: DualEncoder, pictures: Sequence[Pixels], texts: Iterable[str]) -> None:
        pieces = {text: encoder.pieces(text) for text in dict.fromkeys(texts)}
        distinct = list(dict.fromkeys(piece for some in pieces.values() for piece, _ in some))
        vectors = dict(zip(distinct, encoder.texts(distinct), strict=True))
        self.pictures = encoder.images(pictures)
        self.texts: dict[str, Floats] = {
            text: np.average([vectors[piece] for piece, _ in some], axis=0, weights=[tokens for _, tokens in some])
            for text, some in pieces.items()
        }

    def cosine(self, row: int, text: str) -> float:
        """The cosine of a picture and a text. For a text in several pieces this is the weighted mean of the pieces'
        cosines, so the mean vector of the pieces is not normalised again.
        """
        return float(self.pictures[row] @ self.texts[text])


def _of_image(sample: Sample, scored: frozenset[Column]) -> Iterator[tuple[str, str]]:
    """(text, id) of each text and tag that is compared with the whole image."""
    if "texts" in scored:
        yield from ((text.text, text.id) for text in sample.texts)
    if "tags" in scored:
        yield from ((tag.label, tag.id) for tag in sample.tags)


def _by_region(texts: Iterable[RegionText]) -> dict[str, list[RegionText]]:
    """The texts of each region, by the region's id. Printed text (`ocr`) and empty texts are left out."""
    found: dict[str, list[RegionText]] = defaultdict(list)
    for text in texts:
        if text.granularity != "ocr" and text.text.strip():
            found[text.region_id].append(text)
    return found
