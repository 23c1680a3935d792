"""Faults that `engine verify` finds in training pairs: each test forges one thing in a correct release."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.records import masks
from model.florence2_tasks import TASKS
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import PAIRS, Compiled, Pair
from pipelines.emit import write_shard
from pipelines.emit.verifiers.check import Check
from pipelines.emit.verify import verify
from tests.builders import phrase, region, region_text, text
from tests.pipelines.emit.small_release import Item, annotated, drawn, full, write
from tests.pipelines.emit.test_verify import faults, restate

FILES = "files are those of the manifest"
PAIRS_CHECK = "every pair asks what its task asks, and parses back to its annotations"
TARS_CHECK = "webdataset reads every sample and decodes its image"
pytestmark = pytest.mark.usefixtures("without_datasets")
LOCATION = re.compile(r"<loc_(\d+)>")


def mask(*boxes: tuple[int, int, int, int]) -> str:
    filled = np.zeros((40, 60), np.uint8)
    for x1, y1, x2, y2 in boxes:
        filled[y1:y2, x1:x2] = 1
    return masks.encode(filled)


def everything() -> Item:
    """An image of 60 x 40 with annotations for every task: a cat, a dog and a word, with texts, masks and phrases."""
    return annotated(
        drawn(),
        texts=[
            text("A cat barks.", kind, id=f"m/{n}") for n, kind in enumerate(("brief", "detailed", "more_detailed"))
        ],
        regions=[
            region((6, 4, 30, 36), id="m/10", rle=mask((6, 4, 30, 36), (2, 4, 4, 20))),
            region((32, 8, 56, 30), label="dog", id="m/11", rle=mask((32, 8, 56, 30))),
            region((2, 2, 20, 8), kind="text", label="", id="m/12"),
        ],
        region_texts=[region_text("m/10", "a red cat", id="m/20"), region_text("m/12", "OPEN", granularity="ocr")],
        phrases=[phrase("m/0", 0, 5, ["m/10"], id="m/30"), phrase("m/0", 6, 11, ["m/11"], id="m/31")],
    )


def found(checks: list[Check]) -> list[str]:
    """The faults of the pairs; only DuckDB, which counts pairs too, may have others."""
    failed = faults(checks)
    assert set(failed) <= {PAIRS_CHECK, "DuckDB counts what the manifest states"}
    return failed.get(PAIRS_CHECK, [])


def released(folder: Path, monkeypatch: pytest.MonkeyPatch, task: str, forge: Callable[[Pair], Pair]) -> list[str]:
    """The faults of a release whose first pair of a task is forged, in the table, the json and the manifest."""
    _forge_while_compiling(monkeypatch, task, forge)
    return found(verify(str(write(folder, [everything()]))))


def _forge_while_compiling(monkeypatch: pytest.MonkeyPatch, task: str, forge: Callable[[Pair], Pair]) -> None:
    def compiled(*arguments: Any, **options: Any) -> Compiled:
        made = compile_pairs(*arguments, **options)
        at = next(number for number, pair in enumerate(made.pairs) if pair.task == task)
        made.pairs[at] = forge(made.pairs[at])
        return made

    monkeypatch.setattr(write_shard, "compile_pairs", compiled)


def moved(words: str) -> str:
    """The text with another first location, or without locations another first letter."""
    if LOCATION.search(words):
        return LOCATION.sub(lambda match: f"<loc_{int(match[1]) - 1}>", words, count=1)
    return f"Q{words[1:]}"


def of_another(pair: Pair) -> Pair:
    """The pair with a prompt about something else: another name, region or sentence."""
    return replace(pair, prompt=moved(pair.prompt) if "<loc" in pair.prompt else pair.prompt.replace(" ", " Q", 2))


FORGERIES: dict[str, Callable[[Pair], Pair]] = {
    "a target with another answer": lambda pair: replace(pair, target=moved(pair.target)),
    "a target that does not parse": lambda pair: replace(pair, target=f"{pair.target}<loc_1><sep><and>"),
    "a prompt that asks something else": of_another,
    "a prompt of no task": lambda pair: replace(pair, prompt=f"Please: {pair.prompt}"),
    "an annotation that does not exist": lambda pair: replace(pair, annotation_ids=[*pair.annotation_ids, "gone/1"]),
    "a missing annotation": lambda pair: replace(pair, annotation_ids=pair.annotation_ids[:-1]),
    "tokens miscounted": lambda pair: replace(pair, tokens=pair.tokens + 1),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_pair_is_reported_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, forgery: str
) -> None:
    sentences = released(tmp_path / "v1", monkeypatch, task, FORGERIES[forgery])
    assert len(sentences) == 2, sentences
    assert f": {task} " in sentences[0]
    assert re.fullmatch(rf"\d pairs of {task} hold, the manifest has \d", sentences[1])


def test_an_annotation_id_that_does_not_fit_the_target_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_the_dog(pair: Pair) -> Pair:
        return replace(pair, annotation_ids=["m/11"])

    sentences = released(tmp_path / "v1", monkeypatch, "<REGION_TO_CATEGORY>", of_the_dog)
    assert sentences[0].endswith("<REGION_TO_CATEGORY> answers 'cat', its annotations do not")


def test_an_unknown_task_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = released(tmp_path / "v1", monkeypatch, "<OD>", lambda pair: replace(pair, task="<ODD>"))
    assert sentences[0].endswith(": <ODD> is not a task of Florence-2")


# --- the files -----------------------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> list[str]:
    """The faults of a release in which only the table of pairs is changed."""
    path = folder / "pairs-train-00000.parquet"
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=PAIRS), path)

    def same_rows(manifest: dict[str, Any]) -> None:
        (own,) = (file for file in manifest["files"] if file["name"] == path.name)
        own["rows"] = len(rows)

    restate(folder, same_rows)
    return found(verify(str(folder)))


@pytest.mark.parametrize(
    ("column", "value"),
    [("uri", "train-00001.tar"), ("offset", 0), ("length", -1), ("width", 59), ("height", 41), ("split", "audit-fit")],
)
def test_a_pair_whose_image_lies_elsewhere_is_reported(tmp_path: Path, column: str, value: Any) -> None:
    sentences = rewrite(write(tmp_path / "v1", [everything()]), lambda rows: rows[0].update({column: value}))
    assert sentences[0].endswith(f"<CAPTION> has another {column} than its record")


@pytest.mark.parametrize("change", [lambda rows: rows.pop(), lambda rows: rows.reverse()])
def test_other_pairs_in_the_json_than_in_the_table_are_reported(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], object]
) -> None:
    sentences = rewrite(write(tmp_path / "v1", [everything()]), change)
    assert sentences[0].endswith("has other pairs in its json than in pairs-train-00000.parquet")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("forgery", [name for name in FORGERIES if name != "tokens miscounted"])
def test_a_forged_pair_is_reported_in_a_release_without_tables_of_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, forgery: str
) -> None:
    _forge_while_compiling(monkeypatch, task, FORGERIES[forgery])
    folder = write(tmp_path / "v1", [everything()], recipe={"emit": {"formats": ["webdataset"]}})
    assert not list(folder.glob("pairs-*"))
    sentences = faults(verify(str(folder)))[TARS_CHECK]
    assert len(sentences) == 2, sentences
    assert f" {task} " in sentences[0]
    assert re.fullmatch(rf"\d pairs of {task} hold, the manifest has \d", sentences[1])


@pytest.mark.parametrize("options", [PairOptions(), PairOptions(max_tokens=14)], ids=["whole", "truncated"])
def test_a_release_without_tables_of_pairs_has_no_fault(tmp_path: Path, options: PairOptions) -> None:
    recipe = {"emit": {"formats": ["webdataset"]}}
    folder = write(tmp_path / "v1", [everything()], recipe=recipe, options=options)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["pairs"]["truncated"] > 0) == (options.max_tokens == 14)
    assert faults(verify(str(folder))) == {}


def test_a_pair_of_an_image_in_no_shard_is_reported(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [everything()])
    stranger = pq.read_table(folder / "pairs-train-00000.parquet").to_pylist()[0] | {"image_id": "0" * 32}
    sentences = rewrite(folder, lambda rows: rows.append(stranger))
    assert sentences == [f"pairs-train-00000.parquet has pairs of {'0' * 32}, which is not in train-00000"]


def test_a_missing_file_of_pairs_is_reported(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [everything()])
    (folder / "pairs-train-00000.parquet").unlink()
    sentences = faults(verify(str(folder)))
    assert sentences[FILES] == ["pairs-train-00000.parquet is missing"]
    assert sentences[PAIRS_CHECK][0].startswith("train-00000: FileNotFoundError")


def test_a_missing_file_of_pairs_that_the_manifest_does_not_list_is_reported(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [everything()])
    (folder / "pairs-train-00000.parquet").unlink()
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = [file for file in manifest["files"] if not file["name"].startswith("pairs")]
    path.write_text(json.dumps(manifest))
    sentences = found(verify(str(folder)))
    assert sentences[0].endswith("has other pairs in its json than in pairs-train-00000.parquet")
    assert "0 pairs of <OD> hold, the manifest has 1" in sentences


def test_other_columns_are_reported(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [everything()])
    path = folder / "pairs-train-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["tokens"]), path)
    restate(folder)
    assert found(verify(str(folder)))[0].endswith("its columns are not those of pairs")


def test_a_stray_file_of_pairs_is_reported(tmp_path: Path) -> None:
    folder = write(tmp_path / "v1", [full(drawn())])
    (folder / "pairs-train-00007.parquet").write_bytes(b"")
    assert faults(verify(str(folder))) == {FILES: ["pairs-train-00007.parquet is not in the manifest"]}


@pytest.mark.parametrize(("part", "words"), [("proven", "hold"), ("truncated", "are truncated")])
def test_wrong_counts_in_the_manifest_are_reported(tmp_path: Path, part: str, words: str) -> None:
    def more(manifest: dict[str, Any]) -> None:
        manifest["pairs"][part] = 7 if part == "truncated" else manifest["pairs"][part] | {"<OD>": 7}

    folder = write(tmp_path / "v1", [everything()])
    restate(folder, more)
    assert [words in fault for fault in found(verify(str(folder)))] == [True]


# --- pairs made by the engine have no faults ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        PairOptions(),
        PairOptions(order="reading"),
        PairOptions(masks=True),
        PairOptions(max_tokens=12),
        PairOptions(max_points=4),
    ],
    ids=["area", "reading", "masks", "truncated", "coarse"],
)
def test_compiled_pairs_have_no_faults(tmp_path: Path, options: PairOptions) -> None:
    recipe = {"emit": {"pairs": {"max_points": options.max_points}}}
    folder = write(tmp_path / "v1", [everything()], recipe=recipe, options=options)
    assert found(verify(str(folder))) == []
    totals = json.loads((folder / "manifest.json").read_text())["pairs"]
    if options.max_tokens > 12:
        assert (set(totals["proven"]), totals["truncated"]) == (set(TASKS), 0)
    else:
        assert totals["truncated"] > 0
