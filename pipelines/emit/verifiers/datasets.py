"""Checks that the library `datasets` can read the tars, tables and pairs, both streamed and loaded whole.

The checks run in another process (datasets_program.py), without a network and with a temporary cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.layout import CARD_FILE, PAIR_FILES, SAMPLE_FILES
from engine.reading.release_manifest import Manifest
from engine.schema import ANNOTATIONS
from pipelines.emit.verifiers.check import Check, not_installed, one_line
from pipelines.emit.verifiers.datasets_program import Answer, ask

COPIED = 1 << 30  # bytes of tars that `datasets` may copy into its cache; above that, it loads only one shard

# {kind of file: the key in `counts` for the number of its rows}
_UNITS = {"tars": "images", "tables": "images", "pairs": "pairs"}
_COLUMNS = {"tars": ("images", *ANNOTATIONS, "pairs"), "tables": ("images", *ANNOTATIONS), "pairs": ("pairs",)}


def datasets_checks(
    folder: Path, manifest: Manifest, counts: Mapping[str, Mapping[str, int]], scratch: Path
) -> list[Check]:
    """The checks. `counts`: the numbers of rows in each shard, by the stem of its files.

    `scratch`: a folder for the cache.
    """
    if not manifest["counts"].get("images"):  # because `datasets` refuses both empty shards and empty folders
        return [Check(f"datasets reads the {kind}", "no images, nothing to load") for kind in _UNITS]
    checks = [Check(f"datasets reads the {kind}") for kind in _UNITS]
    stems = sorted(counts)
    size = sum(file["bytes"] for file in manifest["files"] if file["name"].endswith(".tar"))
    part, loaded = (folder, stems) if size <= COPIED else (_part(folder, stems[0], scratch / "part"), stems[:1])
    answers = ask(folder, part, scratch / "cache")
    for check, (kind, unit) in zip(checks, _UNITS.items(), strict=True):
        if kind == "pairs" and not manifest["pairs"]["proven"]:
            check.detail = "no pairs, nothing to load"
            continue
        for way, read in (("streamed", stems), ("loaded", loaded)):
            expected = {name: sum(counts[stem][name] for stem in read) for name in _COLUMNS[kind]}
            check.faults += _answer_faults(way, answers[f"{kind} {way}"], expected)
        check.detail = f"{sum(counts[stem][unit] for stem in stems)} streamed, "
        check.detail += f"{sum(counts[stem][unit] for stem in loaded)} loaded"
    return checks


def _part(folder: Path, stem: str, part: Path) -> Path:
    """Makes a folder of links to the files of one shard. Such a folder is a release too."""
    part.mkdir()
    pairs = stem.replace(SAMPLE_FILES, PAIR_FILES, 1)
    for name in (CARD_FILE, f"{stem}.tar", f"{stem}.parquet", f"{pairs}.parquet"):
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
