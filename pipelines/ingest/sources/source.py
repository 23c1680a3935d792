"""What every kind of source provides: the Protocol `Source`, and `Entry`, which is one input that it lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from engine.schema import Answer
from pipelines.ingest.labels import Frame

# Descriptions of options that several kinds of sources have.
PATH = "a folder, file or glob, here or at any URL that fsspec knows"
LICENCE = "the licence of images without their own"


@dataclass(slots=True)  # not frozen, which would make each of millions of entries three times slower to create
class Entry:
    """One input, which is not read yet. A source lists every file, also one that is not an image."""

    uri: str
    fingerprint: str = ""  # size and time or etag, '' if unknown; see containers.py for inputs in containers
    licence: str = ""
    labels: Answer | None = None  # the labels of the source; human annotations have no score
    frame: Frame = "upright"
    width: int = 0  # width of the frame that the labels were made in, in pixels; 0 if unknown
    height: int = 0
    offset: int = 0  # where the bytes start in a container, such as a tar
    length: int = -1  # -1: the whole file
    reason: str = ""  # why it cannot be an image, as a short fixed word, if that is clear before it is read
    error: str = ""  # the reason as a sentence


class Source(Protocol):
    """A kind of source. It is a class whose parameters are the options in a recipe. All kinds are listed in open.py.

    `OPTIONS` describes each option, for docs/reference.md. `left_out` counts, by reason, what the source holds but does
    not list, for example a mask of another size than its image. `notes` are sentences for the user. `left_out` and
    `notes` are complete when `entries` is exhausted.
    """

    OPTIONS: ClassVar[Mapping[str, str]]
    left_out: Counter[str]
    notes: list[str]

    @property
    def name(self) -> str:
        """The name under which its inputs are stored. It must be the same in every run."""

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        """Yields all inputs. Containers whose version is in `whole` are known already and are not opened."""
