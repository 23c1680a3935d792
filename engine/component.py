"""What a component has to offer: one Protocol for each kind of work a node can do.

Authors of specialists need `Specialist` only. Every component is made with plain keyword options in the worker's
process; `load` runs once there, so heavy imports and models belong in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from engine.errors import ImageError
from engine.schema import Answer, Parse, Sample
from engine.storage.commits import Commits, File

# What a node may need or give, and the columns of the record that each resource fills.
#
# labels          annotations that came with the source, without those of the audit split
# scene           all annotations of the source; only for synthetic annotators, which see no pixels
# boxes           candidates of a detector, before consensus
# regions         regions after consensus
# kept_regions    regions, limited to those that the rules over images and regions keep; text regions likewise. The
#                 reading node runs again when a threshold changes.
# ocr             text regions with their strings
# masks           regions with an rle; their `merged_into` names the region that they outline
# drafts          texts that a student of a refinement round wrote, before the round's merge
# embeddings      one vector an image, in the node's own table (engine/records/embeddings.py); not part of the record
# phrase_regions  regions that a grounder found for phrases; nodes that need `regions` do not get them. With the kind
#                 `phrase` they are no objects of the image: detection targets and nms leave them out.
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
    "embeddings": (),
}


class Specialist(Protocol):
    """Annotates images. Raises only for an image that cannot be annotated.

    Class attributes: `needs` (resources it must have), `uses` (resources it reads if a node gives them), `gives`,
    `version` (raise it when answers change), `deterministic`. If the first three depend on options, the class lists
    all possible values and an instance its own.

    Optional class attributes:
    `packages`, `extra`: modules that `load` imports and the extra that installs them; a recipe is refused if they are
    missing.
    `key_name`: the "module:Name" that is hashed into the node's key, for a class that was moved without changing its
    answers. Not inherited.
    `score_names`: names of the image scores it gives; if missing, rules on any name are accepted.
    `code_licence`, `weights_licence`: names such as "apache-2.0", "" without weights; if missing, "unknown"
    (engine/licences.py). An instance may have its own.

    Optional instance attributes, which never change answers and so are not part of the key: `batch_size` (16),
    `timeout_s` (seconds for one batch, 120), `cpus` (1.0), `gpus` (0.0), `memory` (bytes, 0), `max_workers` (0: no
    limit). `weights`: files whose sha256 is part of the key. `resolved`: {option: value} that the driver finds, such as
    the commit of a hub id: the workers get these values, and they are part of the key. `embedding_size`: the length of
    its embeddings, set by `load` at the latest; a component that gives embeddings must have it.
    """

    needs: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[str, ...]]
    version: ClassVar[int]
    deterministic: ClassVar[bool]

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> Sequence[Answer]:
        """One answer for each sample, in the same order."""
        ...


class Parser(Protocol):
    """Parses distinct texts. Needs `texts` and gives `parse`; its class attributes are those of a Specialist."""

    needs: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[str, ...]]
    version: ClassVar[int]
    deterministic: ClassVar[bool]

    def load(self) -> None: ...

    def parse(self, texts: Sequence[str]) -> Sequence[Parse]:
        """One parse for each text, in the same order."""
        ...


class EntryComponent(Protocol):
    """Reads listed inputs: the probe."""

    def load(self) -> None: ...

    def probe(self, rows: Sequence[Any]) -> Sequence[Mapping[str, object] | ImageError]:
        """For each row of `inputs`, in the same order: the columns of PROBE to add, or why it is not an image."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """The files that a shard component wrote, for its commit record. `items`: rows that it made."""

    files: Mapping[str, File]
    items: int
    failures: int = 0
    counts: Mapping[str, Any] = field(default_factory=dict)


Inputs = TypeVar("Inputs", contravariant=True)


class ShardComponent(Protocol[Inputs]):
    """Works on a whole shard: the rules, the merge of a round, a release. An error stops the run, never one image.

    `Inputs` is engine.running.shard_inputs.ShardInputs, which lies above this module.
    """

    def load(self) -> None: ...

    def run(self, shard: int, inputs: Inputs, commits: Commits) -> Output:
        """Write the files of one shard through `commits`; the caller commits them."""
        ...
