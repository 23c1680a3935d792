"""Recognises what a file is that could not be opened as an image, for the error message.

It looks only at the first bytes, at fixed positions, so hostile files cannot make it slow.
"""

from __future__ import annotations

import re
from typing import Literal

_IMAGES = (  # offset, bytes, name
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "PSD (Photoshop)"),
    (0, b"gimp xcf", "XCF (GIMP)"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"FLIF", "FLIF"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"icns", "ICNS"),
    (0, b"AT&TFORM", "DjVu"),
    (128, b"DICM", "DICOM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (0, b"FUJIFILMCCD-RAW", "RAF (a camera's raw file)"),
    (0, b"IIRO", "ORF (a camera's raw file)"),
    (0, b"IIRS", "ORF (a camera's raw file)"),
    (0, b"MMOR", "ORF (a camera's raw file)"),
    (0, b"IIU\x00", "RW2 (a camera's raw file)"),
    (0, b"FOVb", "X3F (a camera's raw file)"),
    (0, b"\x00MRM", "MRW (a camera's raw file)"),
    (6, b"HEAPCCDR", "CRW (a camera's raw file)"),
)
_OTHERS = (  # offset, bytes, what it is, what to do
    (0, b"%PDF-", "a PDF", "make images of its pages"),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (0, b"PK\x05\x06", "an empty ZIP archive", "leave it out"),
    (0, b"\x1f\x8b", "compressed by gzip", "unpack it"),
    (0, b"BZh", "compressed by bzip2", "unpack it"),
    (0, b"\xfd7zXZ\x00", "compressed by xz", "unpack it"),
    (0, b"(\xb5/\xfd", "compressed by zstd", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive", "unpack it"),
    (257, b"ustar", "a tar", "name it as a source, webdataset:"),
    (0, b"PAR1", "a Parquet file", "name it as a source, parquet:"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)", "extract its frames"),
    (8, b"AVI LIST", "a video (AVI)", "extract its frames"),
    (8, b"WAVE", "a sound (WAV)", "leave it out"),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)", "extract its frames"),
    (0, b"\x00\x00\x01\xb3", "a video (MPEG)", "extract its frames"),
    (0, b"FLV\x01", "a video (FLV)", "extract its frames"),
    (0, b"OggS", "a sound or video (Ogg)", "leave it out"),
    (0, b"ID3", "a sound (MP3)", "leave it out"),
    (0, b"\x93NUMPY", "a NumPy array", "save it as PNG"),
    (0, b"\x89HDF\r\n", "an HDF5 file", "export its images"),
)
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"heif", b"mif1", b"mif2", b"msf1")
_AVIF = (b"avif", b"avis")
_VIDEO = "a video (MP4 or MOV)"
_POINTERS = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer, not the image itself: run git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, not the image itself: run git annex get"),
)
_HTML = re.compile(rb"<!doctype html|<html|<head\b|<body\b|<script\b", re.IGNORECASE)


def recognise(data: bytes, readable: str) -> tuple[str, str]:
    """(reason, sentence) for a file of a known kind, else ('', '').

    `readable`: the formats to which the sentence advises to convert it.
    """
    for start, sentence in _POINTERS:
        if data.startswith(start):
            return "git_lfs_pointer", sentence
    name = _image(data)
    if name == _VIDEO:
        return "unsupported", f"it is {name}, no image: extract its frames"
    if name:
        return "unsupported", f"{name} is not read; convert it to one of {readable}"
    for offset, magic, what, advice in _OTHERS:
        if data.startswith(magic, offset):
            return "unsupported", f"it is {what}, no image: {advice}"
    if not data.strip(b"\0"):
        return "not_an_image", "it contains only zeros: a copy or a download of it was cut off"
    return _text(data, readable)


def _image(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return _of_boxes(data)
    if data.startswith((b"\x00\x00\x01\x00", b"\x00\x00\x02\x00")) and _has_icons(data):
        return "CUR (a cursor)" if data[2] == 2 else "ICO (icons)"
    if data.startswith((b"II*\0", b"MM\0*")):
        return _raw(data)
    found = next((name for offset, magic, name in _IMAGES if data.startswith(magic, offset)), "")
    return found or ("TGA" if _is_tga(data) else "")


def _of_boxes(data: bytes) -> str:
    """The format of an ISO media file, such as HEIC. Returns '' for AVIF, JPEG 2000 and JPEG XL."""
    size = min(int.from_bytes(data[:4], "big"), 512)
    brands = [data[at : at + 4] for at in (8, *range(16, size, 4))]
    if any(brand in _AVIF for brand in brands):
        return ""
    if any(brand in _HEIF for brand in brands):
        return "HEIC"
    if brands[0] == b"crx ":
        return "CR3 (a camera's raw file)"
    return _VIDEO if brands[0] not in (b"jp2 ", b"jpx ", b"jpm ", b"jxl ") else ""


_MAKERS = {b"NIKON": "NEF", b"SONY": "ARW", b"PENTAX": "PEF", b"Canon": "CR2", b"SAMSUNG": "SRW", b"Hasselblad": "3FR"}


def _raw(data: bytes) -> str:
    """The format of a camera's raw file; '' for any other TIFF.

    A raw file is a TIFF that has the tag of a DNG version, or a camera's maker and subdirectories.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    at = int.from_bytes(data[4:8], order)
    count = min(int.from_bytes(data[at : at + 2], order), 200)
    entries = (data[at + 2 + 12 * number : at + 14 + 12 * number] for number in range(count))
    tags = {int.from_bytes(entry[:2], order): int.from_bytes(entry[8:12], order) for entry in entries}
    make = data[tags.get(271, len(data)) :][:10]
    if data[8:10] == b"CR":
        return "CR2 (a camera's raw file)"
    if 50706 in tags:
        return "DNG (a camera's raw file)"
    kind = next((kind for maker, kind in _MAKERS.items() if make.startswith(maker)), "this")
    return f"{kind} (a camera's raw file)" if make and 330 in tags else ""


def _has_icons(data: bytes) -> bool:
    """Whether the file holds icons or a cursor, not an uncompressed TGA, which may start with the same bytes.

    Icons have their number and the offset of the first one at fixed places, where such a TGA has zeros.
    """
    count, at = int.from_bytes(data[4:6], "little"), int.from_bytes(data[18:22], "little")
    return 0 < count < 256 and 6 + 16 * count <= at <= len(data)


def _is_tga(data: bytes) -> bool:
    if data[-18:-2] == b"TRUEVISION-XFILE":
        return True
    if len(data) < 19 or data[1] > 1 or data[2] not in (1, 2, 3, 9, 10, 11):
        return False
    width, height = int.from_bytes(data[12:14], "little"), int.from_bytes(data[14:16], "little")
    colours = (data[2] in (1, 9)) == (data[1] == 1) and (data[1] == 1 or not any(data[3:8]))
    return colours and width > 0 < height and data[16] in (8, 15, 16, 24, 32) and data[17] & 0xC0 == 0


def _text(data: bytes, readable: str) -> tuple[str, str]:
    start = data[:2048].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<") and b"<svg" in start.lower():
        return "unsupported", f"SVG (a drawing) is not read; convert it to one of {readable}"
    if _HTML.match(start) or (start.startswith(b"<!--") and _HTML.search(start)):
        return "web_page", "it is a web page, which hosts send instead of an image they do not have"
    if start.startswith(b"<?xml") or re.match(rb"<[A-Za-z][\w:]*[\s>/]", start):
        return "web_page", "it is XML, which hosts and stores send instead of a file they do not have"
    if re.match(rb'[\[{]\s*["{\[\]}\d]', start) and b"\0" not in start:
        return "web_page", "it is JSON, which hosts send instead of an image they do not have"
    return "", ""
