"""Finds all pairs of 256-bit hashes that differ in at most `radius` bits, among up to a million, and groups them.

The search is exact. The bits of a hash are divided into radius // 4 + 1 parts, and each part into 10 bands. If two
hashes differ in at most `radius` bits, then in at least one part they differ in at most 3 bits, so in at most 3 bands.
For each part there are 30 tables. Each table ignores 4 bands and sorts the hashes by the other 6, which form its key.
For any 3 bands there is a table that ignores them, and in that table the two hashes have the same key. Time grows with
the square of the number of hashes, and quickly with a radius beyond 40.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Pairs = tuple[Ints, Ints, Ints]  # i, j, bits that differ

BITS = 256
MAX_RADIUS = 63
BANDS, IGNORED = 10, 4  # a table ignores 4 of 10 bands; for any 3 bands, one of 30 tables ignores them
KEY = 16  # bits of a table's key, because NumPy sorts 16-bit numbers by radix
DIRECT = 4096  # up to so many rows, every pair is compared
BLOCK = 1 << 16  # number of comparisons made at once: they fit in the processor's cache
WORDS = (0, 2)  # the words compared first: in this half, unrelated hashes seldom differ in fewer than 40 bits
RUN = 512  # a run of one key with more rows is compared by `_long_run`
BUFFERED_PAIRS = 1 << 21  # number of pairs to collect before repeated pairs are removed


def neighbours(hashes: Hashes, radius: int, *, forest: bool = False, direct: int = DIRECT) -> Pairs:
    """All pairs of rows i < j whose hashes differ in at most `radius` bits.

    Returns (i, j, number of different bits), ordered by i, then j. `forest`: return only enough pairs to form the same
    groups, fewer than there are rows. Ten thousand copies of one image make fifty million pairs; `forest` saves their
    memory and time. `direct`: up to so many rows, every pair is compared.
    """
    if not forest:
        return _everything(hashes, np.arange(len(hashes)), radius, direct)
    first, copies = _exact_copies(hashes)
    trees = _Forest(len(first))
    for found in _search(hashes[first], radius, trees.label, direct):
        trees.add(found)
    i, j, distance = trees.pairs()
    joined = np.column_stack([first[i], first[j], distance]), np.column_stack([*copies, np.zeros_like(copies[0])])
    i, j, distance = np.concatenate(joined).T
    return _in_order(np.minimum(i, j), np.maximum(i, j), distance)


def neighbours_of(new: Hashes, known: Hashes, radius: int, *, direct: int = DIRECT) -> Pairs:
    """All pairs of a new and a known hash that differ in at most `radius` bits.

    Returns (row in `new`, row in `known`, number of different bits).
    """
    side = np.repeat([0, 1], [len(new), len(known)])
    i, j, distance = _everything(np.concatenate([new, known]), side, radius, direct)
    return i, j - len(new), distance


def groups(n: int, i: Ints, j: Ints) -> Ints:
    """The group of each of `n` rows, given pairs (i, j).

    Groups are numbered from 0 in the order of their first rows.

    Groups are connected components: if A is near B and B is near C, all three are in one group, however far A is from
    C. An audit split needs this. To drop duplicates, check the distance to the image that is kept.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(i), np.int8), (i, j)), shape=(n, n)).tocsr()
    label = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def distances(a: Hashes, b: Hashes) -> Ints:
    """The number of bits in which each row of `a` differs from the same row of `b`."""
    apart: Ints = np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.int64)
    return apart


# --- collecting pairs -------------------------------------------------------------------------


def _everything(hashes: Hashes, label: Ints, radius: int, direct: int) -> Pairs:
    """All pairs of rows with different labels whose hashes differ in at most `radius` bits.

    A pair that several tables find is listed once.
    """
    held = [(np.zeros(0, np.int64),) * 3]
    number, limit = 0, BUFFERED_PAIRS
    for found in _search(hashes, radius, label, direct):
        held.append(found)
        number += len(found[0])
        if number > limit:
            held = [_once(held)]
            number = len(held[0][0])
            limit = max(BUFFERED_PAIRS, 2 * number)
    return _once(held)


def _once(held: list[Pairs]) -> Pairs:
    i, j, distance = _in_order(*(np.concatenate(part) for part in zip(*held, strict=True)))
    new = np.r_[True, (i[1:] != i[:-1]) | (j[1:] != j[:-1])][: len(i)]
    return i[new], j[new], distance[new]


def _in_order(i: Ints, j: Ints, distance: Ints) -> Pairs:
    order = np.lexsort((j, i))
    return i[order], j[order], distance[order]


def _exact_copies(hashes: Hashes) -> tuple[Ints, tuple[Ints, Ints]]:
    """The first row of each distinct hash, ascending; then all other rows, as (first row with the same hash, row)."""
    order = np.lexsort(hashes.T)  # stable, so equal hashes stay in the order of rows
    near = hashes[order]
    new = np.r_[True, (near[1:] != near[:-1]).any(axis=1)][: len(order)]
    leader = order[new][np.cumsum(new) - 1]
    return np.sort(order[new]), (leader[~new], order[~new])


class _Forest:
    """Builds a spanning forest from pairs of rows. A pair is kept only if it joins two trees.

    `label`: the number of each row's tree. The array is updated in place, so the search uses the new labels at once.
    """

    def __init__(self, n: int) -> None:
        self.label = np.arange(n)
        self._held: list[Pairs] = []
        self._number = 0
        self._kept: list[Pairs] = [(np.zeros(0, np.int64),) * 3]

    def add(self, found: Pairs) -> None:
        apart = self.label[found[0]] != self.label[found[1]]
        self._held.append((found[0][apart], found[1][apart], found[2][apart]))
        self._number += int(apart.sum())
        # Update the labels now and then: the search skips pairs of rows that are in the same tree already.
        if self._number > max(len(self.label) // 64, 256):
            self._thin()

    def pairs(self) -> Pairs:
        self._thin()
        i, j, distance = (np.concatenate(part) for part in zip(*self._kept, strict=True))
        return i, j, distance

    def _thin(self) -> None:
        if not self._number:
            return
        pairs = tuple(np.concatenate(part) for part in zip(*self._held, strict=True))
        names, ends = np.unique(self.label[np.concatenate(pairs[:2])], return_inverse=True)
        a, b = ends.reshape(2, -1)
        used, tree = _spanning(len(names), a, b, pairs[2])
        self._kept.append((pairs[0][used], pairs[1][used], pairs[2][used]))
        renamed = np.arange(len(self.label))
        renamed[names] = names[tree]
        self.label[:] = renamed[self.label]
        self._held, self._number = [], 0


def _spanning(n: int, a: Ints, b: Ints, weight: Ints) -> tuple[Ints, Ints]:
    """The edges of a minimum spanning forest of n nodes, and for each node the first node of its tree.

    An edge joins a[k] and b[k] and has the weight weight[k].
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.argsort(weight, kind="stable")
    _, first = np.unique(low[order] * n + high[order], return_index=True)
    edges = order[np.sort(first)]  # one for each pair of nodes, by weight
    ranks = np.arange(1, len(edges) + 1)
    graph = coo_matrix((ranks.astype(np.float64), (low[edges], high[edges])), shape=(n, n)).tocsr()
    used = edges[minimum_spanning_tree(graph).data.astype(np.int64) - 1]
    tree = connected_components(graph, directed=False)[1]
    _, leader = np.unique(tree, return_index=True)
    return used, leader[tree]


# --- candidates -------------------------------------------------------------------------------------


def _search(hashes: Hashes, radius: int, label: Ints, direct: int) -> Iterator[Pairs]:
    """Yields pairs i < j within `radius` bits whose labels differ. Each pair comes at least once, some more often.

    The caller may change `label` between two yields, so that fewer pairs are searched.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ConfigError(f"The radius is {radius} bits: expected 0 to {MAX_RADIUS}; unrelated images differ in 128.")
    hashes = np.ascontiguousarray(hashes)
    if len(hashes) <= direct:
        yield from _long_run(hashes, np.arange(len(hashes)), radius, label)
        return
    for key in _keys(hashes, radius):
        order, sizes = _runs(key, label)
        long = int(np.searchsorted(-sizes, -RUN, side="left"))
        ends = np.cumsum(sizes[:long])
        for size, end in zip(sizes[:long], ends, strict=True):
            yield from _long_run(hashes, order[end - size : end], radius, label)
        yield from _short_runs(hashes, order[sizes[:long].sum() :], sizes[long:], radius, label)


def _runs(key: npt.NDArray[np.uint16], label: Ints) -> tuple[Ints, Ints]:
    """Sort the rows into runs with the same key, the longest run first. Returns (rows, size of each run).

    Leaves out runs in which all rows have the same label.
    """
    sizes = np.bincount(key, minlength=1 << KEY)
    ranked = np.argsort(-sizes, kind="stable")
    rank = np.empty(1 << KEY, np.uint16)
    rank[ranked] = np.arange(1 << KEY)
    order = np.argsort(rank[key], kind="stable")
    sizes = sizes[ranked]
    sizes = sizes[sizes > 0]
    starts = np.cumsum(sizes) - sizes
    labels = label[order]
    mixed = np.minimum.reduceat(labels, starts) != np.maximum.reduceat(labels, starts)
    return order[np.repeat(mixed, sizes)], sizes[mixed]


def _keys(hashes: Hashes, radius: int) -> Iterator[npt.NDArray[np.uint16]]:
    """Yields the key of each hash, table by table. A part takes every n-th bit, so that it covers all frequencies."""
    parts = radius // IGNORED + 1
    fours = _fours()
    for part in range(parts):
        bits = np.arange(part, BITS, parts)
        bands = [bits[len(bits) * k // BANDS : len(bits) * (k + 1) // BANDS] for k in range(BANDS)]
        codes = [_code(hashes, band) for band in bands]
        for four in fours:
            key, width = np.zeros(len(hashes), np.uint32), 0
            for band in sorted(set(range(BANDS)) - four):
                key = (key << np.uint32(len(bands[band]))) | codes[
                    band
                ]  # overflowing bits are lost, which only adds candidates
                width += len(bands[band])
            if width > KEY:
                key = (key * np.uint32(2654435769)) >> np.uint32(32 - KEY)
            yield key.astype(np.uint16)


def _code(hashes: Hashes, bits: Ints) -> npt.NDArray[np.uint32]:
    code = np.zeros(len(hashes), np.uint32)
    for bit in bits:
        code = (code << np.uint32(1)) | ((hashes[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)).astype(np.uint32)
    return code


def _fours() -> list[frozenset[int]]:
    """30 sets of 4 of the numbers 0 to 9. Each set of 3 is in exactly one of them: the Steiner system S(3, 4, 10)."""
    moved = [
        {(k + step) % 10 for k in four} for four in ((0, 1, 3, 4), (0, 1, 2, 6), (0, 2, 4, 7)) for step in range(10)
    ]
    return [frozenset(four) for four in moved]


# --- comparisons ------------------------------------------------------------------------------------


def _short_runs(hashes: Hashes, order: Ints, sizes: Ints, radius: int, label: Ints) -> Iterator[Pairs]:
    """Compares the rows within each run: for d = 1, 2, 3, ... each row with the row d places later.

    Runs must be sorted by falling size. Some of the compared rows are in two different runs. They are checked like all
    others, because leaving them out would be slower.
    """
    reach = np.repeat(sizes, sizes)  # falling, so rows that have another row d places later in their run come first
    columns = [hashes[:, k].take(order) for k in WORDS]
    for start in range(0, len(reach), BLOCK):
        block = reach[start : start + BLOCK]
        found = []
        for step in range(1, int(block[0])):
            last = int(np.searchsorted(-block, -step, side="left"))
            last = min(start + last, len(order) - step)
            near = _count(columns[0], start, last, step)
            near += _count(columns[1], start, last, step)
            at = (near <= radius).nonzero()[0]
            if len(at):
                found.append((at + start, at + start + step))
        if found:
            a, b = (np.concatenate(side) for side in zip(*found, strict=True))
            yield from _verified(hashes, order[a], order[b], radius, label)


def _count(column: Hashes, start: int, last: int, step: int) -> npt.NDArray[np.uint8]:
    apart: npt.NDArray[np.uint8] = np.bitwise_count(column[start:last] ^ column[start + step : last + step])
    return apart


def _long_run(hashes: Hashes, rows: Ints, radius: int, label: Ints) -> Iterator[Pairs]:
    """Compares each row with all later ones. Rows with rare labels come first.

    Stops when all rows that are left have the same label.
    """
    rows = _rare_first(rows, label)
    while len(rows) > 1 and (label[rows] != label[rows[-1]]).any():
        some = max(1, min(BLOCK // len(rows), len(rows)))
        pivots = rows[:some]
        joined = False
        for start in range(0, len(rows), BLOCK):
            others = rows[start : start + BLOCK]
            near = np.zeros((some, len(others)), np.uint8)
            for k in WORDS:
                near += np.bitwise_count(hashes[pivots, k][:, None] ^ hashes[others, k])
            a, b = np.nonzero(near <= radius)
            later = b + start > a
            for found in _verified(hashes, pivots[a[later]], others[b[later]], radius, label):
                joined = True
                yield found
        rows = rows[some:]
        if joined:
            rows = _rare_first(rows, label)


def _rare_first(rows: Ints, label: Ints) -> Ints:
    _, which, number = np.unique(label[rows], return_inverse=True, return_counts=True)
    return rows[np.lexsort((rows, which, number[which]))]


def _verified(hashes: Hashes, a: Ints, b: Ints, radius: int, label: Ints) -> Iterator[Pairs]:
    apart = np.flatnonzero(label[a] != label[b])
    a, b = a[apart], b[apart]
    distance = distances(hashes[a], hashes[b])
    good = np.flatnonzero(distance <= radius)
    if len(good):
        a, b = a[good], b[good]
        yield np.minimum(a, b), np.maximum(a, b), distance[good]
