"""Which images a release gets, into which split and in which order."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from pipelines.emit.choice.candidates import Candidates
from pipelines.emit.choice.select import (
    BLOCK,
    in_mixture,
    in_order,
    in_shards,
    split_of,
    within_cluster_cap,
    within_label_cap,
)
from pipelines.release_options import Splits


def images(count: int, sources: int = 1, per_shard: int = 10) -> Candidates:
    random = np.random.default_rng(count)
    ids = [random.bytes(16).hex() for _ in range(count)]
    numbers = np.arange(count, dtype=np.int32)
    return Candidates(
        pa.array(ids, pa.string()),
        numbers // per_shard,
        numbers % per_shard,
        numbers % sources,
        [f"source-{number}" for number in range(sources)],
    )


def splits(group: list[int], ids: list[int] | None = None, **shares: float) -> list[int]:
    rank = np.array(ids if ids is not None else range(len(group)))
    draws = np.array([hash(("draw", int(number))) % 2**63 for number in rank], np.uint64)
    return split_of(np.array(group), rank, draws, Splits(**shares)).tolist()


class TestSplits:
    @given(st.lists(st.integers(0, 40), min_size=60, max_size=200), st.integers(0, 5))
    @settings(max_examples=60, deadline=None)
    def test_no_group_is_cut_and_the_shares_are_met_within_one_group(self, group: list[int], seed: int) -> None:
        own = np.unique(np.array(group), return_inverse=True)[1].tolist()
        try:
            found = splits(own, valid=0.2, test=0.3, seed=seed)
        except ConfigError:
            assert len(set(own)) < 10
            return
        assert len({(group, split) for group, split in zip(own, found, strict=True)}) == len(set(own))
        largest = max(Counter(own).values())
        for number, share in ((1, 0.2), (2, 0.3)):
            assert abs(found.count(number) - share * len(own)) <= 2 * largest

    def test_another_seed_draws_others(self) -> None:
        many = images(1000)
        group, rank = np.arange(1000), np.arange(1000)
        first, again, other = (
            split_of(group, rank, many.draws(seed), Splits(valid=0.1, test=0.1)).tolist() for seed in (1, 1, 2)
        )
        assert first == again != other
        assert (first.count(1), first.count(2)) == (100, 100)

    def test_new_images_change_the_split_of_few_others(self) -> None:
        many = images(1000)
        draws, options = many.draws(0), Splits(valid=0.1, test=0.1)
        before = split_of(np.arange(900), np.arange(900), draws[:900], options)
        after = split_of(np.arange(1000), np.arange(1000), draws, options)[:900]
        assert (before != after).sum() < 30

    def test_a_share_that_draws_nothing_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"emit\.splits\.valid is 0\.1, but of 2 groups of images none is drawn"):
            splits([0, 1], valid=0.1)


class TestCaps:
    @given(st.lists(st.integers(0, 8), max_size=80), st.integers(1, 5))
    @settings(max_examples=60, deadline=None)
    def test_a_group_has_at_most_as_many_images_as_its_cap(self, group: list[int], cap: int) -> None:
        draws = np.random.default_rng(0).permutation(len(group)).astype(np.uint64)
        mask = within_cluster_cap(np.array(group, np.int64), draws, cap)
        found = Counter(np.array(group, np.int64)[mask].tolist())
        assert found == {name: min(number, cap) for name, number in Counter(group).items()}

    def test_the_first_drawn_of_a_group_are_kept(self) -> None:
        mask = within_cluster_cap(np.array([0, 0, 0, 1]), np.array([3, 1, 2, 9], np.uint64), 2)
        assert mask.tolist() == [False, True, True, True]

    @given(st.lists(st.lists(st.sampled_from("abc"), max_size=3, unique=True), max_size=40), st.integers(1, 4))
    @settings(max_examples=60, deadline=None)
    def test_every_image_left_out_had_only_full_labels(self, labels: list[list[str]], cap: int) -> None:
        draws = np.arange(len(labels)).astype(np.uint64)
        mask = within_label_cap(labels, draws, cap).tolist()
        for image, own in enumerate(labels):
            before = Counter(label for n in range(image) if mask[n] for label in labels[n])
            assert mask[image] == (not own or min(before[label] for label in own) < cap)


class TestMixture:
    def test_the_proportions_hold_and_the_scarcest_source_is_used_up(self) -> None:
        many = images(90, sources=3)
        mask = in_mixture(many, many.draws(0), {"source-0": 2, "source-1": 1})
        found = Counter(many.source[mask].tolist())
        assert found == {0: 30, 1: 15}

    def test_an_unknown_source_is_refused_with_the_nearest(self) -> None:
        many = images(9, sources=3)
        with pytest.raises(ConfigError, match=r"Unknown source in emit\.mixture 'sorce-1': did you mean 'source-1'"):
            in_mixture(many, many.draws(0), {"sorce-1": 1})


class TestOrder:
    def test_without_a_seed_the_order_is_that_of_the_data_set(self) -> None:
        many = images(50)
        assert in_order(many, many.draws(0), None, np.arange(50)).tolist() == list(range(50))

    def test_a_shuffle_keeps_every_image_and_reads_few_shards_at_a_time(self) -> None:
        many = images(1000)
        order = in_order(many, many.draws(7), 7, np.arange(1000))
        assert sorted(order.tolist()) == list(range(1000))
        assert order.tolist() != list(range(1000))
        pieces = list(in_shards(order, 50))
        assert [len(piece) for piece in pieces] == [50] * 20
        assert all(len(set(many.shard[piece].tolist())) <= BLOCK for piece in pieces)
        assert sum(len(set(many.shard[piece].tolist())) > 5 for piece in pieces) > 10, "images are mixed across shards"
