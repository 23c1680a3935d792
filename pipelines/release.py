"""What a release is made of: samples, tables, manifest, card. Pure functions; pipelines/emit.py drives them.

A tar sample is <image_id>.<jpg|png|...> (the original bytes) and <image_id>.json. The card declares the features
of both: a loader that inferred them from the first samples would take an empty list for a list of nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from engine.graph import Node
from engine.images import EXTENSIONS
from engine.schema import ANNOTATIONS, IMAGES, RECORD, SCHEMA_VERSION
from engine.shards import File
from engine.tars import TarWriter

_IMAGE_COLUMNS = ("image_id", "width", "height", "format", "licence", "split", "sources")

# One row of a sample's json, and, with the place in the tar, of train-*.parquet.
SAMPLE = pa.schema([*(IMAGES.field(name) for name in _IMAGE_COLUMNS), *(RECORD.field(name) for name in ANNOTATIONS)])
RELEASE = pa.schema(
    [
        *SAMPLE,
        pa.field("tar", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
    ]
)


def release_rows(kept: pa.Table, images: pa.Table) -> pa.Table:
    """Kept RECORD rows and the IMAGES rows of the same images, as SAMPLE."""
    if not kept["image_id"].equals(images["image_id"]):
        raise ValueError("kept annotations and images are of different images")
    columns = [images[name] for name in _IMAGE_COLUMNS] + [kept[name] for name in ANNOTATIONS]
    return pa.table(columns, names=SAMPLE.names).cast(SAMPLE)


def sample_json(row: Mapping[str, Any]) -> bytes:
    """Every field always there, in schema order; a human score is null."""
    return json.dumps({name: row[name] for name in SAMPLE.names}, ensure_ascii=False, separators=(",", ":")).encode()


def write_shard(
    tar_file: str, parquet_file: str, rows: pa.Table, read: Callable[[str], bytes], tar_name: str
) -> None:
    """One tar and its table. The same rows and bytes give the same files."""
    places: list[tuple[int, int]] = []
    with open(tar_file, "wb") as file, TarWriter(file) as tar:
        for row in rows.to_pylist():
            places.append(tar.add(row["image_id"], extension_of(row["format"]), read(row["image_id"])))
            tar.add(row["image_id"], "json", sample_json(row))
    located = [pa.array([tar_name] * len(places)), *map(pa.array, zip(*places, strict=True))]
    table = pa.table([*rows.columns, *located], names=RELEASE.names).cast(RELEASE)
    pq.write_table(table, parquet_file, compression="zstd", row_group_size=500, write_statistics=False)


def extension_of(image_format: str) -> str:
    return EXTENSIONS[image_format]


def manifest(
    *,
    name: str,
    content: str,
    counts: Mapping[str, int],
    files: Sequence[File],
    recipe: Mapping[str, Any],
    nodes: Sequence[Node],
    lost: Sequence[Sequence[str]],
    versions: Mapping[str, str],
    extensions: Sequence[str],
) -> dict[str, Any]:
    """What manifest.json says. `content` is the key of all it was made from; `lost`: images that were gone at emit."""
    return {
        "name": name,
        "content": content,
        "schema_version": SCHEMA_VERSION,
        "counts": dict(counts),
        "files": [
            {"name": file.path.rsplit("/", 1)[-1], "sha256": file.sha256, "bytes": file.size, "rows": file.rows}
            for file in files
        ],
        "image_extensions": sorted(extensions),
        "schema": [{"name": field.name, "type": str(field.type)} for field in RELEASE],
        "lost": [list(item) for item in lost],
        "recipe": dict(recipe),
        "nodes": [
            {
                "name": node.name,
                "component": node.component,
                "version": node.version,
                "key": node.key,
                "deterministic": node.deterministic,
            }
            for node in nodes
        ],
        "versions": dict(versions),
    }


def card(written: Mapping[str, Any]) -> str:
    """README.md of a release: a front matter that `datasets` reads, and a page for people."""
    front = yaml.safe_dump(_front_matter(written), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n{_body(written)}"


def _front_matter(written: Mapping[str, Any]) -> dict[str, Any]:
    images = [{"name": extension, "dtype": "image"} for extension in written["image_extensions"]]
    keys = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    samples = [*images, {"name": "json", "struct": _features(SAMPLE)}, *keys]
    # One loader serves a folder: the tables are read with datasets' own "parquet" builder instead.
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]}]
    info = {"config_name": "default", "features": samples}
    return {"license": "other", "tags": ["webdataset"], "configs": configs, "dataset_info": info}


def _features(schema: pa.Schema) -> list[dict[str, Any]]:
    return [{"name": field.name, **_feature(field.type)} for field in schema]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """A type in the notation of the card: dtype, list, struct."""
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind.fields]}
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("struct") or inner.get("dtype") or inner}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind))}


def _body(written: Mapping[str, Any]) -> str:
    counts = written["counts"]
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in counts.items())
    nodes = "\n".join(f"| {n['name']} | {n['component']} | {n['version']} | `{n['key'][:8]}` |" for n in written["nodes"])
    licence = written["recipe"].get("emit", {}).get("licence") or "that of the images, image by image in `licence`"
    return f"""
# {written["name"]}

Images with three kinds of annotation: texts (brief, detailed, more detailed), regions with their texts, and phrases
of the texts with the regions they name. Made by an open FLD-5B engine; the labels are synthetic unless `producer`
is `human`. Licence: {licence}.

| what | number |
|---|---|
{rows}

## Load it

```python
import webdataset

for sample in webdataset.WebDataset("train-00000.tar", shardshuffle=False).decode("pil"):
    record = sample["json"]
```

```python
from datasets import load_dataset

samples = load_dataset("path/to/this/folder", split="train", streaming=True)
annotations = load_dataset("parquet", data_files="path/to/this/folder/train-*.parquet", split="train")
```

```sql
SELECT r.label, count(*) FROM read_parquet('train-*.parquet') t, unnest(t.regions) u(r) GROUP BY 1 ORDER BY 2 DESC
```

`train-*.parquet` holds the same records as the json, and where each image lies in its tar (`tar`, `offset`, `length`).
Boxes are float pixels of the upright image (EXIF applied); the image bytes are the original ones.
`score` is null for what people said, and is not on one scale between producers.

## What made it

| node | component | version | key |
|---|---|---|---|
{nodes}
"""
