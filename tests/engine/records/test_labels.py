"""Labels are compared in three degrees; only Latin and Greek letters lose their accents."""

from __future__ import annotations

import unicodedata

import pytest

from engine.records.labels import plain_label, plain_words, without_accents, without_case


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Café", "Cafe"),
        ("Ångström", "Angstrom"),
        ("Łódź", "Lodz"),
        ("smørrebrød", "smorrebrod"),
        ("œuf", "oeuf"),
        ("Straße", "Strasse"),
        ("Αθήνα", "Αθηνα"),
        ("Việt Nam", "Viet Nam"),
        ("exit 24", "exit 24"),
        ("Троицкий", "Троицкий"),
        ("がく", "がく"),
        ("हिन्दी", "हिन्दी"),
        ("한글", "한글"),
    ],
)
def test_only_latin_and_greek_letters_lose_their_accents(text: str, plain: str) -> None:
    assert without_accents(text) == plain
    assert without_accents(unicodedata.normalize("NFD", text)) == plain


def test_each_function_folds_more_than_the_one_before() -> None:
    label = " Déjà_vu  Traffic-Light"
    assert without_case(label) == "déjà_vu traffic-light"
    assert plain_label(label) == "deja_vu traffic-light"
    assert plain_words(label) == "deja vu traffic light"
