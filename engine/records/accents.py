"""Letters without their accents, for comparing words: "CAFÉ" is read as "cafe" by people and by readers of print.

Latin and Greek alone: in other scripts a mark makes another letter (Cyrillic й, Japanese が, vowels of Hindi).
"""

from __future__ import annotations

import re
import unicodedata

_ACCENTED = re.compile(r"([a-zA-Z\u0370-\u03ff])[\u0300-\u036f]+")
# No accent, as Unicode sees it, but written so where a keyboard lacks the letter.
_PLAIN = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "æ": "ae", "Æ": "AE"})
_PLAIN |= str.maketrans({"œ": "oe", "Œ": "OE", "ß": "ss"})


def without_accents(text: str) -> str:
    """Composed and decomposed forms give the same."""
    if text.isascii():
        return text
    plain = _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain).translate(_PLAIN)
