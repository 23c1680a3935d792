"""Valid inputs and their mutations: images, tars, Parquet files, COCO jsons. fuzz_recipes.py makes recipes.

Each function draws from a seeded `dice` and writes into a folder; the same seed gives the same files.
"""

from __future__ import annotations

import functools
import io
import json
import random
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.mutations import ODD, changed_document, damaged, json_bytes

_FORMATS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("JPEG", "jpg", "RGB", {}),
    ("JPEG", "jpg", "RGB", {"progressive": True}),
    ("JPEG", "jpeg", "CMYK", {}),
    ("JPEG", "jpg", "L", {}),
    ("PNG", "png", "RGB", {}),
    ("PNG", "png", "RGBA", {}),
    ("PNG", "png", "P", {}),
    ("PNG", "png", "I;16", {}),
    ("GIF", "gif", "P", {}),
    ("BMP", "bmp", "RGB", {}),
    ("TIFF", "tif", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "tiff", "L", {"compression": "jpeg"}),
    ("WEBP", "webp", "RGB", {}),
    ("WEBP", "webp", "RGBA", {"lossless": True}),
    ("AVIF", "avif", "RGB", {}),
    ("JPEG2000", "jp2", "RGB", {}),
    ("PPM", "ppm", "RGB", {}),
)


@functools.cache
def seeds() -> list[tuple[str, bytes]]:
    """(ending, bytes) of one valid image in each format that Pillow writes here; two have an EXIF turn."""
    draw = np.random.default_rng(0)
    found = []
    for number, (kind, ending, mode, options) in enumerate(_FORMATS):
        coarse = Image.fromarray(draw.integers(0, 256, (6, 6, 3), np.uint8))
        photo = coarse.resize((48 + number, 40), Image.Resampling.BICUBIC).convert("L" if mode == "I;16" else mode)
        photo = photo.convert("I;16") if mode == "I;16" else photo
        if kind in ("JPEG", "PNG") and number in (1, 4):
            exif = Image.Exif()
            exif[0x0112] = 6
            options = options | {"exif": exif}
        file = io.BytesIO()
        try:
            photo.save(file, kind, **options)
        except (OSError, KeyError, ValueError):
            continue  # this Pillow was built without it
        found.append((ending, file.getvalue()))
    return found


def mutated_image(dice: random.Random) -> tuple[str, bytes]:
    ending, data = dice.choice(seeds())
    if ending == "png" and dice.random() < 0.3:
        return ending, _sized_png(data, dice)
    if dice.random() < 0.1:
        return dice.choice(seeds())[0], data  # with the extension of another format
    return ending, damaged(data, dice, dice.choice(seeds())[1])


def _sized_png(data: bytes, dice: random.Random) -> bytes:
    """A PNG whose header, with a valid checksum, has another size or depth."""
    header = bytearray(data[12:29])
    at, values = dice.choice(((4, (0, 1, 2**16, 2**31 - 1, 2**32 - 1)), (8, (0, 1, 10**5, 2**32 - 1))))
    header[at : at + 4] = dice.choice(values).to_bytes(4, "big")
    if dice.random() < 0.3:
        header[12 + dice.randrange(5)] = dice.randrange(256)
    return data[:12] + bytes(header) + zlib.crc32(bytes(header)).to_bytes(4, "big") + data[33:]


# --- tars ------------------------------------------------------------------------------------

_NAMES = (
    "{0}.jpg", "img.{0}.jpg", "a/{0}.jpg", "./{0}.png", "same.jpg", "{0}.seg.png", "/{0}.jpg", "../{0}.jpg",
    "{0}.JPG", "a::{0}.jpg", "a\nb{0}.jpg", "{0}", ".jpg", "{0}.jpg.jpg", "caf\u00e9{0}.jpg", "x" * 120 + "{0}.jpg",
    "__{0}__/x.jpg", "#{0}?.jpg", "{0}%41.jpg", "{0} .jpg",
)  # fmt: skip
_CAPTIONS: tuple[tuple[str, bytes], ...] = (
    ("txt", b"a cat"),
    ("txt", "a café".encode("latin-1")),
    ("txt", "a cat".encode("utf-16")),
    ("txt", b""),
    ("json", b'{"caption": "a dog"}'),
    ("json", b'{"caption": null, "captions": ["a", 3]}'),
    ("json", b'{"caption": "\\ud800"}'),
    ("json", b"{nonsense"),
    ("json", b"[1, 2]"),
)


def mutated_tar(dice: random.Random) -> bytes:
    parts = [_tar(dice) for _ in range(dice.choice((1, 1, 1, 2)))]
    data = b"".join(parts)
    return damaged(data, dice) if dice.random() < 0.6 else data


def _tar(dice: random.Random) -> bytes:
    file = io.BytesIO()
    form = dice.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    plain = dice.random() < 0.4
    with tarfile.open(fileobj=file, mode=dice.choice(("w:",) * 9 + ("w:gz",)), format=form) as tar:
        for number in range(dice.randint(1, 6)):
            name = (_NAMES[0] if plain else dice.choice(_NAMES)).format(number)
            _add(tar, name, dice.choice(seeds())[1])
            if dice.random() < 0.7:
                kind, content = dice.choice(_CAPTIONS)
                _add(tar, f"{name.rpartition('.')[0] or name}.{kind}", content)
            if dice.random() < 0.1:
                _add_odd(tar, number, dice)
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    try:
        tar.addfile(info, io.BytesIO(data))
    except ValueError:  # too long for this format
        info.name = name[-40:]
        tar.addfile(info, io.BytesIO(data))


def _add_odd(tar: tarfile.TarFile, number: int, dice: random.Random) -> None:
    info = tarfile.TarInfo(f"odd{number}.jpg")
    info.type = dice.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
    info.linkname = dice.choice(("0.jpg", "/etc/hostname", "nowhere.jpg"))
    tar.addfile(info)


# --- Parquet ---------------------------------------------------------------------------------


def write_parquet(path: Path, dice: random.Random) -> None:
    """Rows with images or names of images, in columns of usual and odd types."""
    count = dice.choice((0, 1, 5, 5, 12))
    table = pa.table(_columns(count, dice))
    if dice.random() < 0.1 and table.num_columns > 1:
        table = table.rename_columns(["image"] * table.num_columns)
    elif dice.random() < 0.1:
        table = table.rename_columns([dice.choice(("", "id", "x", "caption")) for _ in table.column_names])
    codec = dice.choice(("snappy", "zstd", "none"))
    pq.write_table(table, path, row_group_size=dice.choice((1, 3, 1000)), compression=codec)
    if dice.random() < 0.5:
        path.write_bytes(damaged(path.read_bytes(), dice))


def _columns(count: int, dice: random.Random) -> dict[str, pa.Array]:
    photos = [dice.choice(seeds())[1] if dice.random() < 0.9 else dice.choice((None, b"", b"x")) for _ in range(count)]
    texts = [dice.choice(("a cat", "", None, "\u65e5\u672c", "x" * 3000)) for _ in range(count)]
    nested = [None if photo is None else {"bytes": photo, "path": f"{n}.jpg"} for n, photo in enumerate(photos)]
    images: dict[str, Any] = {
        "binary": lambda: pa.array(photos, pa.binary()),
        "large": lambda: pa.array(photos, pa.large_binary()),
        "struct": lambda: pa.array(nested, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "dictionary": lambda: pa.array(photos, pa.binary()).dictionary_encode(),
        "list": lambda: pa.array([[photo] for photo in photos], pa.list_(pa.binary())),
        "null": lambda: pa.nulls(count),
        "numbers": lambda: pa.array(range(count), pa.int64()),
        "uris": lambda: pa.array([dice.choice(("a.jpg", "/nowhere/b.jpg", "", None, "s3", "data:,x")) for _ in photos]),
    }
    captions: dict[str, Any] = {
        "texts": lambda: pa.array(texts, pa.string()),
        "lists": lambda: pa.array([[text] for text in texts], pa.list_(pa.string())),
        "numbers": lambda: pa.array(range(count), pa.int32()),
        "null": lambda: pa.nulls(count),
        "times": lambda: pa.array([0] * count, pa.timestamp("ns")),
        "bytes": lambda: pa.array([b"\xff\xfe"] * count, pa.binary()),
        "struct": lambda: pa.array([{"text": "a"}] * count, pa.struct([("text", pa.string())])),
    }
    usual = dice.random() < 0.5
    columns = {"image": images["binary" if usual else dice.choice(sorted(images))]()}
    columns["caption"] = captions["texts" if usual else dice.choice(sorted(captions))]()
    if dice.random() < 0.3:
        columns[dice.choice(("url", "text", "width", "odd"))] = captions[dice.choice(sorted(captions))]()
    return columns


# --- COCO ------------------------------------------------------------------------------------


def write_coco(folder: Path, dice: random.Random) -> None:
    """Three photos, inst.json with boxes and masks, and caps.json; one or both of the jsons are mutated."""
    (folder / "photos").mkdir()
    images = []
    for number in range(3):
        ending, data = seeds()[dice.randrange(4)]
        size = Image.open(io.BytesIO(data)).size
        (folder / f"photos/{number}.{ending}").write_bytes(data + bytes([number]))
        images.append({"id": number + 1, "file_name": f"{number}.{ending}", "width": size[0], "height": size[1]})
    document = {"info": {}, "images": images, "annotations": [_annotation(n, dice) for n in range(6)]}
    document |= {
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "licenses": [{"id": 1, "name": "MIT"}],
    }
    captions = {"images": images, "annotations": [{"image_id": n, "id": n, "caption": f"photo {n}"} for n in (1, 2, 3)]}
    which = dice.choice(("instances", "instances", "captions", "both"))
    for name, content in (("instances", document), ("captions", captions)):
        changed = changed_document(content, dice) if which in (name, "both") else content
        data = json_bytes(changed, dice) if which in (name, "both") else json.dumps(content).encode()
        (folder / {"instances": "inst.json", "captions": "caps.json"}[name]).write_bytes(data)


def _annotation(number: int, dice: random.Random) -> dict[str, Any]:
    x, y = dice.randint(0, 20), dice.randint(0, 15)
    outline = [x, y, x + 15, y, x + 15, y + 10, x, y + 10]
    segmentation = dice.choice(
        ([], [outline], [outline, outline[::-1]], {"size": [40, 48], "counts": [100, 20, 1800]}, dice.choice(ODD))
    )
    made = {"id": number, "image_id": number % 3 + 1, "category_id": number % 2 + 1, "bbox": [x, y, 15, 10]}
    return made | {"iscrowd": dice.choice((0, 0, 1, "0", None)), "area": 150, "segmentation": segmentation}
