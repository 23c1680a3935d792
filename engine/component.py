"""What a component promises: the two Protocols every specialist and every filter fulfils.

A specialist knows nothing of shards, Ray or files. Its constructor takes plain keyword options (what a
recipe may set); everything heavy happens in `load`, which runs once in the worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from engine.schema import Answer, Parse, Sample

# What a node may need or give, and the record columns each may fill.
# boxes: a detector's candidates, before consensus. regions: what consensus made of them.
# ocr: text regions with their strings. masks: regions with an rle, merged_into the region they outline.
# phrase_regions: what phrases name, where the grounder itself found it; nobody who needs regions is shown them.
# drafts: what a student of a refinement round wrote, before the round's merge.
# kept_regions: regions, of which only those are shown that the rules over images and regions keep, and of printed
# texts those of kept regions. What writes by rule needs it and is run again when a threshold changes; a network needs
# regions, with a floor of its own.
# labels: the annotations that came with the source, without those of the audit split.
# scene: all of them. For synthetic annotators alone, which see no pixels: it stands for what an eye would see.
RESOURCES: dict[str, tuple[str, ...]] = {
    "pixels": (),
    "labels": (),
    "scene": (),
    "parse": (),
    "boxes": ("regions",),
    "regions": ("regions",),
    "kept_regions": (),
    "ocr": ("regions", "region_texts"),
    "masks": ("regions",),
    "texts": ("texts",),
    "region_texts": ("region_texts",),
    "drafts": ("texts", "region_texts"),
    "phrases": ("phrases",),
    "phrase_regions": ("regions",),
    "tags": ("tags",),
    "image_scores": ("image_scores",),
}


class Specialist(Protocol):
    """One answer for each sample, in the same order; raises only for what an image cannot have answered.

    Class attributes beside the methods: `needs` (resources it cannot do without), `uses` (resources it
    reads if some node gives them), `gives`, `version` (raised when answers change), `deterministic`.
    Where the first three depend on options, the class names all there may be and an instance its own.
    `packages`: modules that `load` imports and a plain install lacks, `extra`: which of this package's extras brings
    them; a recipe is refused before anything runs where they are not installed.
    `key_name`: the "module:Name" that is hashed into the node's key, for a class that was moved or renamed and whose
    answers did not change. Not inherited.
    `score_names`: the names of the image scores it gives; where it does not declare them a recipe's rules are taken
    to find theirs.
    Optional instance attributes, set from options: `batch_size` (default 16), `timeout_s` (seconds a
    batch, default 120), `cpus` (1.0), `gpus` (0.0), `memory` (bytes, 0), `max_workers` (0: no limit);
    none of them changes answers, so none is part of the key. `weights`: files whose sha256 is.
    """

    needs: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[str, ...]]
    version: ClassVar[int]
    deterministic: ClassVar[bool]

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> Sequence[Answer]: ...


class Parser(Protocol):
    """Like a specialist, over distinct texts instead of images: needs `texts`, gives `parse`."""

    needs: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[str, ...]]
    version: ClassVar[int]
    deterministic: ClassVar[bool]

    def load(self) -> None: ...

    def parse(self, texts: Sequence[str]) -> Sequence[Parse]: ...
