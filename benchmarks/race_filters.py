"""The same filters by scripts that a user would write, each as a whole process, beside `engine run --stage filter`.

    python -m benchmarks.race_filters make DATASET [--regions 1000000]     makes a data set, and DATASET/recipe.yaml
    python -m benchmarks.race_filters rewrite|arrow|pandas|duckdb DATASET OUT
    python -m benchmarks.race_filters check DATASET OUT                    compares with the engine's verdicts

The data set has shards of 1,000 images with about 7 regions each. The rules are those of RULES: they drop small
images, small and huge boxes, and low scores. A script writes a verdict on each image and on each region: whether it is
kept, the rule that dropped it, and the two numbers that the rule compared. `rewrite` judges nothing: it reads the files
of regions and writes them again. The scripts read only the columns that they need, and import nothing of the engine.
"""

from __future__ import annotations

import argparse
import glob
import os
from typing import Any

MIN_PIXELS, MIN_SIDE, MAX_SHARE, FLOOR, FLOOR_OF_NANODET = 64, 60.0, 0.05, 0.3, 0.4
RULES = [
    {"min_side": {"pixels": MIN_PIXELS}},
    {"box_size": {"min_side": MIN_SIDE, "max_share": MAX_SHARE}},
    {"min_score": {"floor": FLOOR, "by_producer": {"nanodet": FLOOR_OF_NANODET}}},
]
FIELDS = ("id", "x1", "y1", "x2", "y2", "score", "producer")
IMAGE_COLUMNS = ["image_id", "width", "height"]
REGION_COLUMNS = ["image_id", *(f"regions.list.element.{name}" for name in FIELDS)]


def shards_of(dataset: str) -> list[tuple[str, str]]:
    """(file of images, file of regions) of each shard."""
    images = sorted(glob.glob(f"{glob.escape(dataset)}/images/*.parquet"))
    regions = sorted(glob.glob(f"{glob.escape(dataset)}/boxes/*/*.parquet"))
    return list(zip(images, regions, strict=True))


def by_rewriting(dataset: str, out: str) -> None:
    import pyarrow.parquet as pq

    for _, regions in shards_of(dataset):
        pq.write_table(pq.read_table(regions, partitioning=None), f"{out}/{os.path.basename(regions)}")


# --- pyarrow and NumPy -------------------------------------------------------------------------


def by_arrow(dataset: str, out: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for images, regions in shards_of(dataset):
        shard = pq.read_table(images, columns=IMAGE_COLUMNS, partitioning=None)
        record = pq.ParquetFile(regions).read(columns=REGION_COLUMNS)
        lists = record["regions"].combine_chunks()
        image, verdicts = arrow_verdicts(shard, lists)
        values = pa.StructArray.from_arrays(list(verdicts.values()), names=list(verdicts))
        made = pa.ListArray.from_arrays(lists.offsets, values)
        table = pa.table({"image_id": record["image_id"], **image, "regions": made})
        pq.write_table(table, f"{out}/{os.path.basename(regions)}")


def arrow_verdicts(shard: Any, lists: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of verdicts on the images, and on the regions. `lists`: the regions of each image."""
    import numpy as np
    import pyarrow as pa

    wide, high = shard["width"].to_numpy(), shard["height"].to_numpy()
    side = np.minimum(wide, high)
    small = side < MIN_PIXELS
    image = {
        "kept": pa.array(~small),
        "rule": pa.array(["", "min_side"]).take(pa.array(small.astype("i1"))),
        "value": pa.array(side.astype("f8"), mask=~small),
        "threshold": pa.array(np.full(len(side), float(MIN_PIXELS)), mask=~small),
    }
    of = np.repeat(np.arange(len(lists)), np.diff(lists.offsets))
    values = lists.flatten()
    x1, y1, x2, y2, score = (values.field(n).to_numpy(zero_copy_only=False) for n in ("x1", "y1", "x2", "y2", "score"))
    coded = values.field("producer").dictionary_encode()
    floors = np.array([FLOOR_OF_NANODET if name == "nanodet" else FLOOR for name in coded.dictionary.to_pylist()])
    floor = floors[coded.indices.to_numpy()]
    shorter = np.minimum(x2 - x1, y2 - y1)
    share = np.minimum((x2 - x1).astype("f8") * (y2 - y1) / (wide.astype("f8") * high)[of], 1.0)
    human = np.isnan(score)
    tests = [(small[of], np.nan, np.nan)]
    for fails, value, limit in (
        (shorter < MIN_SIDE, shorter, MIN_SIDE),
        (share > MAX_SHARE, share, MAX_SHARE),
        (score < floor, score, floor),
    ):
        tests.append((fails & ~human, value, limit))
    failing = [test[0] for test in tests]
    rule = np.select(failing, [1, 2, 3, 4], 0).astype("i1")
    names = pa.array(["", "image_dropped", "box_size.side", "box_size.max_share", "min_score"])
    compared = (np.select(failing, [test[place] for test in tests], np.nan) for place in (1, 2))
    value, limit = (pa.array(numbers, from_pandas=True) for numbers in compared)
    found = {"id": values.field("id"), "kept": pa.array(rule == 0), "rule": names.take(pa.array(rule))}
    return image, found | {"value": value, "threshold": limit}


# --- pandas ------------------------------------------------------------------------------------


def by_pandas(dataset: str, out: str) -> None:
    """pyarrow flattens the lists, because pandas would make a dictionary of each region."""
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for images, regions in shards_of(dataset):
        shard = pd.read_parquet(images, columns=IMAGE_COLUMNS)
        record = pq.ParquetFile(regions).read(columns=REGION_COLUMNS)
        lists = record["regions"].combine_chunks()
        flat = pa.Table.from_struct_array(lists.flatten())
        image_ids = record["image_id"].combine_chunks().take(pc.list_parent_indices(lists))
        boxes = flat.append_column("image_id", image_ids).to_pandas()
        side = shard[["width", "height"]].min(axis=1)
        small = side < MIN_PIXELS
        shard["kept"], shard["rule"] = ~small, small.map({True: "min_side", False: ""})
        shard["value"], shard["threshold"] = side.where(small), small.map({True: float(MIN_PIXELS)})
        judged = pandas_verdicts(boxes.merge(shard[["image_id", "width", "height", "kept"]], on="image_id"))
        shard.drop(columns=["width", "height"]).to_parquet(f"{out}/{os.path.basename(images)}.images")
        judged.to_parquet(f"{out}/{os.path.basename(regions)}")


def pandas_verdicts(boxes: Any) -> Any:
    """The verdicts on regions. `boxes`: one row for each, with the size of its image and whether that is kept."""
    import numpy as np

    wide, high = boxes.x2 - boxes.x1, boxes.y2 - boxes.y1
    shorter = np.minimum(wide, high)
    share = (wide.astype("f8") * high / (boxes.width.astype("f8") * boxes.height)).clip(upper=1.0)
    score = boxes.score.astype("f8")
    floor = np.where(boxes.producer == "nanodet", FLOOR_OF_NANODET, FLOOR)
    human = score.isna()
    failing = [~boxes.kept, ~human & (shorter < MIN_SIDE), ~human & (share > MAX_SHARE), ~human & (score < floor)]
    judged = boxes[["image_id", "id"]].copy()
    judged["kept"] = ~np.logical_or.reduce(failing)
    judged["rule"] = np.select(failing, ["image_dropped", "box_size.side", "box_size.max_share", "min_score"], "")
    judged["value"] = np.select(failing, [np.nan, shorter, share, score], np.nan)
    judged["threshold"] = np.select(failing, [np.nan, MIN_SIDE, MAX_SHARE, floor], np.nan)
    return judged


# --- DuckDB ------------------------------------------------------------------------------------

_IMAGES = f"""SELECT image_id, NOT small AS kept, CASE WHEN small THEN 'min_side' ELSE '' END AS rule,
        CASE WHEN small THEN side::DOUBLE END AS "value", CASE WHEN small THEN {float(MIN_PIXELS)} END AS threshold
    FROM (SELECT image_id, least(width, height) AS side, side < {MIN_PIXELS} AS small FROM images)"""
_REGIONS = f"""SELECT image_id, id, rule = '' AS kept, rule,
        CASE rule WHEN 'box_size.side' THEN side::DOUBLE WHEN 'box_size.max_share' THEN share
                  WHEN 'min_score' THEN score END AS "value",
        CASE rule WHEN 'box_size.side' THEN {MIN_SIDE} WHEN 'box_size.max_share' THEN {MAX_SHARE}
                  WHEN 'min_score' THEN floor END AS threshold
    FROM (SELECT *, CASE WHEN least(width, height) < {MIN_PIXELS} THEN 'image_dropped' WHEN score IS NULL THEN ''
                         WHEN side < {MIN_SIDE} THEN 'box_size.side' WHEN share > {MAX_SHARE} THEN 'box_size.max_share'
                         WHEN score < floor THEN 'min_score' ELSE '' END AS rule
          FROM (SELECT b.image_id, a.id, a.score, width, height, least(a.x2 - a.x1, a.y2 - a.y1) AS side,
                       least((a.x2 - a.x1)::DOUBLE * (a.y2 - a.y1) / (width::DOUBLE * height), 1.0) AS share,
                       CASE a.producer WHEN 'nanodet' THEN {FLOOR_OF_NANODET} ELSE {FLOOR} END::DOUBLE AS floor
                FROM (SELECT image_id, unnest(regions) AS a FROM boxes) b JOIN images i USING (image_id)))"""


def by_duckdb(dataset: str, out: str) -> None:
    import duckdb

    con = duckdb.connect()
    con.execute(f"CREATE VIEW images AS SELECT * FROM read_parquet('{dataset}/images/*.parquet')")
    con.execute(f"CREATE VIEW boxes AS SELECT * FROM read_parquet('{dataset}/boxes/*/*.parquet')")
    con.execute(f"COPY ({_IMAGES}) TO '{out}/images.parquet'")
    con.execute(f"COPY ({_REGIONS}) TO '{out}/regions.parquet'")


SCRIPTS = {"rewrite": by_rewriting, "arrow": by_arrow, "pandas": by_pandas, "duckdb": by_duckdb}


# --- the data set, and the comparison ----------------------------------------------------------


def make(dataset: str, regions: int) -> None:
    """Commits the answers of a detector that was never run, under the key that the recipe gives it."""
    from pathlib import Path

    import yaml

    from benchmarks.race_filters_data import tables
    from engine.layout import IMAGES
    from engine.storage.commits import Commits, Record
    from engine.storage.files import Storage
    from pipelines.ingest.header import open_dataset
    from pipelines.recipe import parse_recipe
    from pipelines.stages.state import annotators

    given = {"dataset": dataset, "annotate": {"boxes": {"use": "fake_detector"}}, "filter": RULES}
    recipe, storage = parse_recipe(given), Storage(dataset)
    open_dataset(storage, recipe)
    (node,) = annotators(recipe)
    for shard, (images, record) in enumerate(tables(regions)):
        inputs: dict[str, str] = {}
        for folder, table in ((IMAGES, images), (node.folder, record)):
            commits = Commits(storage, folder)
            file = commits.put_table(shard, table)
            commits.commit(Record(shard, 0, {"data": file}, inputs=dict(inputs)))
            inputs[file.path] = file.sha256
    Path(dataset, "recipe.yaml").write_text(yaml.safe_dump(given))


def check(dataset: str, out: str) -> None:
    """Raises AssertionError if a script's verdicts in OUT differ from those of the engine."""
    import pyarrow.parquet as pq

    from benchmarks.race_filters_data import engine_verdicts, flat_verdicts

    ours = engine_verdicts(dataset)
    theirs = flat_verdicts([pq.read_table(path, partitioning=None) for path in sorted(glob.glob(f"{out}/*"))])
    for kind, rows in ours.items():
        assert rows.num_rows, f"no verdicts on {kind}"
        assert theirs[kind].equals(rows), f"verdicts on {kind} differ"
        print(f"{kind}: {rows.num_rows:,} equal verdicts, {rows['kept'].to_pylist().count(True):,} kept")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=["make", *SCRIPTS, "check"])
    options.add_argument("dataset")
    options.add_argument("out", nargs="?", default="")
    options.add_argument("--regions", type=int, default=1_000_000)
    given = options.parse_args()
    if given.what == "make":
        make(given.dataset, given.regions)
    elif given.what == "check":
        check(given.dataset, given.out)
    else:
        os.makedirs(given.out, exist_ok=True)
        SCRIPTS[given.what](given.dataset, given.out)


if __name__ == "__main__":
    main()
