"""The interfaces of components: one Protocol for each kind of work that a node can do.

Authors of specialists need `Specialist` only. The worker's process makes a component with plain keyword options and
calls `load` once. Heavy imports and models belong in `load`.
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
# kept_regions    regions, text regions included, that the rules over images and regions keep. A node that needs them
#                 runs again when a threshold changes.
# ocr             text regions with their strings
# masks           regions with an rle; their `merged_into` names the region that they outline
# drafts          texts that a student of a refinement round wrote, before the round's merge
# embeddings      one vector for each image, only in the node's own table (engine/records/embeddings.py)
# phrase_regions  regions that a grounder found for phrases. Nodes that need `regions` do not get them. Regions of the
#                 kind `phrase` do not count as objects: detection targets and nms leave them out.
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
    `version` (raise it when answers change), `deterministic`. `needs`, `uses` and `gives` may depend on options. The
    class then lists all possible values, and an instance has its own.

    Optional class attributes:
    `packages`: the modules that `load` imports. A recipe is refused if one is missing.
    `extra`: the extra that installs them.
    `key_name`: the "module:Name" that is hashed into the node's key. It is for a class that was moved and gives the
    same answers as before. Subclasses do not inherit it.
    `score_names`: the names of the image scores it gives. If missing, rules on any name are accepted.
    `code_licence`, `weights_licence`: names such as "apache-2.0"; "" without weights; "unknown" if missing
    (engine/licences.py). An instance may have its own.

    Optional instance attributes that never change answers, so they are not part of the node's key: `batch_size` (16),
    `timeout_s` (seconds for one batch, 120), `cpus` (1.0), `gpus` (0.0), `memory` (bytes, 0), `max_workers` (0: no
    limit).

    Other optional instance attributes:
    `weights`: files whose sha256 is part of the key.
    `resolved`: {option: value} that is found when a run is prepared, such as the commit of a hub id. The workers get
    these values, and they are part of the key.
    `embedding_size`: the length of its embeddings, set by `load` at the latest. Required if it gives embeddings.
    """

    needs: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[str, ...]]
    version: ClassVar[int]
    deterministic: ClassVar[bool]

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> Sequence[Answer]:
        """Return one answer for each sample, in the same order."""
        ...


class Parser(Protocol):
    """Parses texts, each distinct text once.

    It needs `texts` and gives `parse`. It has the class attributes of a Specialist.
    """

    needs: ClassVar[tuple[str, ...]]
    gives: ClassVar[tuple[str, ...]]
    version: ClassVar[int]
    deterministic: ClassVar[bool]

    def load(self) -> None: ...

    def parse(self, texts: Sequence[str]) -> Sequence[Parse]:
        """Return one parse for each text, in the same order."""
        ...


class EntryComponent(Protocol):
    """Checks the inputs that the sources list. The probe is the only one."""

    def load(self) -> None: ...

    def probe(self, rows: Sequence[Any]) -> Sequence[Mapping[str, object] | ImageError]:
        """Return, for each row of `inputs` in the same order, the columns of the table PROBE, or an ImageError."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """What a shard component returns for its commit record: the files it wrote and its counts.

    `items`: number of rows in the files.
    """

    files: Mapping[str, File]
    items: int
    failures: int = 0
    counts: Mapping[str, Any] = field(default_factory=dict)


Inputs = TypeVar("Inputs", contravariant=True)


class ShardComponent(Protocol[Inputs]):
    """Works on a whole shard: the rules, the merge of a round, a release. Any error stops the run.

    `Inputs` is engine.running.shard_inputs.ShardInputs. This module must not import it, because it is in a higher
    layer.
    """

    def load(self) -> None: ...

    def run(self, shard: int, inputs: Inputs, commits: Commits) -> Output:
        """Write the files of one shard with `commits`. The caller commits them."""
        ...
