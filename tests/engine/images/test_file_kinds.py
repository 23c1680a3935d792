from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile

import pytest
from PIL import Image

from engine.errors import ImageError
from engine.images.decode import probe


def recognised(data: bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as error:
        probe(data)
    return error.value.reason, str(error.value)


def boxes(major: bytes, *others: bytes) -> bytes:
    """The start of an ISO media file with these brands."""
    brands = b"".join([major, b"\0\0\0\0", *others])
    return struct.pack(">I", len(brands) + 8) + b"ftyp" + brands + b"\0\0\0\x20meta" + bytes(200)


def drawn(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (20, 12), 40).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def tiff(tags: dict[int, bytes], start: bytes = b"II*\0") -> bytes:
    """A TIFF with one directory of texts, which no decoder reads as an image."""
    at = 16
    values = at + 2 + 12 * len(tags) + 4
    entries, data = b"", b""
    for tag, text in sorted(tags.items()):
        entries += struct.pack("<HHII", tag, 2, len(text), values + len(data))
        data += text
    return start + struct.pack("<I", at) + b"\0" * 8 + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + data


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", b"a")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (boxes(b"heic", b"mif1", b"heic"), "HEIC"),
        (boxes(b"mif1", b"mif1", b"heic"), "HEIC"),
        (boxes(b"mif1"), "HEIC"),
        (boxes(b"msf1", b"hevc"), "HEIC"),
        (boxes(b"heix"), "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"8BPS\0\1" + bytes(60), "PSD"),
        (b"<svg xmlns='x'></svg>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- c -->\n<SVG width='3'/>", "SVG"),
        (drawn("TGA"), "TGA"),
        (drawn("TGA", "L"), "TGA"),
        (drawn("TGA", "P"), "TGA"),
        (drawn("TGA", compression="tga_rle"), "TGA"),
        (drawn("ICO"), "ICO"),
        (b"\0\0\2\0\1\0" + bytes(8) + struct.pack("<II", 40, 22) + bytes(60), "CUR"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(60), "CR2"),
        (boxes(b"crx ", b"isom"), "CR3"),
        (tiff({271: b"NIKON CORPORATION\0", 330: b"12345"}), "NEF"),
        (tiff({50706: b"\1\4\0\0\0"}), "DNG"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(60), "RAF"),
        (b"IIU\0\x18\0\0\0" + bytes(60), "RW2"),
        (drawn("PCX"), "PCX"),
    ],
)
def test_unsupported_formats_are_named_with_advice(data: bytes, name: str) -> None:
    reason, sentence = recognised(data)
    assert reason == "unsupported"
    assert sentence.startswith(name)
    assert "is not read; convert it to one of JPEG, PNG, WEBP" in sentence


@pytest.mark.parametrize(
    ("data", "reason", "sentence"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "git_lfs_pointer", "run git lfs pull"),
        (b"/annex/objects/SHA256E-s3--ab.jpg\n", "git_lfs_pointer", "run git annex get"),
        (b"%PDF-1.7\n" + bytes(60), "unsupported", "a PDF, no image: make images of its pages"),
        (packed(), "unsupported", "a ZIP archive, no image: unpack it"),
        (tarred(), "unsupported", "a tar, no image"),
        (b"\x1f\x8b\x08" + bytes(60), "unsupported", "compressed by gzip"),
        (boxes(b"isom", b"mp41"), "unsupported", "a video (MP4 or MOV), no image: extract its frames"),
        (b"\x1aE\xdf\xa3" + bytes(60), "unsupported", "a video (Matroska"),
        (b"<!DOCTYPE html><html></html>", "web_page", "it is a web page"),
        (b"\n <html lang='en'>", "web_page", "it is a web page"),
        (b"<!-- x --><HTML>", "web_page", "it is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web_page", "it is XML"),
        (json.dumps({"message": "not found"}).encode(), "web_page", "it is JSON"),
        (bytes(4096), "not_an_image", "only zeros"),
        (b"a text about cats\n", "not_an_image", "not those of a known image format"),
        (boxes(b"avif", b"mif1"), "corrupt", "begins like AVIF"),
        (drawn("PNG")[:20], "corrupt", "begins like PNG"),
        (drawn("TIFF")[:20], "corrupt", "begins like TIFF"),
    ],
)
def test_files_that_are_no_images_are_named(data: bytes, reason: str, sentence: str) -> None:
    found, error = recognised(data)
    assert found == reason
    assert sentence in error


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
def test_supported_formats_are_not_reported(kind: str) -> None:
    assert (probe(drawn(kind)).width, probe(drawn(kind)).height) == (20, 12)
