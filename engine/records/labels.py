"""How labels are compared: one function for each of three degrees of folding.

Consensus and the bounds by label fold case alone; changing that would change existing data sets. Measuring and merging
also fold accents. The grounder, which looks for labels in sentences, also reads '_' and '-' as spaces.
"""

from __future__ import annotations

import re
import unicodedata

_ACCENTED = re.compile(r"([a-zA-Z\u0370-\u03ff])[\u0300-\u036f]+")
# Unicode does not decompose these letters. People without such a key on their keyboard type the plain ones.
_PLAIN = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "æ": "ae", "Æ": "AE"})
_PLAIN |= str.maketrans({"œ": "oe", "Œ": "OE", "ß": "ss"})


def without_case(label: str) -> str:
    """Case and white space folded: "Traffic  Light" becomes "traffic light"."""
    return " ".join(label.casefold().split())


def plain_label(label: str) -> str:
    """Case, white space and accents folded: "Café" becomes "cafe"."""
    return without_case(without_accents(label))


def plain_words(words: str) -> str:
    """As `plain_label`, with '_' and '-' as spaces: "traffic_light" becomes "traffic light"."""
    return plain_label(words.replace("_", " ").replace("-", " "))


def without_accents(text: str) -> str:
    """Latin and Greek letters without their accents, composed or decomposed: "CAFÉ" becomes "CAFE".

    In other scripts a mark makes another letter (Cyrillic й, Japanese が, vowels of Hindi), so it stays.
    """
    if text.isascii():
        return text
    plain = _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain).translate(_PLAIN)
