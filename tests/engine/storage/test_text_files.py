import codecs

import pytest

from engine.storage.text_files import decode_text, text_lines

TEXT = "cats/chelsea.jpg\r\n\r\nÄpfel.png\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
def test_lines_are_the_same_in_every_unicode_encoding(data: bytes) -> None:
    assert text_lines(data) == ["cats/chelsea.jpg", "Äpfel.png"]


def test_bytes_that_are_no_unicode_are_refused_and_nul_bytes_stay() -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text("Äpfel".encode("latin-1"))
    assert decode_text(b"") == ""
    assert decode_text(b"ab\0cd") == "ab\0cd"
