"""The data card of a release: README.md, with front matter for the library `datasets` and a page for people.

The front matter declares the features of the tars. Without it, `datasets` infers them from the first samples. It then
takes an empty list for a list of nulls, and refuses a shard that has both a jpg and a png
(docs/decisions/003-release-format.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import yaml

from engine.layout import RELEASE_SPLITS
from engine.reading.release_manifest import Manifest, ReleaseNode, formats_of, shard_file
from pipelines.emit.choice.card import choice_section
from pipelines.emit.markdown import table
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.webdataset import MEMBER

# The names of licences on the Hugging Face Hub. Any other licence is written as "other", and its name in a second
# field.
_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "odc-by", "odbl", "pddl")


def card(manifest: Manifest) -> str:
    front = yaml.safe_dump(front_matter(manifest), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(manifest)}"


def front_matter(manifest: Manifest) -> dict[str, object]:
    """The front matter.

    Its only configuration is the tars: `datasets` allows one builder for a folder, so Parquet has none.
    """
    images = [{"name": extension, "dtype": "image"} for extension in manifest["image_extensions"]]
    keys = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    features = [*images, {"name": "json", "struct": _features(MEMBER)}, *keys]
    return {
        "pretty_name": manifest["name"],
        **_licence(manifest),
        "task_categories": ["image-to-text", "object-detection"],
        "tags": ["webdataset", "fld-5b"],
        "configs": [{"config_name": "default", "data_files": _data_files(manifest)}],
        "dataset_info": {"config_name": "default", "features": features},
    }


# The names of splits on the Hugging Face Hub, where they differ from those of a release.
_HUB_SPLITS = {"valid": "validation"}


def _data_files(manifest: Manifest) -> list[dict[str, str]]:
    """The tars of each split."""
    splits = [split for split in RELEASE_SPLITS if manifest.get("splits", {}).get(split)] or ["train"]
    return [{"split": _HUB_SPLITS.get(split, split), "path": f"{split}-*.tar"} for split in splits]


def _licence(manifest: Manifest) -> dict[str, str]:
    stated = manifest["recipe"].get("emit", {}).get("licence", "")
    if stated.lower() in _HUB_LICENCES:
        return {"license": stated.lower()}
    return {"license": "other", **({"license_name": stated} if stated else {})}


def _features(schema: pa.Schema) -> list[dict[str, object]]:
    return [{"name": field.name, **_feature(field.type)} for field in schema]


def _feature(kind: pa.DataType) -> dict[str, object]:
    """A type in the form that the card needs: a dtype, a list or a struct."""
    if pa.types.is_struct(kind):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in kind.fields]}
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("struct") or inner.get("dtype") or inner}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind))}


def _body(manifest: Manifest) -> str:
    extensions = manifest["image_extensions"] or ["jpg"]
    return _PAGE.format(
        name=manifest["name"],
        licence=manifest["recipe"].get("emit", {}).get("licence") or "each image has its own, in its field `licence`",
        counts=table(("what", "number"), [(key, f"{count:,}") for key, count in manifest["counts"].items()]),
        sections="\n\n".join(filter(None, _sections(manifest))),
        tars=_tars([file["name"] for file in manifest["files"]]),
        images=";".join(extensions),
        names=extensions,
        nodes=table(
            ("node", "component", "version", "key", "licence of code", "licence of weights"),
            [_node(node) for node in manifest["nodes"]],
        ),
    )


def _sections(manifest: Manifest) -> list[str]:
    """How images were chosen, then the section of each format that has one."""
    written = formats_of(manifest)
    forms = [form for name, form in FORMATS.items() if name in written]
    return [choice_section(manifest), *(form.card(manifest) for form in forms if form.card)]


def _node(node: ReleaseNode) -> tuple[Any, ...]:
    licences = (node["code_licence"], node["weights_licence"] or "no weights")
    return (node["name"], f"`{node['component']}`", node["version"], f"`{node['key'][:8]}`", *licences)


def _tars(files: Sequence[str]) -> str:
    """One pattern, in the syntax of webdataset, for all tars.

    Shards that lost all images have no tar, so numbers may be missing.
    """
    tars = [match for match in map(shard_file, files) if match and match["suffix"] == "tar"]
    numbers = sorted(int(match["number"]) for match in tars if match["split"] == "train")
    if len(numbers) < 2:
        return f"train-{numbers[0] if numbers else 0:05d}.tar"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    ranges = [f"{first:05d}" if first == last else f"{{{first:05d}..{last:05d}}}" for first, last in runs]
    return f"train-{ranges[0]}.tar" if len(ranges) == 1 else "train-{" + ",".join(ranges) + "}.tar"


# A test runs every code block as it is, in the folder above the release (`datasets` cannot open ".").
_PAGE = """\
# {name}

Images with three kinds of annotation: texts (brief, detailed, more detailed), regions with their texts, and phrases
of the texts with the regions they name. The annotations were not checked one by one: each has a `producer` and a
`score`. Annotations by people have a null `score`.

Licence: {licence}.

{counts}

## What a sample is

`train-*.tar` holds two members for each image: its original bytes, `<image_id>.jpg` (or `.png`, ... by its content),
and its record, `<image_id>.json`. `train-*.parquet` holds the same records in the same order, and the place of the
bytes: `tar`, `offset`, `length`. `image_id` is the first half of the sha256 of the bytes, in hex.

* Boxes (`x1, y1, x2, y2`) are in pixels of the **upright** image, `width` x `height`, after its EXIF rotation.
  `datasets` rotates images; webdataset's decoder leaves them as they are stored.
* A phrase is `text[char_start:char_end]` of its text, in code points; `region_ids` are the regions it names.
* Scores of different producers are not on one scale.

{sections}

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

datasets (upright images; one image column for each extension, null if the sample has another extension):

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

`manifest.json` holds the recipe, the versions of the packages, and the sha256 of every file.
"""
