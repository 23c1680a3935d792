"""Near-duplicate pairs are those of a naive loop; groups; many copies of one image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.images.near_duplicates import _fours, distances, groups, neighbours, neighbours_of
from engine.images.perceptual_hash import hashes_to_array

Hashes = np.ndarray[tuple[int, int], np.dtype[np.uint64]]
TABLES = 0  # for `direct`: use the tables for any number of rows


def flipped(hashes: Hashes, bits: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int) -> Hashes:
    """Each row with this number of bits flipped."""
    random = np.random.default_rng(seed)
    chosen = random.random((len(hashes), 256)).argsort(axis=1).argsort(axis=1) < bits[:, None]
    return hashes ^ np.packbits(chosen, axis=1).view(">u8").astype(np.uint64)


def independent(n: int, seed: int = 0) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, (n, 4), np.uint64)


def planted(n: int, radius: int, *, seed: int = 0, skewed: bool = False) -> Hashes:
    """Independent hashes, and as many at 0 to radius + 3 bits of one of them; skewed: three in four bits are shared."""
    random = np.random.default_rng(seed)
    made = independent(n // 2, seed)
    if skewed:
        made |= independent(n // 2, seed + 1)
    copied = made[random.integers(0, len(made), n - len(made))]
    return np.concatenate([made, flipped(copied, random.integers(0, radius + 4, len(copied)), seed)])


def naive(hashes: Hashes, radius: int) -> set[tuple[int, int, int]]:
    i, j = np.triu_indices(len(hashes), 1)
    apart = distances(hashes[i], hashes[j])
    near = apart <= radius
    return set(zip(i[near].tolist(), j[near].tolist(), apart[near].tolist(), strict=True))


def as_set(pairs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[tuple[int, int, int]]:
    return list(zip(*(side.tolist() for side in pairs), strict=True))


@pytest.mark.parametrize("radius", [0, 3, 4, 12, 39, 47])
@pytest.mark.parametrize("skewed", [False, True])
def test_every_pair_within_the_radius_is_found_once(radius: int, *, skewed: bool) -> None:
    hashes = planted(1500, radius, skewed=skewed)
    found = as_set(neighbours(hashes, radius, direct=TABLES))
    assert found == sorted(naive(hashes, radius))
    assert any(distance == radius for _, _, distance in found)


def test_few_rows_are_compared_directly_with_the_same_answer() -> None:
    hashes = planted(600, 39)
    assert as_set(neighbours(hashes, 39)) == sorted(naive(hashes, 39))


def test_each_choice_of_three_of_ten_bands_is_in_one_of_thirty_sets_of_four() -> None:
    """The search is exact because of this."""
    fours = _fours()
    assert all(len(four) == 4 for four in fours)
    assert all(any(four.issuperset(three) for four in fours) for three in itertools.combinations(range(10), 3))


def test_a_pair_with_the_worst_spread_of_bits_is_found() -> None:
    """39 flips spread evenly over the hash: every tenth of it has at least 3."""
    flips = np.zeros(256, np.uint8)
    flips[:39] = 1
    word = np.packbits(flips).view(">u8").astype(np.uint64)
    hashes = independent(300)
    twice = np.concatenate([hashes, hashes ^ word])
    assert as_set(neighbours(twice, 39, direct=TABLES)) == [(row, row + 300, 39) for row in range(300)]


@pytest.mark.parametrize("direct", [TABLES, 4096])
def test_a_forest_gives_the_same_groups_with_fewer_pairs(direct: int) -> None:
    hashes = np.concatenate(
        [planted(1000, 20), planted(1000, 20, skewed=True)[:500], independent(3, 5)[[0, 0, 1, 1, 2]]]
    )
    i, j, _ = neighbours(hashes, 20, direct=direct)
    few = neighbours(hashes, 20, forest=True, direct=direct)
    label = groups(len(hashes), i, j)
    assert groups(len(hashes), *few[:2]).tolist() == label.tolist()
    assert len(few[0]) == len(hashes) - len(set(label)) < len(i)
    assert set(as_set(few)) <= naive(hashes, 20)


def test_many_copies_of_an_image_need_few_pairs_and_little_time() -> None:
    """All pairs would be a hundred and fifty million."""
    crowd = flipped(np.repeat(independent(1), 15_000, axis=0), np.arange(15_000) % 12, 1)
    same = np.repeat(independent(1, 7), 3_000, axis=0)
    i, j, distance = neighbours(np.concatenate([crowd, same]), 39, forest=True)
    assert len(i) == 18_000 - 2
    assert distance.max() <= 22
    assert np.bincount(groups(18_000, i, j)).tolist() == [15_000, 3_000]


@pytest.mark.parametrize("direct", [TABLES, 4096])
def test_new_hashes_are_compared_with_known_ones_only(direct: int) -> None:
    known = planted(600, 10)
    new = np.concatenate([flipped(known[:50], np.full(50, 7), 3), known[:2], independent(20, 9)])
    expected = {(a, b - len(new), d) for a, b, d in naive(np.concatenate([new, known]), 39) if a < len(new) <= b}
    found = as_set(neighbours_of(new, known, 39, direct=direct))
    assert found == sorted(expected)
    assert (50, 0, 0) in found


def test_groups_are_connected_and_numbered_by_their_first_rows() -> None:
    a = independent(1)
    b = flipped(a, np.array([30]), 1)
    c = b ^ (flipped(a, np.array([60]), 2) ^ a)
    hashes = np.concatenate([independent(1, 8), a, independent(1, 9), b, c])
    i, j, _ = neighbours(np.concatenate([hashes, hashes[:1]]), 63)
    assert groups(6, i, j).tolist() == [0, 1, 2, 1, 1, 0]
    assert distances(a, c)[0] > 63


def test_no_hash_and_a_single_hash_have_no_neighbours() -> None:
    for n in (0, 1):
        for forest in (False, True):
            assert [len(side) for side in neighbours(independent(n), 39, forest=forest)] == [0, 0, 0]
        assert groups(n, *neighbours(independent(n), 39)[:2]).tolist() == list(range(n))
    assert len(neighbours_of(hashes_to_array([]), independent(3), 39)[0]) == 0


@pytest.mark.parametrize("radius", [-1, 64])
def test_an_impossible_radius_is_refused(radius: int) -> None:
    with pytest.raises(ConfigError, match="radius"):
        neighbours(independent(2), radius)
