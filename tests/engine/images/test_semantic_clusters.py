"""The nearest better image by embeddings, over clusters on disk, against every pair compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine.errors import StorageError
from engine.images import semantic_clusters
from engine.images.semantic_clusters import nearest_better, train
from engine.images.semantic_neighbours import AUDIT, OWN, Nearest, Records, record_type, search_cluster

DIMENSIONS = 64


def records(vectors: npt.NDArray[np.float64], *, audit: float = 0.0) -> Records:
    """Every size of an image occurs many times. `audit`: the share of audit images."""
    random = np.random.default_rng(3)
    found = np.zeros(len(vectors), record_type(vectors.shape[1]))
    found["row"] = np.arange(len(vectors))
    found["draw"] = random.integers(0, 2**64, len(vectors), dtype=np.uint64)
    found["pixels"], found["bytes"] = random.integers(1, 4, (2, len(vectors)))
    found["audit"] = random.random(len(vectors)) < audit
    found["vector"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def topics(images: int, *, planted: float = 0.3, far: float = 0.2) -> npt.NDArray[np.float64]:
    """Images of forty topics. A share of them are noisy copies of others, at cosine distances from 0 to `far`."""
    random = np.random.default_rng(1)
    vectors = random.normal(size=(40, DIMENSIONS))[random.integers(0, 40, images)]
    vectors += random.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    copies = round(planted * images)
    cosine = 1 - random.uniform(0, far, (copies, 1))
    source = vectors[random.integers(0, images - copies, copies)]
    noise = random.normal(size=source.shape)
    noise -= (noise * source).sum(axis=1, keepdims=True) * source
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors[images - copies :] = cosine * source + np.sqrt(1 - cosine**2) * noise
    return vectors[random.permutation(images)]


def every_pair(found: Records) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The distance to the nearest better image of the same kind, and to the nearest audit image."""
    vectors = found["vector"].astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = 1 - vectors @ vectors.T
    rank = np.empty(len(found), np.int64)
    rank[np.lexsort((found["row"], -found["bytes"], -found["pixels"]))] = np.arange(len(found))
    audit = found["audit"] == 1
    better = (rank[None] < rank[:, None]) & (audit[None] == audit[:, None])
    near = np.where(better, apart, np.inf).min(axis=1)
    return near, np.where(audit[None] & ~audit[:, None], apart, np.inf).min(axis=1)


@pytest.fixture(autouse=True)
def small_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic_clusters, "CLUSTER", 400)


def search(found: Records, folder: Path, *, size: int = 500) -> Nearest:
    folder.mkdir()
    return nearest_better(shards(found, size), len(found), found.dtype, str(folder))


def shards(found: Records, size: int) -> list[Records]:
    return [found[start : start + size] for start in range(0, len(found), size)]


def test_duplicates_are_found_in_clusters_as_in_every_pair(tmp_path: Path) -> None:
    found = records(topics(6000), audit=0.1)
    nearest = search(found, tmp_path / "a")
    for column, exact in zip((OWN, AUDIT), every_pair(found), strict=True):
        clustered = nearest.distance[:, column]
        assert np.all(clustered >= exact - 1e-9)  # no distance is too small
        for eps in (0.05, 0.2):
            duplicates = exact <= eps
            assert duplicates.sum() > 30
            assert np.mean(clustered[duplicates] <= eps) > 0.99
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"distance", "better"}  # the clusters are removed


def test_the_named_image_is_as_far_as_the_distance_says_and_better(tmp_path: Path) -> None:
    found = records(topics(1500))
    nearest = search(found, tmp_path / "a")
    has = np.flatnonzero(nearest.better[:, OWN] >= 0)
    other = nearest.better[has, OWN]
    a, b = found["vector"][has].astype(float), found["vector"][other].astype(float)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert np.allclose(nearest.distance[has, OWN], 1 - cosine, atol=1e-12)
    worse = [(-found[name][has]).tolist() for name in ("pixels", "bytes")] + [has.tolist()]
    better = [(-found[name][other]).tolist() for name in ("pixels", "bytes")] + [other.tolist()]
    assert all(one < two for one, two in zip(zip(*better, strict=True), zip(*worse, strict=True), strict=True))


def test_shards_of_another_size_give_the_same_answer(tmp_path: Path) -> None:
    found = records(topics(4000), audit=0.1)
    one, other = search(found, tmp_path / "a", size=1000), search(found, tmp_path / "b", size=37)
    assert np.array_equal(one.distance, other.distance)
    assert np.array_equal(one.better, other.better)


def test_clusters_that_are_still_large_are_split_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = records(topics(3000))
    clusters: list[int] = []

    def noting(records: Records, nearest: Nearest) -> None:
        clusters.append(len(records))
        search_cluster(records, nearest)

    monkeypatch.setattr(semantic_clusters, "search_cluster", noting)
    monkeypatch.setattr(semantic_clusters, "FANOUT", 4)
    clustered = search(found, tmp_path / "a").distance[:, OWN]
    assert max(clusters) <= 800
    assert len(clusters) > 4
    duplicates = every_pair(found)[0] <= 0.05
    assert np.mean(clustered[duplicates] <= 0.05) > 0.97


def test_a_thousand_copies_of_one_image_name_the_best_one(tmp_path: Path) -> None:
    vectors = topics(3000)
    vectors[500:1500] = vectors[0]
    found = records(vectors)
    nearest = search(found, tmp_path / "a")
    copies = np.append(0, np.arange(500, 1500))
    best = copies[np.lexsort((copies, -found["bytes"][copies], -found["pixels"][copies]))[0]]
    others = copies[copies != best]
    assert set(nearest.better[others, OWN].tolist()) == {best}
    assert set(nearest.distance[others, OWN].tolist()) == {0.0}


def test_a_copy_of_an_image_that_is_near_an_audit_image_is_near_it_too(tmp_path: Path) -> None:
    vectors = np.eye(3, 8)
    vectors[1] = vectors[2]  # two training images with one embedding
    vectors[0, 2] = 3.0  # near them
    found = records(vectors)
    found["audit"] = [1, 0, 0]
    nearest = search(found, tmp_path / "a")
    assert nearest.better[:, AUDIT].tolist() == [-1, 0, 0]
    assert nearest.distance[1, AUDIT] == nearest.distance[2, AUDIT] < 0.06
    assert sorted(nearest.better[:, OWN].tolist())[:2] == [-1, -1]  # the audit image and the better copy


def test_few_images_are_compared_without_clusters(tmp_path: Path) -> None:
    found = records(topics(700))
    nearest = search(found, tmp_path / "a")
    assert np.allclose(nearest.distance[:, OWN], every_pair(found)[0], atol=1e-12)


@pytest.mark.parametrize("images", [0, 1])
def test_nothing_to_compare_has_no_neighbour(tmp_path: Path, images: int) -> None:
    nearest = search(records(topics(10)[:images]), tmp_path / "a")
    assert np.isinf(nearest.distance).all()
    assert (nearest.better == -1).all()


def test_centroids_have_unit_length_and_are_no_more_than_distinct_embeddings() -> None:
    vectors = np.repeat(np.eye(3, 8), 10, axis=0)
    assert len(train(records(vectors), 5)) == 3
    centroids = train(records(topics(1000)), 16).astype(float)
    assert centroids.shape == (16, DIMENSIONS)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-3)


def test_images_without_an_embedding_do_not_make_the_clusters_smaller(tmp_path: Path) -> None:
    found = records(topics(600))
    nearest = nearest_better([found], 100_000, found.dtype, str(tmp_path))
    assert np.allclose(nearest.distance[:600, OWN], every_pair(found)[0], atol=1e-12)
    assert np.isinf(nearest.distance[600:]).all()


def test_the_share_of_the_work_rises_to_one(tmp_path: Path) -> None:
    found, shares = records(topics(3000)), list[float]()
    nearest_better(shards(found, 500), len(found), found.dtype, str(tmp_path), shares.append)
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_disk_too_small_is_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = semantic_clusters.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(semantic_clusters.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(StorageError, match=r"^Comparing 1,000 embeddings needs up to .* set TMPDIR to a folder on a l"):
        search(records(topics(1000)), tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []
