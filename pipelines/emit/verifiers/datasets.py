"""Checks that the library `datasets` can read the tars, tables and pairs, both streamed and loaded whole.

The checks run in another process (datasets_program.py), without a network and with a temporary cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.layout import CARD_FILE, PAIR_FILES
from engine.reading.release_manifest import Manifest, formats_of, shards_of
from engine.schema import ANNOTATIONS
from pipelines.emit.verifiers.check import Check, not_installed, one_line
from pipelines.emit.verifiers.datasets_program import Answer, ask

COPIED = 1 << 30  # bytes of tars that `datasets` may copy into its cache; above that, it loads only one shard

# {kind of file: (its format, the key in `counts` for the number of its rows)}
_KINDS = {"tars": ("webdataset", "images"), "tables": ("parquet", "images"), "pairs": ("pairs", "pairs")}
_COLUMNS = {"tars": ("images", *ANNOTATIONS, "pairs"), "tables": ("images", *ANNOTATIONS), "pairs": ("pairs",)}


@dataclass(frozen=True, slots=True)
class Read:
    """What `datasets` read. answers: by "<kind> <way>". names: the shards; loaded: those that were loaded whole."""

    answers: Mapping[str, Answer]
    names: Sequence[str]
    loaded: Sequence[str]


def read_by_datasets(folder: Path, manifest: Manifest, scratch: Path) -> Read:
    """Reads the release with `datasets`, in a process of its own. `scratch`: for a folder with links to some files."""
    names = shards_of(file["name"] for file in manifest["files"])
    if not manifest["counts"].get("images"):  # because `datasets` refuses both empty shards and empty folders
        return Read({}, names, [])
    size = sum(file["bytes"] for file in manifest["files"] if file["name"].endswith(".tar"))
    part, loaded = (folder, names) if size <= COPIED else (_part(folder, names[0], scratch / "part"), names[:1])
    return Read(ask(folder, part, list(_kinds(manifest))), names, loaded)


def _kinds(manifest: Manifest) -> dict[str, str]:
    return {kind: unit for kind, (form, unit) in _KINDS.items() if form in formats_of(manifest)}


def datasets_checks(manifest: Manifest, counts: Mapping[str, Mapping[str, int]], read: Read) -> list[Check]:
    """The checks. `counts`: the numbers of rows in each shard, by the name of the shard."""
    kinds = _kinds(manifest)
    if not read.answers:
        return [Check(f"datasets reads the {kind}", "no images, nothing to load") for kind in kinds]
    names, loaded = read.names, read.loaded
    checks = []
    for kind, unit in kinds.items():
        check = Check(f"datasets reads the {kind}")
        checks.append(check)
        if kind == "pairs" and not manifest["pairs"]["proven"]:
            check.detail = "no pairs, nothing to load"
            continue
        for way, shards in (("streamed", names), ("loaded", loaded)):
            expected = {name: sum(counts[shard][name] for shard in shards) for name in _COLUMNS[kind]}
            if kind == "tars" and "pairs" not in kinds:
                del expected["pairs"]
            check.faults += _answer_faults(way, read.answers[f"{kind} {way}"], expected)
        check.detail = f"{sum(counts[shard][unit] for shard in names)} streamed, "
        check.detail += f"{sum(counts[shard][unit] for shard in loaded)} loaded"
    return checks


def _part(folder: Path, shard: str, part: Path) -> Path:
    """Makes a folder of links to the files of one shard. Such a folder is a release too."""
    part.mkdir()
    number = shard.partition("-")[2]
    tables = (f"{PAIR_FILES}{name}.parquet" for name in (shard, number))
    for name in (CARD_FILE, f"{shard}.tar", f"{shard}.parquet", *tables):
        if (folder / name).exists():
            (part / name).symlink_to(folder / name)
    return part


def _answer_faults(way: str, answer: Answer, expected: Mapping[str, int]) -> Iterator[str]:
    if "missing" in answer:
        yield not_installed(str(answer["missing"]))
    elif "error" in answer:
        yield f"{way}: {one_line(answer['error'])}"
    else:
        for name, number in expected.items():
            if answer.get(name, 0) != number:
                yield f"{answer.get(name, 0)} {name} {way}, {number} are there"
