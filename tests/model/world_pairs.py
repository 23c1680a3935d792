"""Scenes of the synthetic world as image files with the pairs of their truth, and a small Florence-2 for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.images.decode import image_id
from engine.schema import as_row
from model.network.florence import Florence, build
from model.network.tokenizer import train_tokenizer
from model.pairs.compile import compile_pairs
from model.pairs.options import PairOptions
from model.pairs.pair import PAIRS, pair_row
from specialists.synthetic.world import scenes

TASKS = ("<OD>", "<CAPTION>", "<CAPTION_TO_PHRASE_GROUNDING>")


def write_pairs(folder: Path, images: int = 12, tasks: Sequence[str] = TASKS, *, size: int = 96, seed: int = 0) -> str:
    """Write the images and their pairs. Returns the pairs file, in which image locations are relative."""
    options = PairOptions(tasks=tasks, order="reading")
    rows = []
    for scene in scenes(f"world://?images={images}&size={size}&seed={seed}&words=0"):
        name = f"{scene.index}.png"
        (folder / name).write_bytes(scene.data)
        columns = ("texts", "regions", "region_texts", "phrases")
        record = {column: [as_row(item) for item in getattr(scene.truth, column)] for column in columns}
        place = {"width": size, "height": size, "uri": name, "offset": 0, "length": -1, "split": "train"}
        made = compile_pairs(record, width=size, height=size, options=options)
        rows += [pair_row(pair, {"image_id": image_id(scene.data), **place}) for pair in made.pairs]
    file = folder / "pairs-train-00000.parquet"
    pq.write_table(pa.Table.from_pylist(rows, PAIRS), file)
    return str(file)


def untrained(file: str, *, size: int = 64, seed: int = 0) -> Florence:
    table = pq.read_table(file).to_pydict()
    return build("tiny", train_tokenizer([*table["prompt"], *table["target"]], size=300), size=size, seed=seed)
