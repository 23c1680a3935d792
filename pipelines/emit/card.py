"""README.md of a release: a front matter that `datasets` reads, and a page for people.

The front matter declares the features of the tars: a loader that inferred them from the first samples would take an
empty list for a list of nothing, and would refuse a shard that holds a jpg and a png
(docs/decisions/003-release-format.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml

from engine.reading.release_manifest import Manifest
from pipelines.emit.writers.webdataset import MEMBER

# Licences that the Hub knows by these names. Any other is "other", with its name beside.
_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "odc-by", "odbl", "pddl")


def card(written: Manifest) -> str:
    """README.md of a release: a front matter that `datasets` reads, and a page for people."""
    front = yaml.safe_dump(front_matter(written), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(written)}"


def front_matter(written: Manifest) -> dict[str, object]:
    """One configuration, the tars: `datasets` takes one builder a folder, so Parquet beside them cannot be another."""
    images = [{"name": extension, "dtype": "image"} for extension in written["image_extensions"]]
    keys = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    features = [*images, {"name": "json", "struct": _features(MEMBER)}, *keys]
    return {
        "pretty_name": written["name"],
        **_licence(written),
        "task_categories": ["image-to-text", "object-detection"],
        "tags": ["webdataset", "fld-5b"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]}],
        "dataset_info": {"config_name": "default", "features": features},
    }


def _licence(written: Manifest) -> dict[str, str]:
    stated = written["recipe"].get("emit", {}).get("licence", "")
    if stated.lower() in _HUB_LICENCES:
        return {"license": stated.lower()}
    return {"license": "other", **({"license_name": stated} if stated else {})}


def _features(schema: pa.Schema) -> list[dict[str, object]]:
    return [{"name": field.name, **_feature(field.type)} for field in schema]


def _feature(kind: pa.DataType) -> dict[str, object]:
    """A type in the notation of the card: dtype, list, struct."""
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind.fields]}
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("struct") or inner.get("dtype") or inner}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind))}


def _body(written: Manifest) -> str:
    extensions = written["image_extensions"] or ["jpg"]
    return _PAGE.format(
        name=written["name"],
        licence=written["recipe"].get("emit", {}).get("licence") or "that of each image, in its `licence`",
        counts=_table(("what", "number"), [(key, f"{count:,}") for key, count in written["counts"].items()]),
        pairs=_pairs(written),
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


def _pairs(written: Manifest) -> str:
    proven = written["pairs"]["proven"]
    if not proven:
        return "None of these records supports a pair of a question and an answer."
    rows = [(f"`{task}`", f"{number:,}") for task, number in proven.items()]
    return _PAIRS.format(name=written["name"], pairs=_table(("task", "pairs"), rows))


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

## Pairs to train on

{pairs}

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

_PAIRS = """\
`pairs-*.parquet` holds what Florence-2 is asked (`prompt`) and is to answer (`target`), each made of the annotations
it names and proven to parse back to them; `uri`, `offset` and `length` say where the image lies. The json of a sample
holds its own, under `pairs`. Locations are a thousandth of the upright image's width or height. `manifest.json` says
what was left out, and why.

{pairs}

```python
from datasets import load_dataset

pairs = load_dataset("parquet", data_files="{name}/pairs-*.parquet", split="train")
print(pairs[0]["task"], pairs[0]["prompt"], pairs[0]["target"])
```"""
