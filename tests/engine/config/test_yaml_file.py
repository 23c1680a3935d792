"""YAML that PyYAML would misread is refused in one sentence with the line."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from engine.config.yaml_file import MAX_BYTES, parse_yaml, read_recipe_file
from engine.errors import ConfigError

TWICE = [
    ("a: 1\nb: 2\na: 3\n", "'a' twice, lines 1 and 3"),
    ("{a: 1, a: 2}", "'a' twice, both on line 1"),
    ("x:\n  y:\n    - k: 1\n      k: 2\n", "'k' twice, lines 3 and 4"),
    ("x: {1: a,\n  0x1: b}", "'0x1' twice, lines 1 and 2"),
    ("'a': 1\n\"a\": 2\n", "'a' twice, lines 1 and 2"),
]


@pytest.mark.parametrize(("text", "message"), TWICE)
def test_a_repeated_key_is_an_error_with_both_lines(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"R has {message}: keep one"):
        parse_yaml(text, "R")


def test_anchors_and_merged_keys_are_not_repeated_keys() -> None:
    text = "a: &a {k: 1, l: 1}\nb: &b {<<: *a, k: 2}\nc: {<<: [*a, *b], l: 3}\nd: {<<: *b, <<: *a}\n"
    content, lines = parse_yaml(text, "R")
    assert content["b"] == {"k": 2, "l": 1}
    assert content["c"] == {"k": 1, "l": 3}
    assert (lines["b", "k"], lines["b", "l"]) == (2, 1)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(9)
)
REFUSED = [
    ("a: &a [*a]", "line 1: this anchor contains itself"),
    ("a: &a\n  b: {c: *a}", "line 1: this anchor contains itself"),
    (LAUGHS, "more than 200,000 values"),
    ("[" * 1500, "nested more than 100 deep"),
    ("- " * 200 + "x", "line 1, is nested more than 100 deep"),
    ("? [a]\n: 1", "line 1: a list or mapping cannot be a key"),
    ("x: 1\nno: 2", "line 2: YAML reads the key no as false; quote it, 'no'"),
    ("on: 2", "line 1: YAML reads the key on as true; quote it, 'on'"),
    ("~: 2", "line 1: YAML reads the key ~ as nothing; quote it"),
    ("2024-01-01: 2", "line 1: YAML reads the key 2024-01-01 as a date; quote it"),
    ("? \n: 2", "line 1: there is no name before the colon"),
    ("a: 1\n---\nb: 2\n", "a second document begins at line 2"),
    ("a:\n\tb: 1", "line 2, column 1: .*indent with spaces"),
    ("x: 1\na: 2024-13-45", "cannot read, line 2: month must be in 1..12; quote it"),
    ("a: !!int ''", "cannot read, line 1"),
    ("a: " + "9" * 5000, "cannot read, line 1"),
    ("a: !!python/name:os.system", "is not YAML: line 1, column 4"),
    ("a: *nowhere", "is not YAML: line 1, column 4: found undefined alias 'nowhere'"),
    ("a: \0", "is not YAML: unacceptable character #x0000"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:20] for text, _ in REFUSED])
def test_a_wrong_recipe_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        parse_yaml(text, "R")
    assert "\n" not in str(raised.value)


def test_numbers_with_an_exponent_are_numbers() -> None:
    assert parse_yaml("[1e-5, 2E3, -1.5e+2]", "R")[0] == [1e-5, 2000.0, -150.0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_recipe_may_be_in_any_unicode_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(f"dataset: caf\u00e9{end}emit: {{name: v1}}{end}".encode(encoding))
    content, lines = read_recipe_file(path)
    assert content == {"dataset": "caf\u00e9", "emit": {"name": "v1"}}
    assert lines["emit", "name"] == 2


def test_a_file_that_is_no_text_or_too_long_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"dataset: caf\xe9")
    with pytest.raises(ConfigError, match=r"byte 12 is not UTF-8 or UTF-16 text; save it as UTF-8"):
        read_recipe_file(path)
    path.write_bytes(codecs.BOM_UTF8 + b"a: 1\n" * (MAX_BYTES // 5 + 1))
    with pytest.raises(ConfigError, match="more than 1,048,576 bytes"):
        read_recipe_file(path)
