"""A data set made before the modules were moved to other folders is up to date: no key has changed.

golden/data-set-of-a1a8a12.tar.xz was made at commit a1a8a12 by `engine run -c recipe.yaml --runner local` of the recipe
inside: ten drawn scenes in two shards, every kind of node that needs no weights, one accepted round of refinement and a
release. Its runs/ and the weights of its student were removed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.pipelines.stages.kept_data_set import output_of, unpacked

NODES = """
probe noisy detector quality objects outlines judge-regions captions parse-captions phrases survey judge emit
round-1-given round-1-propose round-1-merge round-1-judge-regions round-1-captions round-1-parse-captions
round-1-phrases"""


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return unpacked("a1a8a12", tmp_path)


def files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def test_a_dry_run_finds_every_node_up_to_date(dataset: Path) -> None:
    lines = output_of("run", "-c", "recipe.yaml", "--dry-run").splitlines()
    rows = {line.split()[0]: line for line in lines}
    for node in NODES.split():
        assert rows[node].endswith("up to date"), rows[node]
    assert lines[-1] == "Nothing to do."


def test_a_run_does_nothing(dataset: Path) -> None:
    before = files(dataset)
    output = output_of("run", "-c", "recipe.yaml", "--runner", "inline")
    assert "everything is up to date" in output
    assert "release releases/v1: 8 images, 24 regions, 4 texts, 4 phrases, 82 pairs" in output
    after = files(dataset)
    assert {name for name in after if not name.startswith("runs/")} == set(before)
    # The header's schema version rises to today's.
    assert {name for name, time in before.items() if after[name] != time} <= {"current.json", "dataset.json"}


def test_its_texts_have_no_relations_and_the_rest_of_their_parse(dataset: Path) -> None:
    sql = "SELECT sum(tokens) > 0 AS t, count(relations) AS r, count(*) > 0 AS n FROM parse"
    assert output_of("query", sql, "-d", str(dataset), "--format", "csv").split() == ["t,r,n", "True,0,True"]


def test_a_removed_student_of_an_accepted_round_is_one_sentence_that_helps(dataset: Path) -> None:
    shutil.rmtree(dataset / "models")
    (line,) = output_of("run", "-c", "recipe.yaml", "--dry-run", exit_code=1).splitlines()
    assert "models/round-1-fold-0-6d5d5dbb/training.json' is gone" in line
    assert "--set refine.rounds=0" in line
    # the advice works: nothing of the rounds is read any more
    assert "round-1" not in output_of("run", "-c", "recipe.yaml", "--dry-run", "--set", "refine.rounds=0")
