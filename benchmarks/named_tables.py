"""Time of every named query over a million regions, from opening the data set to the last row.

    python -m benchmarks.named_tables [--images 100000] [--keep FOLDER]
    python -m benchmarks.named_tables --captions captions.jsonl [--granularity more_detailed]

The data set is simulated: each image has 10 regions (two of them merged), a text for nearly each region, two texts that
are unique in the data set, ten phrases, a parse, and verdicts of the engine's rules. "cold" is the first query of a new
process, after the files were dropped from the system's cache as far as a normal user can; "warm" is the best of three
more; "CPU" is the processor time of that one over all cores, which depends least on other load.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.layout import IMAGES, INPUTS
from engine.reading.dataset import Dataset
from engine.reading.sql import named_queries
from engine.records.assemble import assemble
from engine.records.shard import as_lists
from engine.schema import (
    GRANULARITIES,
    PARSE,
    PROBE,
    RECORD,
    SCHEMA_VERSION,
    VERDICTS,
    Text,
    as_row,
    record_table,
    text_key,
)
from engine.schema import IMAGES as IMAGES_SCHEMA
from engine.schema import INPUTS as INPUTS_SCHEMA
from engine.storage.commits import Commits, Record
from engine.storage.files import Storage
from filters.judging.apply_rules import judge
from filters.min_score import min_score
from filters.ungrounded_phrase import ungrounded_phrase
from pipelines.explore.query import query
from pipelines.explore.query_text import query_lines

IMAGES_A_SHARD = 1000
TARGET = 2.0

_COMMON = "producer: '{}', round: 0, score: {}, score_kind: 'confidence', parents: []::VARCHAR[]"
_CHANCE = "(hash({}) % 1000 / 1000.0)::DOUBLE"
# Words of several lengths: thing(seed) is one of 600 nouns.
_THING = "['cat', 'table', 'umbrella'][1 + ({0} % 3)::INT] || ({0} % 200)::VARCHAR"


def _region(name: str, seed: str, kind: str, merged: str) -> str:
    score = _CHANCE.format(f"{seed} + 7")
    left, top = f"hash({seed} + 1) % 500", f"hash({seed} + 2) % 300"
    return f"""{{id: {name}, kind: '{kind}', label: {_THING.format(f"hash({seed})") if kind == "object" else "''"},
        x1: ({left})::FLOAT, y1: ({top})::FLOAT,
        x2: ({left} + 10 + hash({seed} + 3) % 100)::FLOAT, y2: ({top} + 10 + hash({seed} + 4) % 150)::FLOAT,
        quad: []::FLOAT[], rle: '', merged_into: {merged}, support: ['ssd/1', 'yolox/3'],
        {_COMMON.format("objects", score)}}}"""


def _region_text(name: str, region: str, kind: str, seed: str) -> str:
    return f"""{{id: {name}, region_id: {region}, granularity: '{kind}', text: 'a red ' || {_THING.format(seed)},
        {_COMMON.format("describe", _CHANCE.format(seed))}}}"""


_MERGED = "CASE WHEN k > 6 THEN 'objects/' || (k - 7) ELSE '' END"
_BOX = _region("'objects/' || k", "n * 100 + k", "object", _MERGED)
_WORD = _region("'ocr/0'", "n * 100 + 50", "text", "''")
_READ = _region_text("'ocr/1'", "'ocr/0'", "ocr", "n")
_SAID = _region_text("'describe/' || k", "'objects/' || k", "brief", "hash(n * 100 + k)")

# What an image holds, n being its number in the whole set; {node: {column: SQL}}.
NODES: dict[str, dict[str, str]] = {
    "objects": {"regions": f"list_transform(range(9), lambda k: {_BOX})"},
    "ocr": {"regions": f"[{_WORD}]", "region_texts": f"[{_READ}]"},
    "describe": {"region_texts": f"list_transform(range(7), lambda k: {_SAID})"},
    "captions": {
        "texts": f"""list_transform(w, lambda t, k: {{id: 'captions/' || (k - 1),
            granularity: ['brief', 'detailed'][k], text: t.text, text_key: t.text_key,
            {_COMMON.format("captions", "1.0::DOUBLE")}}})"""
    },
    "grounder": {
        "phrases": f"""flatten(list_transform(w, lambda t, k: list_transform(t.chunks, lambda c, m: {{
            id: 'grounder/' || ((k - 1) * 3 + m - 1), text_id: 'captions/' || (k - 1), char_start: c.char_start,
            char_end: c.char_end, region_ids: CASE WHEN m % 4 = 0 THEN [] ELSE ['objects/' || (m % 7)] END,
            {_COMMON.format("grounder", _CHANCE.format("n * 100 + m"))}}})))"""
    },
}

# Two texts an image, of three and of seven things: "a cat7 near a table31 near ..", and their parse.
_WORDS = f"""
    SELECT n, image_id, list_transform([3, 7], lambda many: list_transform(range(many), lambda k:
        {_THING.format("hash(n * 1000 + many * 10 + k)")})) AS said FROM shard"""
_CHUNKS = """list_transform(s, lambda head, k: {
        char_start: (8 * (k - 1) + len(array_to_string(s[:k - 1], '')))::INT,
        char_end: (8 * (k - 1) + 2 + len(array_to_string(s[:k], '')))::INT,
        head: head, plural: false, text: 'a ' || head})"""
_TEXTS = f"""
    SELECT n, image_id, list_transform(said, lambda s: {{
        text: 'a ' || array_to_string(s, ' near a '), text_key: md5(n || array_to_string(s, ' '))[:16],
        said: s, chunks: {_CHUNKS}}}) AS w FROM ({_WORDS})"""
_COMPLEXITY = "{paper: 2.0::DOUBLE, mean: 1.5::DOUBLE, max: 3.0::DOUBLE}"
_PARSE = f"""
    SELECT t.text_key AS text_key, (3 * len(t.said) - 1)::INT AS tokens, (3 * len(t.said))::INT AS raw_tokens,
        1 AS sentences, t.said AS objects, t.said AS objects_paper, ['red'] AS attributes,
        list_transform(t.said, lambda x: 'a') AS attributes_paper, ['sits'] AS actions, []::VARCHAR[] AS proper_nouns,
        {_COMPLEXITY} AS object_complexity, {_COMPLEXITY} AS action_complexity, t.chunks AS chunks,
        list_transform(t.said, lambda x: {{verb: 'sit', role: 'subject', noun: x}}) AS relations
    FROM (SELECT unnest(w) AS t FROM texts)"""
_IMAGE = {
    "width": "640",
    "height": "480",
    "format": "'JPEG'",
    "split": "'train'",
    "bytes": "100000",
    "uri": "'/photos/' || n || '.jpg'",
    "length": "-1",
    "source": "'/photos'",
    "fingerprint": "'1'",
    "frame": "'auto'",
    "image_id": "image_id",
}


def simulate(folder: Path, images: int) -> None:
    import duckdb

    storage = Storage(str(folder))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": IMAGES_A_SHARD}).encode())
    with duckdb.connect() as con:
        for shard in range(max(1, images // IMAGES_A_SHARD)):
            _simulate_shard(con, storage, shard)
    _write_current(storage, NODES)


def _write_current(storage: Storage, columns: Mapping[str, Iterable[str]]) -> None:
    nodes: list[dict[str, Any]] = [
        {"name": name, "key": "k", "folder": f"{name}/sim", "columns": list(given)} for name, given in columns.items()
    ]
    nodes.append({"name": "parse", "key": "k", "folder": "parse/sim", "over": "texts"})
    folders = {name: {"folder": f"{name}/sim"} for name in ("judge", "probe")}
    storage.put("current.json", json.dumps({"schema_version": SCHEMA_VERSION, "nodes": nodes, **folders}).encode())


def _simulate_shard(con: Any, storage: Storage, shard: int) -> None:
    start = shard * IMAGES_A_SHARD
    con.execute(f"""CREATE OR REPLACE TABLE shard AS SELECT range AS n, md5(range::VARCHAR) AS image_id
        FROM range({start}, {start + IMAGES_A_SHARD})""")
    con.execute(f"CREATE OR REPLACE TABLE texts AS {_TEXTS}")
    made: dict[str, pa.Table] = {}
    for name, columns in NODES.items():
        selected = ", ".join(f"{sql} AS {column}" for column, sql in columns.items())
        made[name] = filled(con.sql(f"SELECT image_id, {selected} FROM texts").to_arrow_table(), RECORD)
        commit(storage, f"{name}/sim", shard, made[name])
    parse = filled(con.sql(_PARSE).to_arrow_table(), PARSE)
    commit(storage, "parse/sim", shard, parse)
    for node, schema in ((INPUTS, INPUTS_SCHEMA), ("probe/sim", PROBE), (IMAGES, IMAGES_SCHEMA)):
        selected = ", ".join(f"{sql} AS {name}" for name, sql in _IMAGE.items() if name in schema.names)
        images = filled(con.sql(f"SELECT {selected} FROM shard").to_arrow_table(), schema)
        commit(storage, node, shard, images)
    record = assemble(list(made.values()))
    rules: list[Any] = [
        ("min_score", min_score, {"floor": 0.2}),
        ("ungrounded_phrase", ungrounded_phrase, {}),
    ]
    verdicts = judge(record, images, parse, rules)
    assert verdicts.schema == VERDICTS
    commit(storage, "judge/sim", shard, verdicts)


def filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of a schema; missing ones are 0, '' or empty lists."""
    columns = []
    for field in schema:
        if field.name in table.column_names:
            columns.append(table[field.name].combine_chunks().cast(field.type))
        elif pa.types.is_list(field.type):
            offsets = np.zeros(table.num_rows + 1, np.int64)
            columns.append(as_lists(field.type, offsets, pa.array([], field.type.value_type)))
        else:
            columns.append(
                pa.repeat(pa.scalar("" if pa.types.is_string(field.type) else 0, field.type), table.num_rows)
            )
    return pa.Table.from_arrays(columns, schema=schema)


def commit(storage: Storage, folder: str, shard: int, table: pa.Table) -> None:
    commits = Commits(storage, folder)
    assert commits.commit(Record(shard, 0, {"data": commits.put_table(shard, table)}))


def captioned(folder: Path, file: Path, granularity: str) -> None:
    """A data set with the captions of a JSON-lines file (image_id, text), all human, and parsed."""
    from specialists.spacy_parse.specialist import SpacyParse

    parser = SpacyParse()
    parser.load()
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    by_image: dict[str, list[Text]] = {}
    for line in lines:
        texts = by_image.setdefault(str(line["image_id"]), [])
        key, number = text_key(line["text"]), len(texts)
        texts.append(Text(line["text"], granularity, key, id=f"human/{number}", producer="human"))
    rows = [{"image_id": name, "texts": [as_row(text) for text in texts]} for name, texts in by_image.items()]
    distinct = {text.text_key: text.text for texts in by_image.values() for text in texts}
    parses = zip(distinct, parser.parse(list(distinct.values())), strict=True)
    record = record_table(rows)
    parse = pa.Table.from_pylist([as_row(parsed) | {"text_key": key} for key, parsed in parses], schema=PARSE)
    images = filled(pa.table({"image_id": list(by_image), "split": ["train"] * len(by_image)}), IMAGES_SCHEMA)
    storage = Storage(str(folder))
    storage.put("dataset.json", json.dumps({"schema_version": SCHEMA_VERSION, "shard_size": len(by_image)}).encode())
    for node, table in (("human/sim", record), ("parse/sim", parse), (IMAGES, images)):
        commit(storage, node, 0, table)
    commit(storage, "judge/sim", 0, judge(record, images, parse, []))
    _write_current(storage, {"human": ["texts"]})


# --- measuring ---------------------------------------------------------------------------------


def measured(folder: str, name: str, rounds: int) -> tuple[float, float, float, int]:
    """(seconds of the first query in this process, of the best of the next, its CPU seconds, number of rows)"""
    seconds, rows = [], 0
    for _ in range(1 + rounds):
        started, worked = time.perf_counter(), time.process_time()
        rows = query(Dataset.open(folder), named=name).num_rows
        seconds.append((time.perf_counter() - started, time.process_time() - worked))
    return seconds[0][0], *min(seconds[1:]), rows


def forget(folder: Path) -> None:
    """Asks the system to drop the data set's files from its cache."""
    os.sync()
    for path in folder.rglob("*.parquet"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--keep", help="make the data set here, or use the one that is")
    options.add_argument("--only", nargs="*", help="these queries; default: all")
    options.add_argument("--captions", type=Path, help="instead: statistics of these captions, beside those of FLD-5B")
    options.add_argument("--granularity", choices=GRANULARITIES, default="brief", help="of these captions")
    options.add_argument("--measure", nargs=2, metavar=("FOLDER", "NAME"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.measure:
        folder, name = given.measure
        print(json.dumps(measured(folder, name, given.rounds)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(given.keep or scratch)
        if given.captions:
            captioned(place, given.captions, given.granularity)
            print("\n".join(query_lines(lambda: Dataset.open(str(place)), "", "semantic_coverage", "table")))
            return
        if not (place / "current.json").exists():
            simulate(place, given.images)
        for name in given.only or named_queries():
            forget(place)
            command = [sys.executable, "-m", "benchmarks.named_tables", "--rounds", str(given.rounds)]
            done = subprocess.run([*command, "--measure", place, name], check=True, stdout=subprocess.PIPE, text=True)
            cold, warm, cpu, rows = json.loads(done.stdout)
            times = f"cold {cold:6.2f} s  warm {warm:6.2f} s  CPU {cpu:6.2f} s  {rows:5} rows"
            verdict = "" if max(cold, warm) < TARGET else f"  over {TARGET:g} s"
            print(f"{name:24} {times}{verdict}", flush=True)


if __name__ == "__main__":
    main()
