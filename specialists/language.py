"""The language of every text of an image, by py3langid: one score a text, whose parent the text is.

Four words or fewer tell little, and among all 140 languages a few odd ones (Nigerian Pidgin, West Frisian) look like
English. So it chooses among 28 widely written ones, and takes the first of them unless another is ahead by a margin:
of 15,314 captions of COCO none is then taken for another language (4 among all 140), of their first three words .3 %
(15 % without the margin), of 62 sentences and names in 25 other languages one for English ("rode auto").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from engine.config.ranges import Share
from engine.errors import ConfigError, StartError, unknown
from engine.extras import folder_of
from engine.schema import Answer, ImageScore, Sample

LIKELY = ["en", *"ar cs da de el es fi fr he hi hu id it ja ko nl no pl pt ro ru sv th tr uk vi zh".split()]  # noqa: SIM905
UNDETERMINED = "und"  # ISO 639-2


class Language:
    """Options.

    languages: the ISO 639 codes to choose from, the expected one first ([]: all 140, none of them expected); what is in
               none of them gets the nearest.
    margin:    the probability by which another must be ahead of the expected one to be taken: short texts are told
               apart by little, and the expected one is right far more often.

    The score is named `language`, its code the language and its value the probability, 0 to 1. A text that holds
    nothing to go by ("...", "42") has the code "und" and the value 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("texts",)
    gives: ClassVar[tuple[str, ...]] = ("image_scores",)
    score_names: ClassVar[tuple[str, ...]] = ("language",)
    packages: ClassVar[tuple[str, ...]] = ("py3langid",)
    extra: ClassVar[str] = "language"
    version: ClassVar[int] = 2
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        *,
        languages: list[str] = LIKELY,
        margin: Share = 0.4,
        batch_size: int = 64,
    ) -> None:
        if len(set(languages)) == 1:
            raise ConfigError(
                f"language cannot choose from '{languages[0]}' alone: name two `languages` or more, or none for all."
            )
        self.languages = list(dict.fromkeys(languages))
        self.margin = margin
        self.batch_size = batch_size

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """The packaged model, found without importing the package."""
        return (str(folder_of("language", "py3langid", "language") / "data" / "model.npz.xz"),)

    def load(self) -> None:
        try:
            from py3langid.langid import LanguageIdentifier

            self.identifier: Any = LanguageIdentifier.from_modelpath(self.weights[0], norm_probs=True)
        except (ImportError, OSError, ValueError) as error:
            raise StartError(f"py3langid cannot start: {error}.") from error
        for name in self.languages:
            if name not in self.identifier.labels:
                raise unknown("language", name, self.identifier.labels)
        if self.languages:
            self.identifier.set_languages(self.languages)
        code, value = self.identifier.rank("")[0]
        self.of_nothing = str(code), float(value)

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        """One answer for each sample, same order."""
        return [Answer(image_scores=[self._one(text.id, text.text) for text in sample.texts]) for sample in batch]

    def _one(self, text_id: str, text: str) -> ImageScore:
        code, value = self.identify(text)
        return ImageScore("language", value, code, parents=[text_id], score=value, score_kind="softmax")

    def identify(self, text: str) -> tuple[str, float]:
        """(ISO 639 code, probability)."""
        ranked = [(str(code), float(value)) for code, value in self.identifier.rank(in_small_letters(text))]
        if ranked[0] == self.of_nothing:
            return UNDETERMINED, 0.0
        code, probability = ranked[0]
        if self.languages:
            expected = dict(ranked)[self.languages[0]]
            if probability - expected < self.margin:
                code, probability = self.languages[0], expected
        return code, min(1.0, probability)


def in_small_letters(text: str) -> str:
    """The text without its capitals where most letters are: in capitals the model knows no word."""
    capitals = sum(map(str.isupper, text))
    return text.lower() if capitals > sum(map(str.islower, text)) else text
