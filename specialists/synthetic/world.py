"""The synthetic world: drawn scenes with complete labels. It needs no files and no weights, and is deterministic.

    world://?images=100&size=96&seed=0&min_objects=1&max_objects=3&words=1

A scene depends on its index and on all options except `images`. So a larger `images` adds scenes without changing the
others. Boxes are the bounding boxes of the visible pixels; right and lower edges are exclusive.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, fields
from urllib.parse import parse_qsl, urlencode

import numpy as np

from engine.errors import ConfigError, unknown
from engine.schema import Answer
from specialists.synthetic.drawing import draw_ground, draw_objects, draw_words
from specialists.synthetic.truth import scene_truth

_BOUNDS = {"images": (0, 10**9), "size": (48, 2048), "seed": (0, 2**31), "words": (0, 4)}


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """The options of a world:// URL."""

    images: int = 100
    size: int = 96  # side in pixels
    seed: int = 0
    min_objects: int = 1
    max_objects: int = 3
    words: int = 1  # most printed words in a scene

    @classmethod
    def parse(cls, url: str) -> WorldOptions:
        if not url.startswith("world:"):
            raise ConfigError(f"'{url}' is not a synthetic world: write it as world://?images=100&seed=0.")
        names = [field.name for field in fields(cls)]
        given: dict[str, int] = {}
        for key, value in parse_qsl(url.removeprefix("world:").lstrip("/?"), keep_blank_values=True):
            if key not in names:
                raise unknown("option of the synthetic world", key, names)
            if not value.isdigit():
                raise ConfigError(f"The synthetic world has {key}={value}: expected a whole number of 0 or more.")
            given[key] = int(value)
        return cls(**given)

    def __post_init__(self) -> None:
        for name, (low, high) in (_BOUNDS | {"min_objects": (0, 12), "max_objects": (self.min_objects, 12)}).items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"The synthetic world has {name}={getattr(self, name)}: expected {low} to {high}.")

    @property
    def name(self) -> str:
        """The URL without `images`, so that a world with more images counts as the same source."""
        return "world://?" + urlencode({field.name: getattr(self, field.name) for field in fields(self)[1:]})


@dataclass(frozen=True, slots=True)
class Scene:
    index: int
    data: bytes  # PNG
    truth: Answer  # ids "human/<n>", without scores; with masks, phrases and printed words


def scenes(url: str) -> Iterator[Scene]:
    options = WorldOptions.parse(url)
    return (scene(index, options) for index in range(options.images))


def scene_uri(index: int, options: WorldOptions) -> str:
    """The permanent URI of a scene. fsspec can read it, with `specialists.synthetic.world_files`."""
    return f"{options.name}&scene={index}"


def scene_at(uri: str) -> Scene:
    """The scene with this URI (see `scene_uri`). Raises FileNotFoundError if there is none."""
    url, found, index = uri.rpartition("&scene=")
    if not found or not index.isdigit():
        raise FileNotFoundError(uri)
    return scene(int(index), WorldOptions.parse(url))


def scene(index: int, options: WorldOptions) -> Scene:
    random = np.random.default_rng([options.seed, index])
    canvas, ground = draw_ground(random, options.size)
    objects = draw_objects(random, canvas, at_least=options.min_objects, at_most=options.max_objects)
    words = draw_words(random, canvas, objects, at_most=options.words)
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=6)
    return Scene(index, file.getvalue(), scene_truth(objects, words, ground, options.size))
