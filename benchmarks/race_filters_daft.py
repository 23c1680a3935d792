"""The filters of race_filters.py by a script with Daft, a whole process.

python -m benchmarks.race_filters_daft DATASET OUT
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.race_filters import FLOOR, FLOOR_OF_NANODET, MAX_SHARE, MIN_PIXELS, MIN_SIDE


def cases(first: tuple[Any, Any], *others: tuple[Any, Any], otherwise: Any) -> Any:
    """The value of the first case whose condition holds."""
    from daft.functions import when

    chain = when(*first)
    for condition, value in others:
        chain = chain.when(condition, value)
    return chain.otherwise(otherwise)


def judged_images(dataset: str) -> Any:
    import daft
    from daft import col

    images = daft.read_parquet(f"{dataset}/images/*.parquet").select("image_id", "width", "height")
    side = cases((col("width") < col("height"), col("width")), otherwise=col("height"))
    return images.with_columns({"side": side.cast(daft.DataType.float64()), "small": side < MIN_PIXELS})


def judged_regions(dataset: str, images: Any) -> Any:
    import daft
    from daft import col

    boxes = daft.read_parquet(f"{dataset}/boxes/*/*.parquet").select("image_id", "regions").explode("regions")
    names = ("id", "x1", "y1", "x2", "y2", "score", "producer")
    flat = boxes.select("image_id", *(col("regions").get(name).alias(name) for name in names))
    wide, high, doubles = col("x2") - col("x1"), col("y2") - col("y1"), daft.DataType.float64()
    area = col("width").cast(doubles) * col("height")
    measures = (
        flat.where(col("id").not_null())
        .join(images, on="image_id")
        .with_columns(
            {
                "shorter": cases((wide < high, wide), otherwise=high).cast(doubles),
                "share": (wide.cast(doubles) * high / area).clip(max=1.0),
                "floor": cases((col("producer") == "nanodet", FLOOR_OF_NANODET), otherwise=FLOOR),
                "human": col("score").is_null(),
            }
        )
    )
    failing = [
        (col("small"), "image_dropped"),
        (~col("human") & (col("shorter") < MIN_SIDE), "box_size.side"),
        (~col("human") & (col("share") > MAX_SHARE), "box_size.max_share"),
        (~col("human") & (col("score") < col("floor")), "min_score"),
    ]
    named = measures.with_column("rule", cases(*failing, otherwise=""))
    rule, none = col("rule"), daft.lit(None).cast(doubles)
    values = (("box_size.side", col("shorter")), ("box_size.max_share", col("share")), ("min_score", col("score")))
    limits = (("box_size.side", MIN_SIDE), ("box_size.max_share", MAX_SHARE), ("min_score", col("floor")))
    return named.select(
        "image_id",
        "id",
        (rule == "").alias("kept"),
        "rule",
        cases(*((rule == name, value) for name, value in values), otherwise=none).alias("value"),
        cases(*((rule == name, limit) for name, limit in limits), otherwise=none).alias("threshold"),
    )


def main() -> None:
    from daft import DataType, col, lit

    dataset, out = sys.argv[1:]
    images, none = judged_images(dataset), lit(None).cast(DataType.float64())
    small = col("small")
    images.select(
        "image_id",
        (~small).alias("kept"),
        cases((small, "min_side"), otherwise="").alias("rule"),
        cases((small, col("side")), otherwise=none).alias("value"),
        cases((small, float(MIN_PIXELS)), otherwise=none).alias("threshold"),
    ).write_parquet(f"{out}/images")
    judged_regions(dataset, images).write_parquet(f"{out}/regions")


if __name__ == "__main__":
    main()
