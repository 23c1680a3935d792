"""How labels are compared. Each of three functions ignores more differences than the one before.

Consensus and the bounds by label ignore case only; changing that would change existing data sets. Measuring and merging
also ignore accents. The grounder, which looks for labels in sentences, also reads '_' and '-' as spaces.
"""

from __future__ import annotations

import re
import unicodedata

_ACCENTED = re.compile(r"([a-zA-Z\u0370-\u03ff])[\u0300-\u036f]+")
# Unicode does not decompose these letters. People whose keyboard lacks them type the plain letters instead.
_PLAIN = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "æ": "ae", "Æ": "AE"})
_PLAIN |= str.maketrans({"œ": "oe", "Œ": "OE", "ß": "ss"})


def without_case(label: str) -> str:
    """The label in lower case, with single spaces: "Traffic  Light" becomes "traffic light"."""
    return " ".join(label.casefold().split())


def plain_label(label: str) -> str:
    """The label in lower case, with single spaces and without accents: "Café" becomes "cafe"."""
    return without_case(without_accents(label))


def plain_words(words: str) -> str:
    """The result of `plain_label`, with '_' and '-' as spaces: "traffic_light" becomes "traffic light"."""
    return plain_label(words.replace("_", " ").replace("-", " "))


def without_accents(text: str) -> str:
    """Remove accents from Latin and Greek letters, however they are encoded: "CAFÉ" becomes "CAFE".

    Marks in other scripts stay, because they make another letter (Cyrillic й, Japanese が, vowels of Hindi).
    """
    if text.isascii():
        return text
    plain = _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain).translate(_PLAIN)
