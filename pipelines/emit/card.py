"""The data card of a release: README.md, with front matter for the Hugging Face Hub and a page for people.

The card is made from the manifest alone, so the same release has the same card. The front matter declares the features
of the tars. Without it, `datasets` infers them from the first samples. It then takes an empty list for a list of nulls,
and refuses a shard that has both a jpg and a png (docs/decisions/003-release-format.md).
"""

from __future__ import annotations

import re

import pyarrow as pa
import yaml

from engine.layout import LOOSE_IMAGES, RELEASE_SPLITS
from engine.reading.release_manifest import Manifest, formats_of
from engine.schema import ANNOTATIONS
from pipelines.emit.choice.card import choice_section
from pipelines.emit.markdown import code, escape, listed, several
from pipelines.emit.sections.contents import contents
from pipelines.emit.sections.left_out import left_out
from pipelines.emit.sections.limits import limits
from pipelines.emit.sections.loading import HUB_SPLITS
from pipelines.emit.sections.origin import making, origin
from pipelines.emit.writers import FORMATS
from pipelines.emit.writers.webdataset import MEMBER

# The names of common licences on the Hugging Face Hub. Any other licence is written as "other", and its name in a
# second field.
# fmt: off
_HUB_LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "c-uda", "odc-by", "odbl", "pddl", "gfdl",
    "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense", "wtfpl", "openrail",
)
# fmt: on
_UNITS = ("", "K", "M", "B", "T")
_LEAST_SHARE = 0.01  # of the texts that a language must have, because short texts are often taken for a wrong language


def card(manifest: Manifest) -> str:
    front = yaml.safe_dump(front_matter(manifest), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(manifest)}"


def front_matter(manifest: Manifest) -> dict[str, object]:
    """The front matter, in the form that the Hub and `datasets` read.

    It has one configuration, because `datasets` allows one builder for a folder: the tars, or else the loose images of
    `imagefolder`, or else the records. Only the tars need declared features.
    """
    written = formats_of(manifest)
    front: dict[str, object] = {"pretty_name": manifest["name"], **_licence(manifest)}
    if languages := _languages(manifest):
        front["language"] = languages
    front["size_categories"] = [size_category(manifest["counts"].get("images", 0))]
    if tasks := _tasks(manifest):
        front["task_categories"] = tasks
    front["tags"] = [*(["webdataset"] if "webdataset" in written else []), "fld-5b"]
    front["configs"] = [{"config_name": "default", "data_files": _data_files(manifest, written)}]
    if "webdataset" in written:
        front["dataset_info"] = {"config_name": "default", "features": _tar_features(manifest)}
    return front


def _tar_features(manifest: Manifest) -> list[dict[str, object]]:
    images: list[dict[str, object]] = [
        {"name": extension, "dtype": "image"} for extension in manifest["image_extensions"]
    ]
    keys: list[dict[str, object]] = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return [*images, {"name": "json", "struct": _features(MEMBER)}, *keys]


def _data_files(manifest: Manifest, written: list[str]) -> list[dict[str, str]]:
    """The files of each split."""
    splits = [split for split in RELEASE_SPLITS if manifest.get("splits", {}).get(split)] or ["train"]
    pattern = f"{LOOSE_IMAGES}/{{}}/**" if "imagefolder" in written else "{}-*.parquet"
    if "webdataset" in written:
        pattern = "{}-*.tar"
    return [{"split": HUB_SPLITS.get(split, split), "path": pattern.format(split)} for split in splits]


def _licence(manifest: Manifest) -> dict[str, str]:
    stated = manifest["recipe"].get("emit", {}).get("licence", "")
    if stated.lower() in _HUB_LICENCES:
        return {"license": stated.lower()}
    name = re.sub(r"[^a-z0-9.]+", "-", stated.lower()).strip("-.")[:80]
    return {"license": "other", **({"license_name": name} if name else {})}


def _languages(manifest: Manifest) -> list[str]:
    """The codes (ISO 639) of the languages that a specialist found in the texts, without rare ones."""
    found = manifest["figures"]["languages"] if "figures" in manifest else {}
    least = _LEAST_SHARE * sum(found.values())
    return [name for name, number in found.items() if re.fullmatch("[a-z]{2,3}", name) and number >= least]


def size_category(images: int) -> str:
    """The class of sizes of the Hub that this number of images is in."""
    power = len(str(images)) - 1
    if power < 3:
        return "n<1K"
    if power >= 12:
        return "n>1T"
    low, high = (f"{10 ** (p % 3)}{_UNITS[p // 3]}" for p in (power, power + 1))
    return f"{low}<n<{high}"


def _tasks(manifest: Manifest) -> list[str]:
    """The Hub's names of the tasks that the annotations can train."""
    counts = manifest["counts"]
    masks = manifest["figures"]["masks"] if "figures" in manifest else 0
    names = {
        "image-to-text": counts.get("texts", 0),
        "object-detection": counts.get("regions.object", 0),
        "zero-shot-object-detection": counts.get("phrases", 0),
        "image-segmentation": masks,
        "image-text-to-text": sum(manifest["pairs"]["proven"].values()),
    }
    return [name for name, number in names.items() if number]


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
    written = formats_of(manifest)
    forms = [form for name, form in FORMATS.items() if name in written]
    parts = [
        _introduction(manifest, written),
        contents(manifest),
        _RECORD,
        f"## How to load it\n\nThe code runs in the folder that holds `{manifest['name']}/`.",
        *(_inner(form.card(manifest)) for form in forms if form.card),
        origin(manifest),
        making(manifest),
        choice_section(manifest),
        left_out(manifest),
        limits(manifest),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _inner(section: str) -> str:
    """A section of a format, with a heading below that of loading."""
    return f"#{section}" if section.startswith("## ") else section


def _introduction(manifest: Manifest, written: list[str]) -> str:
    licence = escape(manifest["recipe"].get("emit", {}).get("licence", ""), 1000)
    images = several(manifest["counts"].get("images", 0), "image")
    kinds = [name.replace("_", " ") for name in ANNOTATIONS if manifest["counts"].get(name)]
    return f"""\
# {escape(manifest["name"])}

{images} with {f"these annotations: {listed(kinds)}" if kinds else "no annotations"}. The same records in these formats:
{listed([code(name) for name in written])}.

Licence: {licence or "each image has its own, in its field `licence`"}.

`manifest.json` lists every file with its sha256, and holds the whole recipe and the versions of the packages.
`engine verify` checks a copy of the release with it."""


_RECORD = """\
## What a record is

Every format is made from the same records, one for each image. `image_id` is the first half of the sha256 of the bytes
of the image, in hex. The bytes are those of the source, never encoded again.

* Boxes (`x1, y1, x2, y2`) are in pixels of the **upright** image, `width` x `height`, after its EXIF rotation.
* A phrase is `text[char_start:char_end]` of its text, in code points; `region_ids` are the regions it names.
* Each annotation has a `producer`, a `score` and a `score_kind`. Annotations by people have a null `score`."""
