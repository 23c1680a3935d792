"""`where`: a node that works on the images that its SQL selects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from engine.errors import ConfigError, RunFailed
from engine.reading.accounting import account
from engine.reading.dataset import Dataset
from engine.reading.sql import query
from engine.records.selection import check_sql
from engine.running.graph import Node, build
from engine.schema import Answer, Sample, Tag, Text
from pipelines.explore.status import status
from pipelines.recipe import parse_recipe
from pipelines.stages import run as stages
from specialists import CATALOG
from tests.runs import check_commits, draw_photos, journal, recipe_data

HERE = __name__
GUIDE = Path(__file__).resolve().parents[3] / "docs/guide/7-models.md"
LONG = "SELECT image_id FROM texts WHERE length(text) > 3"


class Writer:
    """A text of as many letters as the image has in the listing, from 1 on. `raise_on`: image ids."""

    needs, gives, version, deterministic = ("pixels",), ("texts",), 1, True

    def __init__(self, *, ids: Sequence[str] = (), raise_on: Sequence[str] = (), fixed: str = "") -> None:
        self.ids, self.raise_on, self.fixed = list(ids), raise_on, fixed

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [self._answer(sample.image_id) for sample in batch]

    def _answer(self, name: str) -> Answer:
        if name in self.raise_on and not (self.fixed and Path(self.fixed).exists()):
            raise ValueError("no text")
        return Answer(texts=[Text("a" * (self.ids.index(name) + 1), "brief", score=1.0)])


class Tagger:
    """One tag for an image, and its id in a journal. It must not see the texts that only `where` reads."""

    needs, gives, version, deterministic = ("pixels",), ("tags",), 1, True

    def __init__(self, *, journal: str, raise_on: Sequence[str] = (), batch_size: int = 4) -> None:
        self.journal, self.raise_on, self.batch_size = journal, raise_on, batch_size

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        with open(self.journal, "a", encoding="utf-8") as file:
            file.writelines(f"tags {sample.image_id}\n" for sample in batch)
        for sample in batch:
            assert not sample.texts
            if sample.image_id in self.raise_on:
                raise MemoryError if len(batch) > 1 else ValueError("no tag")
        return [Answer(tags=[Tag("seen", score=1.0)]) for _ in batch]


class Witness:
    """A tag with the names of the detectors that looked at the image."""

    needs, gives, version, deterministic = ("boxes",), ("tags",), 1, True

    def load(self) -> None: ...

    def annotate(self, batch: Sequence[Sample]) -> list[Answer]:
        return [Answer(tags=[Tag(" ".join(sample.detectors), score=1.0)]) for sample in batch]


class Boxes:
    """Needs nothing but pixels and gives boxes."""

    needs, gives, version, deterministic = ("pixels",), ("boxes",), 1, True


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    draw_photos(folder, 10)
    return folder


@pytest.fixture(scope="module")
def ids(photos: Path) -> list[str]:
    return draw_photos(photos, 10)


def recipe(
    folder: Path, photos: Path, ids: Sequence[str], sql: str = LONG, writer: Any = None, **tagger: Any
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    nodes = {
        "words": {"use": f"{HERE}:Writer", "ids": list(ids), **(writer or {})},
        "tags": {
            "use": f"{HERE}:Tagger",
            "journal": str(folder / "journal"),
            "where": {"sql": sql, "needs": ["texts"]},
            **tagger,
        },
    }
    ingest = {"sources": [{"folder": str(photos)}], "shard_size": 6}
    return recipe_data(folder / "set", photos, {}, ingest=ingest) | {"annotate": nodes, "filter": []}


def annotate(data: dict[str, Any], runner: str = "inline", **more: Any) -> Path:
    stages.run(parse_recipe(data), stage="ingest", runner="inline")
    stages.run(parse_recipe(data), stage="annotate", runner=runner, **more)
    return Path(data["dataset"])


def sql(dataset: Path, text: str) -> list[Any]:
    return [tuple(row.values()) for row in query(Dataset.open(str(dataset)), text).to_pylist()]


def tables(dataset: Path, node: str = "tags") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(dataset.glob(f"{node}/*/*")) if path.suffix != ".part"}


def test_only_the_selected_images_reach_the_component(tmp_path: Path, photos: Path, ids: list[str]) -> None:
    dataset = annotate(recipe(tmp_path / "a", photos, ids))
    assert sorted(journal(tmp_path / "a" / "journal")) == sorted(ids[3:])
    assert sorted(sql(dataset, "SELECT image_id FROM tags")) == sorted((name,) for name in ids[3:])
    assert sql(dataset, "SELECT count(*) FROM failures") == [(0,)]
    rows = [row for path in sorted(dataset.glob("tags/*/*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["image_id"] for row in rows] == ids, "every image has its row"


def test_the_status_counts_the_selected_images(tmp_path: Path, photos: Path, ids: list[str]) -> None:
    dataset = Dataset.open(str(annotate(recipe(tmp_path / "a", photos, ids))))
    assert account(dataset).selected == {"tags": (7, 10)}
    assert "  tags selected 7 of 10 images" in str(status(dataset)).splitlines()
    check_commits(dataset.url)


def test_an_image_whose_text_failed_is_skipped_and_done_when_it_is_tried_again(
    tmp_path: Path, photos: Path, ids: list[str]
) -> None:
    whole = annotate(recipe(tmp_path / "whole", photos, ids))
    fixed = tmp_path / "fixed"
    data = recipe(tmp_path / "a", photos, ids, writer={"raise_on": [ids[1], ids[8]], "fixed": str(fixed)})
    dataset = annotate(data)
    assert sql(dataset, "SELECT image_id FROM failures WHERE node = 'tags' AND reason = 'skipped' ORDER BY ALL") == [
        (name,) for name in sorted([ids[1], ids[8]])
    ]
    assert account(Dataset.open(str(dataset))).selected == {"tags": (6, 10)}
    fixed.touch()
    annotate(data, retry_failed=True)
    everything = "SELECT image_id, label FROM tags ORDER BY ALL"
    assert sql(dataset, everything) == sql(whole, everything)
    assert account(Dataset.open(str(dataset))).selected == {"tags": (7, 10)}
    assert sorted(journal(tmp_path / "a" / "journal")) == sorted(ids[3:]), "no image was done twice"


def test_an_aggregate_selects_within_the_shard(tmp_path: Path, photos: Path, ids: list[str]) -> None:
    longest = "SELECT image_id FROM texts WHERE length(text) = (SELECT max(length(text)) FROM texts)"
    dataset = annotate(recipe(tmp_path / "a", photos, ids, longest))
    assert sorted(sql(dataset, "SELECT image_id FROM tags")) == sorted([(ids[5],), (ids[9],)])


def test_failures_are_counted_among_the_selected_images_only(tmp_path: Path, photos: Path, ids: list[str]) -> None:
    data = recipe(tmp_path / "a", photos, ids, raise_on=ids)
    with pytest.raises(RunFailed, match="tags failed on all 7 images it got"):
        annotate(data)


def test_in_other_processes_the_bytes_are_the_same_also_of_a_batch_that_is_halved(
    tmp_path: Path, photos: Path, ids: list[str]
) -> None:
    more = {"raise_on": [ids[4]]}
    inline = annotate(recipe(tmp_path / "a", photos, ids, **more))
    data = recipe(tmp_path / "b", photos, ids, **more)
    data["annotate"]["tags"]["journal"] = str(tmp_path / "a" / "journal")
    assert tables(annotate(data, "local")) == tables(inline)


def test_a_detector_counts_as_having_looked_only_at_the_images_it_worked_on(
    tmp_path: Path, photos: Path, ids: list[str]
) -> None:
    data = recipe(tmp_path / "a", photos, ids)
    data["annotate"]["tags"] = {"use": f"{HERE}:Witness"}
    limited = {"use": "fake_detector", "where": {"sql": LONG, "needs": ["texts"]}}
    data["annotate"] |= {"first": {"use": "fake_detector"}, "second": limited}
    found = dict(sql(annotate(data), "SELECT image_id, label FROM tags"))
    assert found == dict.fromkeys(ids[:3], "first") | dict.fromkeys(ids[3:], "first second")


# --- what the graph makes of it ------------------------------------------------------------------------------


def graph(**annotate: Any) -> dict[str, Node]:
    return {node.name: node for node in build(annotate, CATALOG)}


def where(text: str, *needs: str) -> dict[str, Any]:
    return {"where": {"sql": text, "needs": list(needs)}}


IDS = "SELECT image_id FROM images"
DETECTOR = {"use": "fake_detector"}


def test_the_text_and_the_reads_are_part_of_the_key() -> None:
    def key(**tags: Any) -> str:
        return graph(a=DETECTOR, b={"use": "fake_captioner"}, c={"use": "nsfw", **tags})["c"].key

    keys = [key(), key(**where(IDS)), key(**where(IDS + " ")), key(**where(IDS, "texts")), key(**where(IDS, "boxes"))]
    assert len(set(keys)) == len(keys)


def test_a_change_of_what_it_reads_changes_its_key() -> None:
    def key(seed: int) -> str:
        nodes = graph(b={"use": "fake_captioner", "seed": seed}, c={"use": "nsfw", **where(IDS, "texts")})
        assert list(nodes) == ["b", "c"]
        return nodes["c"].key

    assert key(0) != key(1)


def test_a_detector_may_work_where_two_others_disagree() -> None:
    nodes = graph(
        rescue={
            "use": f"{HERE}:Boxes",
            **where("SELECT image_id FROM regions GROUP BY 1 HAVING count(*) > 1", "boxes"),
        },
        a=DETECTOR,
        b=DETECTOR | {"seed": 1},
        objects={"use": "consensus"},
    )
    assert list(nodes) == ["a", "b", "rescue", "objects"]
    assert nodes["rescue"].inputs == {"a": ("boxes",), "b": ("boxes",)}
    assert nodes["rescue"].sample_inputs == {}


def test_two_nodes_that_wait_for_each_others_boxes_are_named() -> None:
    with pytest.raises(ConfigError, match="The nodes one and two need each other's output"):
        graph(a=DETECTOR, one={"use": f"{HERE}:Boxes", **where(IDS, "boxes")}, two=DETECTOR | where(IDS, "boxes"))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("SELECT 1", "where lacks its sql: expected sql and needs"),
        ({"needs": []}, "where lacks its sql"),
        ({"sql": IDS, "need": []}, r"Unknown key of annotate.c.where 'need': did you mean 'needs'\?"),
        ({"sql": IDS, "needs": "texts"}, "annotate.c.where.needs is the text 'texts': expected sql and needs"),
        ({"sql": IDS, "needs": ["txts"]}, r"Unknown resource in annotate.c.where.needs 'txts': did you mean 'texts'\?"),
        ({"sql": IDS, "needs": ["masks"]}, r"annotate.c \(nsfw\) needs masks, which no node gives"),
        (
            {"sql": "SELECT image_id FROM texts"},
            r"that fails: Table with name texts does not exist.* Its tables are images: name what else it reads in",
        ),
        ({"sql": "SELECT image FROM images"}, 'fails: Referenced column "image" not found'),
        ({"sql": "SELECT kept FROM images"}, 'fails: Referenced column "kept" not found'),
        ({"sql": "SELECT width FROM images"}, "with the columns width: it must give image_id"),
        ({"sql": "SELECT count(*) AS image_id FROM images"}, "whose image_id is of the type int64, expected"),
        ({"sql": "SELECT image_id FROM regions"}, r"regions does not exist!( Its tables)"),
        ({"sql": "SELEC image_id"}, "fails: syntax error"),
        ({"sql": f"{IDS}; {IDS}"}, "is not one SELECT"),
        ({"sql": "DROP TABLE images"}, "is not one SELECT"),
        ({"sql": "SELECT image_id FROM '/etc/passwd'"}, "fails: "),
        ({"sql": "SELECT content AS image_id FROM read_text('/etc/passwd')"}, "fails: .*disabled"),
    ],
)
def test_a_wrong_where_gets_one_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        graph(c={"use": "nsfw", "where": given})


@pytest.mark.parametrize(
    ("use", "why"), [("consensus", "it replaces the boxes"), ("spacy_parse", "it parses each text once")]
)
def test_nodes_that_must_work_on_all_images_take_no_where(use: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot have `where`, because {why}"):
        graph(a=DETECTOR, c={"use": use, **where(IDS)})


def test_the_queries_of_the_guide_select_images() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    found = [node["where"] for block in blocks for node in block["annotate"].values() if "where" in node]
    assert len(found) == 2
    for given in found:
        check_sql("the guide", given["sql"], given["needs"])


def test_sql_that_fails_on_the_data_stops_the_run_with_one_sentence(
    tmp_path: Path, photos: Path, ids: list[str]
) -> None:
    data = recipe(tmp_path / "a", photos, ids, "SELECT image_id FROM texts WHERE CAST(text AS INTEGER) > 1")
    with pytest.raises(RunFailed, match=r"annotate.tags \(.*\) has a `where.sql` that fails: Could not convert"):
        annotate(data)
