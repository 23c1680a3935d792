"""How to open the tars and the tables of a release: sections of the data card with code that runs as it is.

A test runs every block in the folder above the release (`datasets` cannot open ".").
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.layout import RELEASE_SPLITS
from engine.reading.release_manifest import Manifest, shard_file, tables_of


def first_split(manifest: Manifest) -> str:
    """The split that the examples open."""
    return next((split for split in RELEASE_SPLITS if manifest.get("splits", {}).get(split)), "train")


def tars_section(manifest: Manifest) -> str:
    extensions, split = manifest["image_extensions"] or ["jpg"], first_split(manifest)
    return _TARS.format(
        name=manifest["name"],
        split=split,
        hub_split=HUB_SPLITS.get(split, split),
        tars=_tars([file["name"] for file in manifest["files"]], split),
        images=";".join(extensions),
        names=extensions,
    )


def tables_section(manifest: Manifest) -> str:
    split = first_split(manifest)
    tables = tables_of(file["name"] for file in manifest["files"])
    first = next((name for name in tables if name.startswith(f"{split}-")), f"{split}-00000.parquet")
    return _TABLES.format(name=manifest["name"], split=split, first=first)


# The names of splits on the Hugging Face Hub, where they differ from those of a release.
HUB_SPLITS = {"valid": "validation"}


def _tars(files: Sequence[str], split: str) -> str:
    """One pattern, in the syntax of webdataset, for all tars of a split.

    Shards that lost all images have no tar, so numbers may be missing.
    """
    tars = [match for match in map(shard_file, files) if match and match["suffix"] == "tar"]
    numbers = sorted(int(match["number"]) for match in tars if match["split"] == split)
    if len(numbers) < 2:
        return f"{split}-{numbers[0] if numbers else 0:05d}.tar"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    ranges = [f"{first:05d}" if first == last else f"{{{first:05d}..{last:05d}}}" for first, last in runs]
    return f"{split}-{ranges[0]}.tar" if len(ranges) == 1 else f"{split}-{{" + ",".join(ranges) + "}.tar"


_TARS = """\
### WebDataset: tars

`<split>-*.tar` holds two members for each image: its original bytes, `<image_id>.jpg` (or `.png`, ... by its content),
and its record, `<image_id>.json`. `datasets` turns images upright; webdataset's decoder leaves them as they are stored.

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

`datasets` has one image column for each extension, which is null if the sample has another extension:

```python
from datasets import load_dataset

samples = load_dataset("{name}", split="{hub_split}", streaming=True)
for sample in samples:
    image = next(sample[name] for name in {names} if sample[name] is not None)
    print(image.size, len(sample["json"]["regions"]))
```"""

_TABLES = """\
### Parquet: records

`<split>-*.parquet` holds one record for each image, and the place of its bytes in the release: the file `tar`, `offset`
and `length`.

```python
import io

import pyarrow.dataset
from datasets import load_dataset
from PIL import Image

records = load_dataset("parquet", data_files="{name}/{split}-*.parquet", split="train")  # without pixels

table = pyarrow.dataset.dataset("{name}/{first}").to_table()
for row in table.slice(0, 1).to_pylist():  # with the pixels of one image
    with open("{name}/" + row["tar"], "rb") as file:
        file.seek(row["offset"])
        image = Image.open(io.BytesIO(file.read(row["length"])))
```

```sql
SELECT region.label, count(*) AS regions
FROM (SELECT unnest(regions) AS region FROM read_parquet('{name}/{split}-*.parquet'))
GROUP BY ALL ORDER BY regions DESC;
```"""
