"""Valid recipes and their mutations: values, keys, misspelt names, text. No path in them leaves the folder."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fuzz_inputs import seeds
from benchmarks.mutations import ODD, changed_document, damaged

SEEDS: tuple[dict[str, Any], ...] = (
    {
        "dataset": "ds",
        "ingest": {
            "sources": [{"folder": "photos", "exclude": ["*.txt"]}],
            "shard_size": 2,
            "audit": {"fraction": 0.1},
        },
        "annotate": {
            "a": {"use": "fake_detector", "objects": 2},
            "b": {"use": "fake_detector", "seed": 1, "labels": ["cat", "dog"]},
            "objects": {"use": "consensus"},
            "quality": {"use": "image_quality"},
            "captions": {"use": "composer"},
        },
        "filter": [
            {"min_side": {"pixels": 8}},
            "near_duplicate",
            "box_sanity",
            {"min_score": {"floor": 0.3, "by_producer": {"a": 0.4}}},
            "nms",
            {"text_repetition": {"top_2gram": {"brief": 0.3}}},
        ],
        "emit": {"name": "v1", "pairs": {"tasks": ["<OD>"], "order": "area"}},
        "run": {"max_failures": 10, "max_workers": 1},
    },
    {
        "dataset": "ds",
        "ingest": {"sources": ["photos", {"uris": "list.txt"}], "pack": True, "max_bytes": 100000},
        "annotate": {"said": {"use": "source_texts"}, "texts": {"use": "fake_captioner"}},
        "filter": [{"text_repetition": {}}, {"min_side": {"pixels": 8}}],
        "emit": {"name": "", "licence": "MIT"},
    },
)


def write_recipe(folder: Path, dice: random.Random) -> list[str]:
    """Writes photos, a list and recipe.yaml. Returns further arguments for the command."""
    (folder / "photos").mkdir()
    for number in range(3):
        ending, data = seeds()[number]
        (folder / f"photos/{number}.{ending}").write_bytes(data)
    (folder / "list.txt").write_text("photos/0.jpg\nphotos/nowhere.jpg\n")
    seed = dice.choice(SEEDS)
    how = dice.choice(("values", "values", "leaves", "leaves", "leaves", "names", "text", "bytes", "set"))
    document = changed_document(seed, dice) if how == "values" else seed
    if how == "leaves":
        document = _leaf_changed(seed, dice)
    text = yaml.safe_dump(document, allow_unicode=dice.random() < 0.2, sort_keys=False)
    if how == "names":
        text = _misspelt(text, dice)
    elif how == "text":
        text = _lines_changed(text, dice)
    data = text.encode("utf-8", "surrogatepass")
    (folder / "recipe.yaml").write_bytes(damaged(data, dice) if how == "bytes" else data)
    return ["--set", _setting(seed, dice)] if how == "set" else []


def _leaf_changed(seed: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Changes one number, word or list, as a user may by mistake."""
    document = deepcopy(seed)
    inside: Any = document
    while True:
        key = dice.choice(list(inside) if isinstance(inside, dict) else list(range(len(inside))))
        if not isinstance(inside[key], dict | list) or not inside[key]:
            break
        inside = inside[key]
    numbers = (0, -1, 1, 2, 0.5, 1e9, 10**18, float("nan"), float("inf"), True, "1", "0.5", [1, 2], None, "", 1e-9)
    inside[key] = dice.choice(numbers if isinstance(inside[key], int | float) else (*numbers, "box_sanity", "photos"))
    return document


def _misspelt(text: str, dice: random.Random) -> str:
    """Drops, doubles or changes a letter of a word, also in paths and URLs."""
    for _ in range(dice.randint(1, 2)):
        at = dice.choice([place for place, letter in enumerate(text) if letter.isalpha()])
        text = text[:at] + dice.choice(("", text[at] * 2, "x", text[at].upper())) + text[at + 1 :]
    return text


def _lines_changed(text: str, dice: random.Random) -> str:
    lines = text.splitlines()
    at = dice.randrange(len(lines))
    how = dice.choice(("twice", "gone", "moved", "tab", "anchor", "tag", "merge", "documents"))
    if how == "twice":
        lines.insert(dice.randrange(len(lines)), lines[at])
    elif how == "gone":
        del lines[at]
    elif how == "moved":
        lines[at] = " " * dice.randint(1, 5) + lines[at]
    else:
        odd = {"tab": "\tx: 1", "anchor": "x: *nowhere", "tag": "x: !!python/name:os.system", "merge": "<<: [1]"}
        lines.insert(at, odd.get(how, "---"))
    return "\n".join(lines)


def _setting(seed: dict[str, Any], dice: random.Random) -> str:
    """--set with a path that is right, shorter, longer or misspelt, and an odd value."""
    path: list[str] = []
    inside: Any = seed
    while isinstance(inside, dict | list) and inside and (not path or dice.random() < 0.7):
        key = dice.choice(list(inside) if isinstance(inside, dict) else list(range(len(inside))))
        path.append(str(key))
        inside = inside[key]
    name = ".".join(path)
    name = dice.choice((name, name, name + ".x", name[:-1], name + ".", "." + name, name.replace(".", "..")))
    try:
        value = json.dumps(dice.choice(ODD))
    except ValueError:
        value = "null"
    return dice.choice((f"{name}={value}", f"{name}={value}", name, f"{name}=[", f"{name}={{a: b"))
