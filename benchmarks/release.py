"""Cost of a release, compared with a plain loop that writes the same images and records with `tarfile`.

    python -m benchmarks.release [--images 1000] [--data ../shared/data]
    python -m benchmarks.release --images 5000 --turns 0      only the seconds of each format

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
from collections.abc import Iterator, Mapping, Sequence
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


def emitted(folder: Path, formats: Sequence[str], name: str) -> dict[str, Seconds]:
    """Seconds of the component Release in a release of these formats, and of its parts."""
    parts = {part: Seconds() for part in ("whole", "compiling", "images", "digests")}
    parts |= {part: Seconds() for part in formats}
    with (
        timed(release_shard.Release, "run", parts["whole"]),
        timed(write_shard, "compile_pairs", parts["compiling"]),
        timed(release_shard, "image_bytes", parts["images"]),
        timed(release_shard, "_finished", parts["digests"]),
        timed_formats({part: parts[part] for part in formats}),
    ):
        stages.run(recipe_of(folder, formats, name), runner="inline", stage="emit")
    return parts


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


@contextmanager
def timed_formats(seconds: Mapping[str, Seconds]) -> Iterator[None]:
    """Measures the writer and the merge of each format."""
    usual, formats = dict(FORMATS), cast(dict[str, Format], FORMATS)
    formats.update({name: _timed_format(usual[name], measured) for name, measured in seconds.items()})
    try:
        yield
    finally:
        formats.update(usual)


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


def compare(folder: Path, turns: int, images: int) -> dict[str, list[Seconds]]:
    """Seconds of both sides in each turn."""
    emitted(folder, DEFAULT, "first")
    records = records_of(folder / "set/releases/first")
    sides: dict[str, list[Seconds]] = {}
    for turn in range(turns + 1):
        found = {"tarfile": plain(records, folder / "images", folder / "plain")}
        for title, formats in (("webdataset alone", ["webdataset"]), ("default formats", DEFAULT)):
            parts = emitted(folder, formats, f"{title.split()[0]}-{turn}")
            whole, pairs, digests = parts["whole"], parts["compiling"], parts["digests"]
            found[title] = whole
            found[f"{title} without pairs"] = _without(whole, pairs)
            found[f"{title} without pairs and digests"] = _without(whole, pairs, digests)
            found[f"{title}: images and tars"] = _sum(parts["images"], parts["webdataset"])
        found["read: tarfile"] = read(folder / "plain", images)
        found["read: engine"] = read(folder / "set/releases" / f"default-{turn}", images)
        for title, seconds in found.items() if turn else ():
            sides.setdefault(title, []).append(seconds)
    return sides


def report(sides: Mapping[str, Sequence[Seconds]]) -> None:
    for title, measured in sides.items():
        base = sides["read: tarfile" if title.startswith("read") else "tarfile"]
        wall = statistics.median([one.wall / other.wall for one, other in zip(base, measured, strict=True)])
        cpu = statistics.median([one.cpu / other.cpu for one, other in zip(base, measured, strict=True)])
        print(
            f"{title:42} {statistics.median([one.wall for one in measured]):7.2f} s "
            f"{statistics.median([one.cpu for one in measured]):7.2f} s CPU   "
            f"speed beside tarfile {wall:.2f}, by CPU seconds {cpu:.2f}"
        )


def _sum(*parts: Seconds) -> Seconds:
    return Seconds(sum(part.wall for part in parts), sum(part.cpu for part in parts))


def _without(whole: Seconds, *parts: Seconds) -> Seconds:
    less = _sum(*parts)
    return Seconds(whole.wall - less.wall, whole.cpu - less.cpu)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copies(given.data / "coco/dev", folder, given.images)
        for stage in ("ingest", "annotate", "filter"):
            stages.run(recipe_of(folder, DEFAULT, "first"), runner="inline", stage=stage)
        if given.turns:
            report(compare(folder, given.turns, given.images))
        for name, seconds in emitted(folder, [name for name in FORMATS if name != "embeddings"], "all").items():
            print(f"{name:45} {seconds.wall:7.2f} s {seconds.cpu:7.2f} s CPU")


if __name__ == "__main__":
    main()
