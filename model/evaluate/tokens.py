"""Splits captions into words like the COCO toolkit: lower case, split contractions, no punctuation.

The toolkit uses a Penn Treebank tokenizer that needs Java. This module behaves alike as far as captions need. It
differs for brackets (the toolkit keeps them by mistake after lower-casing), web addresses and rare abbreviations.
"""

from __future__ import annotations

import re

_ABBREVIATIONS = "ave bldg blvd capt co col corp dr etc ft gen gov inc jr lt ltd mr mrs ms mt prof rev sen sgt sr st vs"
_WORD = re.compile(
    r"(?:[^\W\d_]\.){2,}[^\W\d_]?(?!\w)"  # u.s., d.c
    rf"|(?:{'|'.join(_ABBREVIATIONS.split())})\.(?!\w)"
    r"|[b-hj-z]\.(?=\s+\S)"  # an initial; at the end of the text the dot ends the sentence instead
    r"|n't\b"
    r"|'(?:s|d|m|re|ve|ll)\b"
    r"|\.?\d+(?:[.,:/-]\d+)*(?:-?[^\W\d_]+)*(?:-\w+)*"  # 3.5, 1,000, 10:30, 2nd, 5-pointed
    r"|[^\W_]+(?:'(?!(?:s|d|m|re|ve|ll|t)\b)[^\W_]+|[-/_.&][^\W_]+)*"  # off-white, and/or, o'clock
    r"|[&%$#*+/|<>=@]"
)
_NEGATED = re.compile(r"\b(ca|do|does|did|is|are|was|were|has|have|had|wo|would|could|should|must|might|need|ai)n't\b")
_TOGETHER = {"cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na", "gimme": "gim me"}


def tokens(text: str) -> list[str]:
    plain = text.lower().replace("\u2019", "'").replace("\u2018", "'")
    plain = _NEGATED.sub(r"\1 n't", plain)
    return [half for word in _WORD.findall(plain) for half in _TOGETHER.get(word, word).split()]
