"""Explains why an annotation exists and why it was kept or dropped: as data, and as the text of `engine why`."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError, unknown
from engine.layout import INPUTS
from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from pipelines.explore.one_image import FoundInput, OneImage, Row, find_input, read_image


@dataclass(frozen=True, slots=True)
class Why:
    """The answer of `why`. str() is the text that `engine why` prints.

    `image` is None for an input that is not an image of the data set, or not yet. `annotation` is '' for a whole image.
    """

    input: FoundInput
    image: OneImage | None
    annotation: str = ""
    depth: int = 1

    @property
    def kept(self) -> bool | None:
        """Whether the annotation, or else the image, is kept. None if it has no verdict."""
        verdict = self._verdict()
        return None if verdict is None else bool(verdict["kept"])

    @property
    def rule(self) -> str:
        """The rule that dropped the annotation, or else the image. '' if it is kept or has no verdict."""
        verdict = self._verdict()
        return "" if verdict is None else str(verdict["rule"])

    def _verdict(self) -> Row | None:
        if self.image is None or self.image.verdicts is None:
            return None
        return self.image.verdicts.get(self.annotation) if self.annotation else self.image.verdict

    def __str__(self) -> str:
        from pipelines.explore.why_text import annotation_lines, input_lines, overview_lines

        if self.image is None:
            return "\n".join(input_lines(self.input))
        if not self.annotation:
            return "\n".join(overview_lines(self.image))
        return "\n".join(annotation_lines(self.image, self.annotation, self.depth))


def why(dataset: Dataset, image: str, annotation: str | None = None, *, depth: int = 1) -> Why:
    """Everything about an image, or about one of its annotations: `print(why(data, "chelsea", "objects/1"))`.

    `image`: an image id, the beginning of one, a uri or a file name. `depth`: how many steps to follow back to what an
    annotation was made from. Raises ConfigError if the name is unknown or fits several images.
    """
    if depth < 0:
        raise ConfigError(f"The depth is {depth}: give 0 or more.")
    with connect(dataset, only=[INPUTS]) as con:
        found = find_input(con, image)
        if not found.file:
            if annotation:
                raise ConfigError(f"'{found.uri}' has no annotations, it is {found.outcome}: leave the annotation out.")
            return Why(found, None, depth=depth)
        known = read_image(dataset, found)
    if annotation and annotation not in known.annotations:
        raise unknown(f"annotation of image {found.image_id[:8]}", annotation, known.annotations)
    return Why(found, known, annotation or "", depth)
