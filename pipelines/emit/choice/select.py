"""Which of the images go into a release, into which split, and in which order. Every function is deterministic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, unknown
from pipelines.emit.choice.candidates import Bools, Candidates, Ints
from pipelines.release_options import Splits

Draws = npt.NDArray[np.uint64]
BLOCK = 10  # shards of the data set that are shuffled together, so that a shard of the release reads few of them


def within_cluster_cap(group: Ints, draws: Draws, cap: int) -> Bools:
    """A mask of at most `cap` images of each group, those that are drawn first."""
    order = np.lexsort((draws, group))
    starts = np.flatnonzero(np.append(True, group[order][1:] != group[order][:-1])) if len(group) else order
    place = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    mask = np.zeros(len(group), np.bool_)
    mask[order] = place < cap
    return mask


def within_label_cap(labels: Sequence[Sequence[str]], draws: Draws, cap: int) -> Bools:
    """A mask without the images each of whose labels is in `cap` images that were taken before.

    Images are taken in the order of `draws`. An image without labels is always taken. A frequent label may be in more
    than `cap` images, because an image with a rare label is taken whatever else is on it.
    """
    taken: Counter[str] = Counter()
    mask = np.zeros(len(labels), np.bool_)
    for image in np.argsort(draws, kind="stable").tolist():
        own = labels[image]
        if not own or any(taken[label] < cap for label in own):
            mask[image] = True
            taken.update(own)
    return mask


def in_mixture(images: Candidates, draws: Draws, weights: Mapping[str, float]) -> Bools:
    """A mask of the largest choice in which the sources have these proportions, to the nearest image.

    An image belongs to its first source. Raises ConfigError for an unknown source.
    """
    numbers = {name: number for number, name in enumerate(images.sources)}
    for name in weights:
        if name not in numbers:
            raise unknown("source in emit.mixture", name, list(images.sources))
    total = sum(weights.values())
    there = np.bincount(images.source, minlength=len(numbers))
    size = min((there[numbers[name]] * total / weight for name, weight in weights.items()), default=0.0)
    mask = np.zeros(len(images), np.bool_)
    for name, weight in weights.items():
        own = np.flatnonzero(images.source == numbers[name])
        wanted = min(round(size * weight / total), len(own))
        mask[own[np.argsort(draws[own], kind="stable")[:wanted]]] = True
    return mask


def split_of(group: Ints, ids_order: Ints, draws: Draws, options: Splits) -> npt.NDArray[np.int8]:
    """The split of each image, as a position in RELEASE_SPLITS. Images of one group are in one split.

    Groups are drawn in a random order. Test gets groups until it has its share of the images, then valid, and the rest
    is train. A group is drawn by its image with the smallest id (`ids_order`: the rank of each id), so new images
    change the split of few others.
    """
    answer = np.zeros(len(group), np.int8)
    if not options.wanted or not len(group):
        return answer
    by_group = np.lexsort((ids_order, group))
    first = by_group[np.flatnonzero(np.append(True, group[by_group][1:] != group[by_group][:-1]))]
    sizes = np.bincount(group)[group[first]]
    order = np.argsort(draws[first], kind="stable")
    before = np.cumsum(sizes[order]) - sizes[order]
    middle = before + sizes[order] / 2  # a group is on the side of a border where its middle is
    test, valid = options.test * len(group), options.valid * len(group)
    split = np.where(middle < test, 2, np.where(middle < test + valid, 1, 0)).astype(np.int8)
    _check_not_empty(split, options)
    of_group = np.zeros(int(group.max()) + 1, np.int8)
    of_group[group[first[order]]] = split
    answer[:] = of_group[group]
    return answer


def _check_not_empty(split: npt.NDArray[np.int8], options: Splits) -> None:
    for number, name, share in ((1, "valid", options.valid), (2, "test", options.test)):
        if share and not (split == number).any():
            raise ConfigError(
                f"emit.splits.{name} is {share:g}, but of {len(split)} groups of images none is drawn: give a larger "
                "share, or another emit.splits.by."
            )


def in_order(images: Candidates, draws: Draws, shuffle: int | None, chosen: Ints) -> Ints:
    """The rows `chosen`, in the order of the release: that of the data set, or shuffled in blocks of BLOCK shards."""
    if shuffle is None:
        return chosen
    shards = np.unique(images.shard)
    place = np.zeros(int(shards.max(initial=0)) + 1, np.int64)
    place[shards] = np.argsort(np.argsort(_shard_draws(shards, shuffle), kind="stable"))
    order = np.lexsort((draws[chosen], place[images.shard[chosen]] // BLOCK))
    return chosen[order]


def _shard_draws(shards: npt.NDArray[np.int32], seed: int) -> Ints:
    return np.random.Generator(np.random.PCG64(seed)).permutation(len(shards))


def in_shards(rows: Ints, size: int) -> Iterator[Ints]:
    """The rows, cut into shards of `size` images. The last one may have fewer."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
