"""The synthetic world as a source: drawn scenes with complete, exact labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import ClassVar

from pipelines.ingest.sources.source import Entry


class World:
    """The scenes of a world:// URL. A larger `images=` in the URL adds scenes to the same source."""

    OPTIONS: ClassVar = {"url": "a world:// URL"}

    def __init__(self, url: str) -> None:
        from specialists.synthetic.world import WorldOptions
        from specialists.synthetic.world_files import register

        register()
        self.options = WorldOptions.parse(url)
        self.name = self.options.name
        self.left_out: Counter[str] = Counter()
        self.notes: list[str] = []

    def entries(self, whole: Collection[str] = ()) -> Iterator[Entry]:
        from specialists.synthetic.world import scene, scene_uri

        for index in range(self.options.images):
            size = self.options.size
            labels = scene(index, self.options).truth
            yield Entry(scene_uri(index, self.options), "1", "CC0-1.0", labels, "upright", size, size)
