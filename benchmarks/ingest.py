"""Cost of ingest, compared with a plain loop that reads each image, hashes it and parses its header with Pillow.

    python -m benchmarks.ingest [--images 3000]

For a folder, tars and Parquet: listing and then probing by one worker in this process, as in `engine run`, without
assigning shards. The plain loop walks the folder, reads tars with `tarfile` and Parquet files in batches; it writes
nothing and reads no captions. Both sides take turns, and start-up is left out. Results are medians without the first
turn, which imports modules, in seconds and then in CPU seconds, which depend less on other load.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.photos import drawn
from engine.running.messages import Done, Unit
from engine.running.worker import Worker, WorkerContext
from engine.storage.files import Storage
from pipelines.ingest.header import open_dataset
from pipelines.ingest.list_inputs import list_inputs
from pipelines.ingest.probe_node import limits_of, probe_node
from pipelines.recipe import Recipe, parse_recipe

Clock = Callable[[], float]
Read = Callable[[Path], Iterator[bytes]]

A_CONTAINER = 1000  # images in a tar or a Parquet file


def recipe_of(dataset: Path, source: dict[str, str]) -> Recipe:
    return parse_recipe({"dataset": str(dataset), "ingest": {"sources": [source]}})


def ingest(dataset: Path, source: dict[str, str], clock: Clock) -> tuple[int, float, float]:
    """(images, seconds of listing, seconds of probing)"""
    recipe = recipe_of(dataset, source)
    storage, node = Storage(str(dataset)), probe_node(recipe)
    open_dataset(storage, recipe)
    worker = Worker(node, WorkerContext({node.name: node}, storage.url, limits_of(recipe)), guarded=True)
    worker.load()
    began = clock()
    listed = list_inputs(storage, recipe.ingest.sources)
    middle = clock()
    for chunk in range(len(list((dataset / "inputs").glob("*.json")))):
        *_, last = worker.run(Unit(node.name, chunk, 0, {"images": 0}))
        assert isinstance(last, Done)
        assert not last.failed
    return listed, middle - began, clock() - middle


def plainly(images: Iterator[bytes]) -> int:
    from PIL import Image

    count = 0
    for data in images:
        hashlib.sha256(data).hexdigest()
        with Image.open(io.BytesIO(data)) as image:
            assert image.size
        count += 1
    return count


def of_folder(folder: Path) -> Iterator[bytes]:
    for name in sorted(os.listdir(folder)):
        yield (folder / name).read_bytes()


def of_tars(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.iterdir()):
        with tarfile.open(path) as tar:
            for info in tar:
                if info.name.endswith(".jpg") and (file := tar.extractfile(info)):
                    yield file.read()


def of_parquet(folder: Path) -> Iterator[bytes]:
    import pyarrow.parquet as pq

    for path in sorted(folder.iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(100, columns=["image.bytes"]):
            for value in batch.column(0):
                yield value["bytes"].as_py()


def write_tars(photos: list[Path], folder: Path) -> None:
    import webdataset

    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/%05d.tar", maxcount=A_CONTAINER, verbose=0) as writer:
        for path in photos:
            caption = f"A photo called {path.stem}."
            sample = {"txt": caption, "json": {"caption": caption, "key": path.stem, "status": "success"}}
            writer.write({"__key__": path.stem, "jpg": path.read_bytes(), **sample})


def write_parquet(photos: list[Path], folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    for start in range(0, len(photos), A_CONTAINER):
        some = photos[start : start + A_CONTAINER]
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in some]
        table = pa.table({"image": images, "caption": [f"A photo called {path.stem}." for path in some]})
        pq.write_table(table, folder / f"{start:08d}.parquet", row_group_size=100)  # as `datasets` does


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=3000)
    options.add_argument("--turns", type=int, default=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        drawn(scratch / "photos", given.images)
        photos = sorted((scratch / "photos").iterdir())
        write_tars(photos, scratch / "tars")
        write_parquet(photos, scratch / "parquet")
        kinds: dict[str, tuple[str, Read]] = {
            "folder": ("photos", of_folder),
            "webdataset": ("tars", of_tars),
            "parquet": ("parquet", of_parquet),
        }
        clocks: dict[str, Clock] = {"clock": time.perf_counter, "CPU seconds": time.process_time}
        for title, clock in clocks.items():
            print(title)
            for kind, (name, read) in kinds.items():
                measured = [turn(scratch, kind, name, read, clock, given.images) for _ in range(given.turns + 1)]
                report(kind, measured[1:], given.images)


def turn(scratch: Path, kind: str, name: str, read: Read, clock: Clock, images: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=scratch) as dataset:
        began = clock()
        assert plainly(read(scratch / name)) == images
        plain = clock() - began
        count, listing, probing = ingest(Path(dataset) / "set", {kind: str(scratch / name)}, clock)
        assert count == images
    return {"plain": plain, "list": listing, "probe": probing, "both": listing + probing}


def report(kind: str, measured: list[dict[str, float]], images: int) -> None:
    rates = {key: images / statistics.median(one[key] for one in measured) for key in measured[0]}
    ratio = statistics.median(one["plain"] / one["both"] for one in measured)
    columns = "  ".join(f"{key} {rate:6.0f}" for key, rate in rates.items())
    print(f"  {kind:10}  {columns} images/s: {ratio:.2f} of the plain loop's")


if __name__ == "__main__":
    main()
