"""Chooses the images of the gallery: fair shares between the reasons why an image is worth looking at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from engine.reading.sql import run_named

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUERY = "images_to_look_at"
RANDOM = "At random"
_RANDOM_SHARE = 4  # images at random for each turn: one for every four other reasons


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image and the reasons for which it was chosen."""

    image_id: str
    strata: tuple[str, ...]


def choose(con: DuckDBPyConnection, *, limit: int = 96) -> list[Chosen]:
    """At most `limit` images, in turns one for each reason. The same data set gives the same images.

    The reasons and their images come from the named query `images_to_look_at`.
    """
    if limit < 1:
        raise ConfigError(f"The gallery is limited to {limit} images: give 1 or more.")
    ranked: dict[str, list[str]] = {}
    for row in run_named(con, QUERY).to_pylist():
        ranked.setdefault(row["reason"], []).append(row["image_id"])
    return fair_shares(ranked, limit)


def fair_shares(ranked: Mapping[str, Sequence[str]], limit: int) -> list[Chosen]:
    """Takes turns between the strata. `ranked`: {stratum: image ids, best first}; the first stratum has the first turn.

    If the next image of a stratum was already taken for another one, it counts for both and takes no further place.
    """
    queues = {name: list(dict.fromkeys(ids)) for name, ids in ranked.items()}
    at_once = dict.fromkeys(queues, 1) | {RANDOM: max(1, (len(queues) - 1) // _RANDOM_SHARE)}
    chosen: dict[str, list[str]] = {}
    while any(queues.values()):
        for name, queue in queues.items():
            for image_id in queue[: at_once[name]]:
                if image_id not in chosen and len(chosen) == limit:
                    return _as_chosen(chosen)
                chosen.setdefault(image_id, []).append(name)
            del queue[: at_once[name]]
    return _as_chosen(chosen)


def _as_chosen(chosen: Mapping[str, Sequence[str]]) -> list[Chosen]:
    return [Chosen(image_id, tuple(names)) for image_id, names in chosen.items()]
