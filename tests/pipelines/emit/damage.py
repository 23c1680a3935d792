"""Ways to damage the files of a release, in any format.

A damage changes one file and states how many rows it adds. `restate` then writes a manifest that fits the damaged
files, so that only a check of what they contain can find the damage.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.reading.release_manifest import sealed_manifest
from engine.storage.files import sha256_file
from pipelines.emit.verify import verify
from pipelines.emit.writers import FORMATS

Corners = tuple[Any, Any, Any, Any]
Rows = list[Any]

# What a box becomes that was written in another convention.
CONVENTIONS: Mapping[str, Callable[[Any, Any, Any, Any], Corners]] = {
    "y before x": lambda a, b, c, d: (b, a, d, c),
    "sizes for corners": lambda a, b, c, d: (a, b, c - a, d - b),
    "corners for sizes": lambda a, b, c, d: (a, b, a + c, b + d),
    "half as large": lambda a, b, c, d: (a / 2, b / 2, c / 2, d / 2),
}
_LOCATIONS = re.compile(r"<loc_(\d+)><loc_(\d+)><loc_(\d+)><loc_(\d+)>")
_LISTED = re.compile(r"\[(\d+), (\d+), (\d+), (\d+)\]")
_ONE = ("x1", "y1", "x2", "y2")


NOT_RUN = "this reader did not run"  # in the answer of a reader that the fixture own_rules_only stops


def found(folder: Path) -> list[str]:
    """The faults of a release, without those about readers that did not run."""
    faults = [fault for check in verify(str(folder)) for fault in check.faults]
    return [fault for fault in faults if NOT_RUN not in fault and "not asked" not in fault]


# --- which files a format has -------------------------------------------------------------------


def files_of(folder: Path, name: str) -> list[str]:
    """The files of a format in the release, sorted. Loose images belong to no format."""
    form = FORMATS[name]
    tree = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if form.suffix:
        own = re.compile(rf"{form.stem}(train|valid|test)-\d+\.{form.suffix}")
        return [path for path in tree if own.fullmatch(path)]
    images = re.compile(r"images/\w+/[0-9a-f]{32}\.\w+")
    return [path for path in tree if path.startswith(form.files) and not images.fullmatch(path)]


def kinds_of(folder: Path, name: str) -> dict[str, str]:
    """{kind: file}, the first file of each kind that is not empty. A kind has no split, number or image id."""
    found: dict[str, str] = {}
    for file in files_of(folder, name):
        if (folder / file).stat().st_size:
            found.setdefault(re.sub(r"[0-9a-f]{32}|\d{5}", "N", re.sub("train|valid|test", "SPLIT", file)), file)
    return found


def manifest_files(folder: Path) -> list[str]:
    """The files that the manifest lists."""
    return [file["name"] for file in json.loads((folder / "manifest.json").read_bytes())["files"]]


# --- damages of bytes ---------------------------------------------------------------------------


def cut(path: Path) -> int:
    """Leaves the first half of the bytes."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return 0


def flip(path: Path, share: float = 0.5) -> int:
    """Changes one bit of a letter or digit, at this share of the file. In a table, it is one of the data of a column.

    The footer of a table has bits that no reader looks at, and the tar has padding. In a label file it is one of the
    first digits of a number, because the last ones are finer than what readers keep.
    """
    data = bytearray(path.read_bytes())
    if path.suffix == ".parquet":
        group = pq.read_metadata(path).row_group(0)
        chunks = [group.column(number) for number in range(group.num_columns)]
        chunk = chunks[int(len(chunks) * share)]
        start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        data[start + chunk.total_compressed_size - 1] ^= 1
    else:
        places = [place for place, byte in enumerate(data) if chr(byte).isalnum() and byte < 128]
        if path.suffix == ".txt":
            places = [place for place in places if not place or data[place - 1] in b".\n "]
        data[places[int(len(places) * share)]] ^= 1
    path.write_bytes(data)
    return 0


def remove(path: Path) -> int:
    path.unlink()
    return 0


# --- damages of rows ----------------------------------------------------------------------------


def repeat_last(rows: Rows) -> Rows:
    return [*rows, _renumbered(rows[-1], len(rows))]


def drop_last(rows: Rows) -> Rows:
    return rows[:-1]


def change_boxes(convention: str) -> Callable[[Rows], Rows]:
    change = CONVENTIONS[convention]
    return lambda rows: [_changed(row, change) for row in rows]


def edit(path: Path, change: Callable[[Rows], Rows]) -> int | None:
    """Changes the rows of a file. Returns how many more it has now, or None if it has no rows or none was changed."""
    before = read_rows(path)
    after = change(before) if before else before
    if not before or after == before:
        return None
    _write_rows(path, after)
    return len(after) - len(before)


def read_rows(path: Path) -> Rows:
    """The rows: lines, rows of a table, samples of a tar, or entries of the list in a JSON file; [] for other files."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".txt":
        return [tuple(map(float, line.split())) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    if path.suffix == ".tar":
        return _samples(path)
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        return list(content if isinstance(content, list) else content.get("annotations", []))
    return []


def _write_rows(path: Path, rows: Rows) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows))
    elif path.suffix == ".txt":
        lines = (" ".join([str(int(row[0])), *map(str, row[1:])]) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    elif path.suffix == ".tar":
        _write_samples(path, rows)
    else:
        content = json.loads(path.read_text())
        whole = rows if isinstance(content, list) else {**content, "annotations": rows}
        path.write_text(json.dumps(whole, ensure_ascii=False))


def _samples(path: Path) -> Rows:
    """(name and bytes of the image, the record) of each sample of a tar."""
    with tarfile.open(path) as tar:
        members = [(member.name, file.read()) for member in tar if (file := tar.extractfile(member))]
    return [(image, json.loads(record)) for image, (_, record) in zip(members[::2], members[1::2], strict=True)]


def _write_samples(path: Path, rows: Rows) -> None:
    with tarfile.open(path, "w") as tar:
        for (name, data), record in rows:
            text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
            for member, content in ((name, data), (f"{name.partition('.')[0]}.json", text)):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _renumbered(row: Any, number: int) -> Any:
    """A copy of a row. If it has a number as its id, such as an annotation of COCO, the copy has the next one."""
    if isinstance(row, dict) and isinstance(row.get("id"), int):
        return {**row, "id": number + 1}
    return row


def _changed(value: Any, change: Callable[[Any, Any, Any, Any], Corners]) -> Any:
    """A copy in which every list of four numbers, every four locations in a text, and x1 to y2 are changed."""
    if isinstance(value, str):
        text = _LOCATIONS.sub(lambda found: "".join(f"<loc_{n}>" for n in _whole(change, found)), value)
        return _LISTED.sub(lambda found: str(_whole(change, found)), text)
    if isinstance(value, tuple) and len(value) == 5:  # a line of YOLO
        return (value[0], *change(*value[1:]))
    if isinstance(value, list):
        if len(value) == 4 and all(isinstance(one, int | float) for one in value):
            return list(change(*value))
        return [_changed(one, change) for one in value]
    if isinstance(value, tuple):
        return tuple(_changed(one, change) for one in value)
    if isinstance(value, dict):
        copy = {key: _changed(one, change) for key, one in value.items()}
        return copy | dict(zip(_ONE, change(*(copy[key] for key in _ONE)), strict=True)) if "x1" in copy else copy
    return value


def _whole(change: Callable[[Any, Any, Any, Any], Corners], found: re.Match[str]) -> list[int]:
    return [max(0, int(one)) for one in change(*map(int, found.groups()))]


# --- the manifest -------------------------------------------------------------------------------


def restate(folder: Path, rows: Mapping[str, int] = {}, change: Callable[[Any], object] = lambda _: None) -> None:
    """Writes the manifest and the tables of loose files so that they fit the files that are there.

    `rows`: how many rows were added to a file. `change`: a further change of the manifest.
    """
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for table in sorted(folder.glob("files-*.parquet")):
        _restate_table(folder, table)
    manifest["files"] = [file for file in manifest["files"] if (folder / file["name"]).exists()]
    for file in manifest["files"]:
        path = folder / file["name"]
        file["bytes"], file["sha256"] = path.stat().st_size, sha256_file(str(path))
        file["rows"] += rows.get(file["name"], 0)
    change(manifest)
    manifest.pop("digest", None)
    (folder / "manifest.json").write_bytes(sealed_manifest(manifest, (folder / "README.md").read_bytes()))


def _restate_table(folder: Path, table: Path) -> None:
    try:
        listed = pq.read_table(table)
    except pa.ArrowException:
        return
    rows = [row for row in listed.to_pylist() if (folder / row["name"]).exists()]
    for row in rows:
        path = folder / row["name"]
        row["bytes"], row["sha256"] = path.stat().st_size, sha256_file(str(path))
    if rows != listed.to_pylist():
        pq.write_table(pa.Table.from_pylist(rows, schema=listed.schema), table)
