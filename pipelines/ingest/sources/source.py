"""What every kind of source must provide: the Protocol `Source`, and `Entry`, one input that it lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from engine.schema import Answer
from pipelines.ingest.labels import Frame

# What options of several kinds are.
PATH = "a folder, file or glob, here or at any URL that fsspec knows"
LICENCE = "the licence of images without their own"


@dataclass(frozen=True, slots=True)
class Entry:
    """One input, not read yet. A source lists every file, whether it is an image or not."""

    uri: str
    fingerprint: str = ""  # size and time or etag, '' if unknown; for inputs in containers see containers.py
    licence: str = ""
    labels: Answer | None = None  # the labels of the source; annotations by people have no score
    frame: Frame = "upright"
    width: int = 0  # of the frame the labels were made in; 0 if unknown
    height: int = 0
    offset: int = 0  # inside a container, such as a tar
    length: int = -1  # -1: the whole file
    reason: str = ""  # why this is no image, as a short fixed word, if that is clear without reading it
    error: str = ""  # the same as a sentence


class Source(Protocol):
    """A kind of source: a class whose parameters are the options in a recipe. Kinds are listed in open.py.

    `OPTIONS` says what each option is, for docs/reference.md.

    `left_out` counts, by reason, what the source holds but does not list (a mask of another size than its image).
    `notes` are sentences for the user. Both are complete once `entries` is exhausted.
    """

    OPTIONS: ClassVar[Mapping[str, str]]
    left_out: Counter[str]
    notes: list[str]

    @property
    def name(self) -> str:
        """Identifies the source from run to run: its inputs are stored under this name."""

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        """All inputs. Containers with a fingerprint in `whole` are known already and are not opened."""
