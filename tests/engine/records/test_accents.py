"""without_accents: Latin and Greek letters lose their marks, other scripts keep theirs."""

from __future__ import annotations

import unicodedata

import pytest

from engine.records.accents import without_accents


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
def test_only_latin_and_greek_letters_lose_their_marks(text: str, plain: str) -> None:
    assert without_accents(text) == plain
    assert without_accents(unicodedata.normalize("NFD", text)) == plain
