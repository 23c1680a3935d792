"""What a release is made of: samples, tables, manifest, card. Pure functions; pipelines/emit.py drives them.

A tar sample is <image_id>.<jpg|png|...> (the original bytes) and <image_id>.json. The card declares the features
of both: a loader that inferred them from the first samples would take an empty list for a list of nothing, and
would refuse a shard that holds a jpg and a png (docs/decisions/003-release-format.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from engine.errors import ImageError
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
    """Every field always there, in schema order; a human score is null. ValueError for what JSON has no word for."""
    record = {name: row[name] for name in SAMPLE.names}
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def write_shard(
    tar_file: str, parquet_file: str, rows: pa.Table, read: Callable[[str], bytes], tar_name: str
) -> list[tuple[str, str]]:
    """One tar and its table, also of no rows. The same rows and bytes give the same files.

    `read` takes an image id; one image is in memory at a time. Where it raises ImageError, the image is left out:
    (id, reason) of those is returned.
    """
    places: dict[int, tuple[int, int]] = {}
    lost: list[tuple[str, str]] = []
    with open(tar_file, "wb") as file, TarWriter(file) as tar:
        for number, row in enumerate(rows.to_pylist()):
            try:
                data = read(row["image_id"])
            except ImageError as error:
                lost.append((row["image_id"], error.reason))
                continue
            places[number] = tar.add(row["image_id"], extension_of(row["format"]), data)
            tar.add(row["image_id"], "json", sample_json(row))
    kept = rows.take(pa.array(list(places), pa.int64())) if lost else rows
    located = [[tar_name] * len(places), *([place[part] for place in places.values()] for part in (0, 1))]
    columns = [pa.array(values, field.type) for values, field in zip(located, list(RELEASE)[-3:], strict=True)]
    table = pa.table([*kept.columns, *columns], schema=RELEASE)
    pq.write_table(table, parquet_file, compression="zstd", row_group_size=500, write_statistics=False)
    return lost


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
    accounting: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What manifest.json says. `content` is the key of all it was made from; `lost`: images that were gone at emit.

    `counts` holds images, each annotation column, and "<column>.<granularity or kind>".
    """
    return {
        "name": name,
        "content": content,
        "schema_version": SCHEMA_VERSION,
        "counts": dict(counts),
        "accounting": dict(accounting or {}),
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


# --- the card --------------------------------------------------------------------------------

# The Hub knows a licence by these names; any other is "other" and told by its own name.
_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "odc-by", "odbl", "pddl")


def card(written: Mapping[str, Any]) -> str:
    """README.md of a release: a front matter that `datasets` reads, and a page for people."""
    front = yaml.safe_dump(front_matter(written), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(written)}"


def front_matter(written: Mapping[str, Any]) -> dict[str, Any]:
    """One configuration, the tars: `datasets` takes one builder a folder, so Parquet beside them cannot be another."""
    images = [{"name": extension, "dtype": "image"} for extension in written["image_extensions"]]
    keys = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    features = [*images, {"name": "json", "struct": _features(SAMPLE)}, *keys]
    return {
        "pretty_name": written["name"],
        **_licence(written),
        "task_categories": ["image-to-text", "object-detection"],
        "tags": ["webdataset", "fld-5b"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]}],
        "dataset_info": {"config_name": "default", "features": features},
    }


def _licence(written: Mapping[str, Any]) -> dict[str, str]:
    stated = written["recipe"].get("emit", {}).get("licence", "")
    if stated.lower() in _HUB_LICENCES:
        return {"license": stated.lower()}
    return {"license": "other", **({"license_name": stated} if stated else {})}


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
    extensions = written["image_extensions"] or ["jpg"]
    return _PAGE.format(
        name=written["name"],
        licence=written["recipe"].get("emit", {}).get("licence") or "that of each image, in its `licence`",
        counts=_table(("what", "number"), [(key, f"{count:,}") for key, count in written["counts"].items()]),
        tars=_tars([file["name"] for file in written["files"]]),
        images=";".join(extensions),
        names=extensions,
        nodes=_table(
            ("node", "component", "version", "key"),
            [
                (node["name"], f"`{node['component']}`", node["version"], f"`{node['key'][:8]}`")
                for node in written["nodes"]
            ],
        ),
    )


def _tars(files: Sequence[str]) -> str:
    """The tars as webdataset expands them. Numbers are missing where every image of a shard was lost."""
    numbers = sorted(int(name[6:-4]) for name in files if name.endswith(".tar"))
    if len(numbers) < 2:
        return f"train-{numbers[0] if numbers else 0:05d}.tar"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = [f"{first:05d}" if first == last else f"{{{first:05d}..{last:05d}}}" for first, last in runs]
    return f"train-{told[0]}.tar" if len(told) == 1 else "train-{" + ",".join(told) + "}.tar"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


# Every block runs as it stands where the folder of the release lies; a test runs them. `datasets` cannot open ".".
_PAGE = """\
# {name}

Images with three kinds of annotation: texts (brief, detailed, more detailed), regions with their texts, and phrases
of the texts with the regions they name. Nobody checked them one by one: every annotation names its `producer` and
its `score`; what people said has `score` null.

Licence: {licence}.

{counts}

## What a sample is

`train-*.tar` holds two members an image: its original bytes, `<image_id>.jpg` (or `.png`, ... as its content is), and
`<image_id>.json`, its record. `train-*.parquet` holds the same records in the same order, and where the bytes lie:
`tar`, `offset`, `length`. `image_id` is the first half of the sha256 of the bytes, in hex.

* Boxes (`x1, y1, x2, y2`) are pixels of the **upright** image, `width` x `height`: EXIF applied. `datasets`
  decodes so; webdataset's decoder leaves images as they are stored.
* A phrase is `text[char_start:char_end]` of its text, in code points; `region_ids` are the regions it names.
* Scores of different producers are not on one scale.

## Load it

From the folder that holds `{name}/`. webdataset:

```python
import webdataset
from PIL import ImageOps


def upright(image):
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF counts as none
        return image


decoder = webdataset.imagehandler("pil", extensions={names})
samples = webdataset.WebDataset("{name}/{tars}", shardshuffle=False).decode(decoder).to_tuple("{images}", "json")
for image, record in samples:
    image = upright(image)
    print(image.size, [region["label"] for region in record["regions"]])
```

datasets (upright images; one image column for each extension, null where a sample has another):

```python
from datasets import load_dataset

samples = load_dataset("{name}", split="train", streaming=True)
for sample in samples:
    image = next(sample[name] for name in {names} if sample[name] is not None)
    print(image.size, len(sample["json"]["regions"]))

records = load_dataset("parquet", data_files="{name}/train-*.parquet", split="train")  # without pixels
```

pyarrow, with the pixels of one image:

```python
import io

import pyarrow.dataset
from PIL import Image

records = pyarrow.dataset.dataset("{name}/train-00000.parquet").to_table()
for row in records.slice(0, 1).to_pylist():
    with open("{name}/" + row["tar"], "rb") as tar:
        tar.seek(row["offset"])
        image = Image.open(io.BytesIO(tar.read(row["length"])))
```

DuckDB:

```sql
SELECT region.label, count(*) AS regions
FROM (SELECT unnest(regions) AS region FROM read_parquet('{name}/train-*.parquet'))
GROUP BY ALL ORDER BY regions DESC;
```

## What made it

{nodes}

`manifest.json` has the recipe, the versions of the packages, and the sha256 of every file.
"""
