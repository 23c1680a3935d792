"""Reads text files in UTF-8, UTF-16 or UTF-32, with or without a byte order mark. Lines end with CRLF or LF."""

from __future__ import annotations

import codecs

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(start: bytes) -> str:
    """Python's name for the encoding of a file, from its first 64 bytes.

    Without a byte order mark it is UTF-16 if every second byte is zero, as in Western text. Otherwise it is UTF-8.
    """
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding
    start = start[: 64 if len(start) >= 64 else len(start) // 2 * 2]
    if len(start) >= 4:
        if not any(start[1::2]) and all(start[::2]):
            return "utf-16-le"
        if not any(start[::2]) and all(start[1::2]):
            return "utf-16-be"
    return "utf-8"


def decode_text(data: bytes) -> str:
    """The text in a file's bytes, without the byte order mark. Raises UnicodeDecodeError if they are not valid."""
    return data.decode(encoding_of(data[:64]))


def text_lines(data: bytes) -> list[str]:
    """The lines of a file, stripped, without empty ones. Raises UnicodeDecodeError if its bytes are not valid."""
    return [line for line in (line.strip() for line in decode_text(data).split("\n")) if line]
