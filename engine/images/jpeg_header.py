"""Reads the header of an ordinary JPEG, several times faster than Pillow.

It must agree with Pillow. So it gives up on anything unusual, for example EXIF, several frames or a damaged segment;
the caller then asks Pillow. What Pillow checks in each segment is in the functions of PIL/JpegImagePlugin.py.
"""

from __future__ import annotations

_FRAMES = frozenset((0xC0, 0xC1, 0xC2))  # baseline, extended and progressive frames; Pillow opens some rare kinds too
_QUANTIZATION, _SCAN = 0xDB, 0xDA
# Segments whose content Pillow does not read: Huffman tables, the restart interval, a comment, and most APPn.
_SKIPPED = frozenset((0xC4, 0xDD, 0xFE, *range(0xE3, 0xED), 0xEF))
_JFIF, _PROFILE, _ADOBE = 0xE0, 0xE2, 0xEE
_LEAST = {_JFIF: 7, _PROFILE: 14, _ADOBE: 7}  # bytes without which Pillow may refuse the segment
_TABLE = 65  # bytes of a quantization table of 8-bit values


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as stored, of a JPEG that needs no turning and holds one picture. None: ask Pillow."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    at, most = 2, len(data) - 4
    size = None
    while at <= most and data[at] == 0xFF:
        marker, start = data[at + 1], at + 4
        length = (data[at + 2] << 8 | data[at + 3]) - 2
        at = start + length
        if length < 0 or at > len(data):
            return None
        if marker in _SKIPPED:
            continue
        if marker == _QUANTIZATION:
            if length % _TABLE or any(data[table] > 15 for table in range(start, at, _TABLE)):
                return None
        elif marker in _FRAMES:
            if size or length < 6 or data[start] != 8 or data[start + 5] not in (1, 3, 4):
                return None
            if length != 6 + 3 * data[start + 5]:
                return None
            size = data[start + 3] << 8 | data[start + 4], data[start + 1] << 8 | data[start + 2]
        elif marker == _SCAN:
            return size if size and min(size) > 0 else None
        elif length < _LEAST.get(marker, length + 1) or data.startswith(b"MPF\0", start):
            return None
    return None
