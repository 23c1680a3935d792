"""How many semantic duplicates are found among simulated embeddings, in which time and memory.

The embeddings are written as a node writes them, in shards of 1,000 images, and compared by the code that
`semantic_duplicate` uses, in a process of its own. A fifth of the images are copies of others, at distances up to .2:

topics       400 topics of very different sizes, in a narrow cone, as image models give them
independent  every direction is as likely: no clusters at all, the worst case
captions     with --captions FOLDER: no simulation, but 15,000 captions of COCO embedded by the packaged sentence model

Recall: of the images that have a better one within eps, the share that was found. Of the planted copies all are
counted; `--sample` further images are compared with all others.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.images import semantic_clusters
from engine.records.embeddings import embedding_column
from engine.schema import record_table
from engine.storage.commits import Commits, File
from engine.storage.files import Storage
from pipelines.filter.semantic_set import CANDIDATES, CURVE, Candidates, Compared, commit_tables, committed_tables
from specialists.label_similarity import LabelSimilarity

KINDS = ("topics", "independent")
TARGET_SECONDS, TARGET_GIB = 180, 2.0
SHARD = 1000
COPIES, FARTHEST = 0.2, 0.2
TOPICS = 400

Vectors = npt.NDArray[np.float32]


def unit(vectors: Vectors) -> Vectors:
    answer: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return answer


def simulated(images: int, dimensions: int, kind: str) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """The embeddings, and for each image the one it was copied from (-1 for none)."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((images, dimensions), dtype=np.float32)
    if kind == "topics":
        falling = np.arange(1, dimensions + 1, dtype=np.float32) ** -0.5  # a few directions have most of the variance
        vectors *= falling / np.linalg.norm(falling)
        weight = 1 / np.arange(1, TOPICS + 1)
        topic = random.choice(TOPICS, images, p=weight / weight.sum())
        centres = unit(random.standard_normal((TOPICS + 1, dimensions), dtype=np.float32))
        vectors *= 0.9
        vectors += 0.6 * centres[topic] + 0.8 * centres[TOPICS]
    vectors = unit(vectors)
    place = random.permutation(images)
    copies = round(COPIES * images)
    source = np.full(images, -1, np.int64)
    source[place[:copies]] = place[random.integers(copies, images, copies)]
    for start in range(0, copies, 10_000):
        rows = place[start : min(start + 10_000, copies)]
        vectors[rows] = _moved(vectors[source[rows]], random)
    return vectors, source


def captions(folder: Path) -> Vectors:
    """The embeddings of captions by people, five of each photo."""
    lines = (folder / "coco_val2017.jsonl").read_text(encoding="utf-8").splitlines()
    model = LabelSimilarity()
    model.load()
    return model.encoder.texts([json.loads(line)["text"] for line in lines])


def _moved(vectors: Vectors, random: np.random.Generator) -> Vectors:
    """Vectors at random distances up to FARTHEST, in random directions."""
    cosine = 1 - random.uniform(0, FARTHEST, (len(vectors), 1)).astype(np.float32)
    aside = random.standard_normal(vectors.shape, dtype=np.float32)
    aside -= (aside * vectors).sum(axis=1, keepdims=True) * vectors
    moved: Vectors = cosine * vectors + np.sqrt(1 - cosine**2).astype(np.float32) * unit(aside)
    return moved


def write(storage: Storage, vectors: Vectors) -> list[File]:
    """The answers of a node that gives embeddings, one file a shard. Returns these files."""
    commits = Commits(storage, "embed/1")
    files = []
    for shard, start in enumerate(range(0, len(vectors), SHARD)):
        rows = vectors[start : start + SHARD]
        answers = record_table([{"image_id": name} for name in names(start, len(rows))])
        answers = answers.append_column("embedding", embedding_column(list(rows), vectors.shape[1]))
        files.append(commits.put_table(shard, answers))
    return files


def names(start: int, number: int) -> list[str]:
    """Image ids: random hex digits."""
    rows = np.random.default_rng(start).integers(0, 256, (number, 16), np.uint8)
    return [row.tobytes().hex() for row in rows]


def candidates(files: list[File]) -> Iterator[Candidates]:
    """All images of all shards, with random numbers of pixels and bytes."""

    def table(shard: int, rows: int) -> pa.Table:
        random = np.random.default_rng(shard)
        pixels, size = random.integers(1, 1000, (2, rows))
        columns = [np.arange(rows, dtype=np.int32), names(shard * SHARD, rows), pixels, size, np.zeros(rows, np.bool_)]
        return pa.table(columns, schema=CANDIDATES)

    for shard, file in enumerate(files):
        yield Candidates(file.rows, lambda shard=shard, rows=file.rows: table(shard, rows), file)  # type: ignore[misc]


def compare(url: str, files: list[File], cluster: int) -> None:
    """Runs in a process of its own, whose peak memory is that of the comparison."""
    semantic_clusters.CLUSTER = cluster
    storage, most = Storage(url), [0]
    shards = list(candidates(files))
    before = peak_gib()
    started, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="semantic-", dir=url) as scratch:
        threading.Thread(target=_watch, args=(Path(scratch), most), daemon=True).start()
        compared = Compared(storage, shards, pa.array([], pa.string()), scratch)
        searched = time.perf_counter() - started
        commit_tables(storage, "surveyed/1", compared)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(
        f"{seconds:.0f} s ({cpu:.0f} of a core; tables {seconds - searched:.0f} s), peak {peak_gib():.2f} GiB, ", end=""
    )
    print(f"{before:.2f} before; {most[0] / 1e9:.2f} GB on the disk at most", flush=True)


def peak_gib() -> float:
    """The peak memory of this process alone: ru_maxrss would include that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 2**20  # type: ignore[index]


def _watch(folder: Path, most: list[int]) -> None:
    while folder.exists():
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        most[0] = max(most[0], size)
        time.sleep(0.5)


def measure(kind: str, vectors: Vectors, source: npt.NDArray[np.int64], cluster: int, sample: int) -> None:
    images, dimensions = vectors.shape
    with tempfile.TemporaryDirectory(prefix="benchmark-") as url:
        storage = Storage(url)
        files = write(storage, vectors)
        size = sum(file.size for file in files)
        print(f"{kind}: {images:,} embeddings of {dimensions}, {size / 1e9:.2f} GB; ", end="", flush=True)
        process = multiprocessing.get_context("spawn").Process(target=compare, args=(url, files, cluster))
        process.start()
        process.join()
        read = committed_tables(storage, "surveyed/1")
        tables = [read(shard) for shard in range(len(files))]
    found = np.concatenate([table["semantic_distance"].fill_null(np.inf).to_numpy() for table in tables])
    report(unit(vectors.astype(np.float16).astype(np.float32)), source, found, best_first(files), sample)


def best_first(files: list[File]) -> npt.NDArray[np.int64]:
    """The place of each image in the order that decides which of two is better."""
    tables = [shard.read() for shard in candidates(files)]
    pixels, size = (np.concatenate([table[name].to_numpy() for table in tables]) for name in ("pixels", "bytes"))
    rank = np.empty(len(pixels), np.int64)
    rank[np.lexsort((-size, -pixels))] = np.arange(len(pixels))
    return rank


def report(
    vectors: Vectors,
    source: npt.NDArray[np.int64],
    found: npt.NDArray[np.float64],
    rank: npt.NDArray[np.int64],
    sample: int,
) -> None:
    copies = np.flatnonzero(source >= 0)
    apart = 1 - (vectors[copies] * vectors[source[copies]]).sum(axis=1)
    worse = np.where(rank[copies] > rank[source[copies]], copies, source[copies])
    some = np.random.default_rng(1).permutation(len(vectors))[:sample]
    exact = np.concatenate([_nearest(vectors, rank, some[n : n + 500]) for n in range(0, len(some), 500)])
    print(f"{'eps':>6}{'kept':>9}{'planted':>9}{'found':>9}{'sampled':>9}{'found':>9}{'wrong':>7}")
    for eps in CURVE:
        planted = found[worse[apart <= eps]] <= eps + 1e-6
        true, claimed = exact <= eps, found[some] <= eps
        wrong = int((claimed & (exact > eps + 1e-5)).sum())
        print(f"{eps:>6}{np.mean(found > eps):>9.2%}{len(planted):>9}{share(planted):>9}", end="")
        print(f"{true.sum():>9}{share((found[some] <= eps + 1e-6)[true]):>9}{wrong:>7}", flush=True)


def share(found: npt.NDArray[np.bool_]) -> str:
    return f"{found.mean():.2%}" if len(found) else "-"


def _nearest(vectors: Vectors, rank: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Vectors:
    """The distance of each row to the nearest better image, all images compared."""
    apart: Vectors = 1 - vectors[rows] @ vectors.T
    apart[rank[None] >= rank[rows][:, None]] = np.inf
    nearest: Vectors = apart.min(axis=1)
    return nearest


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--dimensions", type=int, default=768)
    options.add_argument("--cluster", type=int, default=semantic_clusters.CLUSTER, help="images in a cluster")
    options.add_argument("--sample", type=int, default=5000)
    options.add_argument("--captions", type=Path, help="a folder with coco_val2017.jsonl, a caption a line")
    options.add_argument("--kind", choices=KINDS, help="only this one")
    given = options.parse_args()
    print(f"targets for 100,000: {TARGET_SECONDS} s, {TARGET_GIB} GiB")
    for kind in [given.kind] if given.kind else KINDS:
        measure(kind, *simulated(given.images, given.dimensions, kind), given.cluster, given.sample)
    if given.captions:
        vectors = captions(given.captions)
        measure("captions", vectors, np.full(len(vectors), -1), given.cluster, given.sample)


if __name__ == "__main__":
    main()
