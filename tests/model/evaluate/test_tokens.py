from __future__ import annotations

import pytest

from model.evaluate.tokens import tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man, riding; a (big) wave!", "a man riding a big wave"),
        ("The dog's bowl isn't empty.", "the dog 's bowl is n't empty"),
        ("You cannot see it, can't you?", "you can not see it ca n't you"),
        ("An off-white t-shirt -- and/or a 5-pointed star", "an off-white t-shirt and/or a 5-pointed star"),
        ("At 10:30 it costs $3.50, or 1,000 yen", "at 10:30 it costs $ 3.50 or 1,000 yen"),
        ("In the U.S. on Furnace St.", "in the u.s. on furnace st."),
        ("It reads “STOP” & 'GO'...", "it reads stop & go"),
        ("The dogs\u2019 café", "the dogs café"),
        ("hors d'oeuvre at two o'clock", "hors d'oeuvre at two o'clock"),
        ("  \n ", ""),
        ("...", ""),
    ],
)
def test_words_are_those_of_the_coco_toolkit(text: str, words: str) -> None:
    """The expected words come from the toolkit's own tokenizer."""
    assert tokens(text) == words.split()
