"""Cost of a release, compared with a plain loop that writes the same images and records with `tarfile`.

    python -m benchmarks.release [--images 5000] [--data ../shared/data]

The images are copies of the photos of coco/dev with their human labels and captions, so records and pairs have a real
size. A copy differs from its original by a comment, so it is an image of its own. The engine's side is the work of the
component `Release` in this process: it reads annotations and verdicts, checks the sha256 of every image, compiles the
pairs, writes the files of all formats and hashes them. The plain loop has its records in memory; it reads each photo,
writes its record as JSON, and adds both to a tar. Both sides take turns. Results are medians without the first turn.

Then both sets of tars are read with webdataset in turns, and every format is written once for its seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import statistics
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from benchmarks.photos import commented
from pipelines.emit import shard as release_shard
from pipelines.emit import write_shard
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.format import Format
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages

A_SHARD = 1000
DEFAULT = ["webdataset", "parquet", "pairs"]
LABELS = ["person", "car", "chair", "bottle", "cup", "dog", "cat", "book", "bird", "tv"]


@dataclasses.dataclass(slots=True)
class Seconds:
    """Elapsed and CPU seconds of one part of the work."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


def copies(data: Path, folder: Path, count: int) -> None:
    """Writes `count` copies of the photos, with instances.json and captions.json about them."""
    given = {name: json.loads((data / f"{name}.json").read_text()) for name in ("instances", "captions")}
    images = given["instances"]["images"]
    of: dict[str, dict[int, list[dict[str, Any]]]] = {name: {} for name in given}
    for name, content in given.items():
        for one in content["annotations"]:
            of[name].setdefault(one["image_id"], []).append(one)
    (folder / "images").mkdir(parents=True)
    made: dict[str, list[dict[str, Any]]] = {"images": [], "instances": [], "captions": []}
    for number in range(count):
        image = images[number % len(images)]
        name = f"{number:06d}.jpg"
        photo = (data / "images" / image["file_name"]).read_bytes()
        (folder / "images" / name).write_bytes(commented(photo, f"copy {number}"))
        made["images"].append({**image, "id": number, "file_name": name})
        for kind in ("instances", "captions"):
            for one in of[kind].get(image["id"], []):
                made[kind].append({**one, "id": len(made[kind]), "image_id": number})
    for kind in ("instances", "captions"):
        content = {**given[kind], "images": made["images"], "annotations": made[kind]}
        (folder / f"{kind}.json").write_text(json.dumps(content))


def recipe_of(folder: Path, formats: Sequence[str], name: str) -> Any:
    source = {"coco": str(folder / "instances.json"), "images": str(folder / "images")}
    return parse_recipe(
        {
            "dataset": str(folder / "set"),
            "ingest": {
                "sources": [source | {"captions": str(folder / "captions.json")}],
                "shard_size": A_SHARD,
            },
            "annotate": {"people": {"use": "human"}, "objects": {"use": "consensus"}},
            "emit": {"name": name, "formats": list(formats), "label_list": LABELS},
        }
    )


def emitted(folder: Path, formats: Sequence[str], name: str) -> tuple[Seconds, Seconds]:
    """(seconds of the component Release, those of compiling the pairs) in a release of these formats."""
    whole, pairs = Seconds(), Seconds()
    with timed(release_shard.Release, "run", whole), timed(write_shard, "compile_pairs", pairs):
        stages.run(recipe_of(folder, formats, name), runner="local", stage="emit")
    return whole, pairs


@contextmanager
def timed(owner: Any, name: str, seconds: Seconds) -> Iterator[None]:
    """Measures every call of a function of `owner`."""
    original = getattr(owner, name)

    def measured(*arguments: Any, **options: Any) -> Any:
        with seconds.measured():
            return original(*arguments, **options)

    setattr(owner, name, measured)
    try:
        yield
    finally:
        setattr(owner, name, original)


def records_of(release: Path) -> list[list[tuple[str, Any]]]:
    """[(name of the photo, record)] for each tar of a release."""
    shards = []
    for path in sorted(release.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            records = [json.load(tar.extractfile(one)) for one in tar if one.name.endswith(".json")]  # type: ignore[arg-type]
        shards.append([(record["sources"][0]["uri"], record) for record in records])
    return shards


def plain(shards: Sequence[Sequence[tuple[str, Any]]], photos: Path, folder: Path) -> Seconds:
    """Writes the same tars with `tarfile`."""
    seconds = Seconds()
    folder.mkdir(exist_ok=True)
    with seconds.measured():
        for number, records in enumerate(shards):
            with tarfile.open(folder / f"train-{number:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                for name, record in records:
                    data = (photos / Path(name).name).read_bytes()
                    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
                    for suffix, content in (("jpg", data), ("json", text)):
                        member = tarfile.TarInfo(f"{record['image_id']}.{suffix}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
    return seconds


def read(folder: Path, expected: int) -> Seconds:
    """Reads tars with webdataset: the bytes of each image, and its parsed record."""
    import webdataset

    tars = [str(path) for path in sorted(folder.glob("train-*.tar"))]
    seconds = Seconds()
    with seconds.measured():
        samples = webdataset.WebDataset(tars, shardshuffle=False).to_tuple("jpg", "json")
        number = sum(1 for data, text in samples if len(data) and json.loads(text)["image_id"])
    assert number == expected, (number, expected)
    return seconds


def by_format(folder: Path) -> dict[str, Seconds]:
    """Seconds of each format in one release of all formats: its writer, and its merge."""
    chosen = [name for name in FORMATS if name != "embeddings"]
    seconds = {name: Seconds() for name in chosen}
    usual = dict(FORMATS)
    formats = cast(dict[str, Format], FORMATS)
    for name in chosen:
        formats[name] = _timed_format(usual[name], seconds[name])
    try:
        seconds["all formats"], _ = emitted(folder, chosen, "all")
    finally:
        formats.update(usual)
    return seconds


def _timed_format(form: Format, seconds: Seconds) -> Format:
    def writer(file: Any, shard: Any) -> Any:
        with seconds.measured():
            return _TimedWriter(form.writer(file, shard), seconds)

    def merge(files: Any) -> None:
        with seconds.measured():
            assert form.merge
            form.merge(files)

    return dataclasses.replace(form, writer=writer, merge=merge if form.merge else None)


class _TimedWriter:
    def __init__(self, writer: Any, seconds: Seconds) -> None:
        self._writer, self._seconds = writer, seconds

    @property
    def left_out(self) -> Counter[str]:
        return Counter(getattr(self._writer, "left_out", {}))

    def add(self, sample: Any) -> None:
        with self._seconds.measured():
            self._writer.add(sample)

    def finish(self) -> int:
        with self._seconds.measured():
            return int(self._writer.finish())


def compare(folder: Path, turns: int, images: int) -> None:
    first, _ = emitted(folder, DEFAULT, "first")
    records = records_of(folder / "set/releases/first")
    sides: dict[str, list[Seconds]] = {}
    for turn in range(turns + 1):
        found = {"tarfile": plain(records, folder / "images", folder / "plain")}
        for title, formats in (("webdataset", ["webdataset"]), ("default formats", DEFAULT)):
            whole, pairs = emitted(folder, formats, f"{title.split()[0]}-{turn}")
            found[title] = whole
            found[f"{title}, without compiling pairs"] = Seconds(whole.wall - pairs.wall, whole.cpu - pairs.cpu)
        found["read: tarfile"] = read(folder / "plain", images)
        found["read: engine"] = read(folder / "set/releases" / f"default-{turn}", images)
        for title, seconds in found.items() if turn else ():
            sides.setdefault(title, []).append(seconds)
    for title, measured in sides.items():
        base = sides["read: tarfile" if title.startswith("read") else "tarfile"]
        shares = [_median([one.wall / other.wall for one, other in zip(base, measured, strict=True)])]
        shares.append(_median([one.cpu / other.cpu for one, other in zip(base, measured, strict=True)]))
        wall, cpu = _median([one.wall for one in measured]), _median([one.cpu for one in measured])
        print(f"{title:45} {wall:7.2f} s {cpu:7.2f} s CPU   speed beside tarfile {shares[0]:.2f}, CPU {shares[1]:.2f}")


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=5000)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copies(given.data / "coco/dev", folder, given.images)
        for stage in ("ingest", "annotate", "filter"):
            stages.run(recipe_of(folder, DEFAULT, "first"), runner="local", stage=stage)
        compare(folder, given.turns, given.images)
        for name, seconds in by_format(folder).items():
            print(f"{name:45} {seconds.wall:7.2f} s {seconds.cpu:7.2f} s CPU")


if __name__ == "__main__":
    main()
