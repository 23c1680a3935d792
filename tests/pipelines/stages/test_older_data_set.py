"""A data set of an older engine can be opened, measured and checked, and a dry run lists what is redone and why.

golden/data-set-of-schema-2.tar.xz was made at commit da0fdce, before records were sealed and pages had checksums, by
`engine run -c recipe.yaml --runner local` of the recipe inside: eight drawn scenes in two shards, and a release.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.pipelines.stages.kept_data_set import output_of, unpacked

TRUNK = ("images", "inputs", "labels", "placed", "probe", "splits", "truth", "decodes", "noisy", "releases/v1")


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return unpacked("schema-2", tmp_path)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_command_reads_it_and_writes_nothing_but_the_proof_of_its_release(older: Path) -> None:
    before = contents(older)
    place = ("-d", "set")
    status = output_of("status", *place)
    assert "inputs  8 = 8 kept + 0 filtered + 0 quarantined + 0 pending + 0 duplicates  (adds up)" in status
    assert re.search(r"regions  28 = 13 kept \+ 14 merged \+ 1 min_score  \(adds up\)", status)
    assert "DOES NOT" not in status
    uri = output_of("query", "SELECT uri FROM images ORDER BY uri LIMIT 1", *place, "--format", "csv").split()[1]
    assert re.match(r"image \w{32}: kept\n", output_of("why", uri, *place))
    assert output_of("query", "SELECT count(*) FROM kept.regions", *place, "--format", "csv").split()[1] == "13"
    output_of("eval", *place, "--format", "json")
    output_of("check", *place)
    output_of("verify", "set/releases/v1")
    after = contents(older)
    assert after.pop("releases/v1.verified.json")
    assert after == before


def test_a_dry_run_lists_what_is_redone_and_why(older: Path) -> None:
    before = contents(older)
    lines = output_of("run", "-c", "recipe.yaml", "--dry-run").splitlines()
    rows = {line.split()[0]: line for line in lines}
    for node in ("probe", "decodes", "noisy"):
        assert rows[node].endswith("up to date")
    assert re.search(r" 2 +2  version 1 of consensus is now \d+ \(was 512b9b63\)", rows["objects"])
    for node in ("captions", "parse-captions", "phrases", "judge"):
        assert re.search(r" 2 +2  ", rows[node])
        assert "reads " in rows[node]
    assert "the name is taken" in rows["emit"]
    assert contents(older) == before


def test_a_run_redoes_only_that(older: Path) -> None:
    before = contents(older)
    output_of("run", "-c", "recipe.yaml", "--runner", "inline", "--set", "emit.name=v2")
    after = contents(older)
    for name, digest in before.items():
        if name not in ("current.json", "dataset.json"):  # its header now has today's schema version
            assert after[name] == digest, name
    new = {name for name in set(after) - set(before) if not name.startswith("runs/")}
    assert not [name for name in new if name.startswith(TRUNK)]
    assert any(name.startswith("objects/") for name in new)
    status = output_of("status", "-d", "set")
    assert status.count("(adds up)") == 4
    output_of("verify", "set/releases/v2")
    output_of("check", "-d", "set")
