"""The script that one would write with pandas for tables of the report: reads the files of a data set, and counts.

It reads only the fields that it needs and flattens lists with pyarrow, which is much faster than `DataFrame.explode`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.reading.dataset import Dataset

TABLES = (
    *("label_ranks", "label_tail", "noun_ranks", "noun_tail", "verb_noun_pairs", "tokens_per_text"),
    *("semantic_coverage", "annotations_per_type", "producers", "spatial_area"),
)
TYPES = ("texts", "regions", "region_texts", "phrases", "tags", "image_scores")
Rows = Sequence[Mapping[str, Any]]


def tables(folder: str) -> dict[str, Rows]:
    dataset = Dataset.open(folder)  # only for the names of the files
    judged = pq.read_table([dataset.location(path) for path in dataset.judged_files().values()])
    kept_images = set(_field(judged["image"], "id").filter(_field(judged["image"], "kept")).to_pylist())
    regions = judged_annotations(
        dataset, judged, kept_images, "regions", ("merged_into", "kind", "label", "score", "x1", "y1", "x2", "y2")
    )
    texts = judged_annotations(dataset, judged, kept_images, "texts", ("granularity", "text_key", "score"))
    parse = pq.read_table(list(_paths(dataset, "parse/sim")))
    counts = {"texts": texts["kept"], "regions": regions["kept"]}
    for name in TYPES[2:]:
        counts[name] = judged_annotations(dataset, judged, kept_images, name, ())["kept"]
    labels = regions[regions["shown"] & (regions["kind"] == "object") & (regions["label"] != "")]
    ranked = _ranked(labels.groupby("label").agg(regions=("id", "size"), images=("image_id", "nunique")), "regions")
    weights = texts[texts["shown"]].groupby("text_key").size()
    nouns = _ranked(_weighted(parse, weights, "objects"), "times")
    return {
        "label_ranks": _sampled(ranked, "label", ("regions", "images")),
        "label_tail": [_tail(ranked, "regions", "labels", "labels")],
        "noun_ranks": _sampled(nouns, "noun", ("times",)),
        "noun_tail": [_tail(nouns, "times", "nouns", "nouns")],
        "verb_noun_pairs": _pairs(parse, weights),
        "tokens_per_text": _lengths(texts, parse),
        "semantic_coverage": _coverage(texts, parse),
        "annotations_per_type": _per_type(counts),
        "producers": _producers(regions),
        "spatial_area": _areas(dataset, regions),
    }


# --- reading ---


def _paths(dataset: Dataset, folder: str) -> Iterable[str]:
    return (dataset.location(path) for path in dataset.files(folder).values())


def _field(column: pa.ChunkedArray, name: str) -> Any:
    return pc.struct_field(column, name)


def _flat(table: pa.Table, column: str, fields: Iterable[str]) -> pd.DataFrame:
    """One row for each item of a list column, with these fields and the id of its image."""
    lists = table[column].combine_chunks()
    items = lists.flatten()
    owner = pc.list_parent_indices(lists)
    made = {name: pc.struct_field(items, name).to_pandas() for name in fields}
    return pd.DataFrame({"image_id": table["image_id"].combine_chunks().take(owner).to_pandas(), **made})


def judged_annotations(
    dataset: Dataset, judged: pa.Table, kept_images: set[str], column: str, fields: Sequence[str]
) -> pd.DataFrame:
    """All annotations of one type with their verdict. `shown`: whether it and its image are kept."""
    parts = []
    for node in dataset.record_nodes(column):
        table = pq.read_table(list(_paths(dataset, node.folder)), columns=["image_id", column])
        parts.append(_flat(table, column, ("id", "producer", *fields)))
    if not parts:
        return pd.DataFrame({"kept": pd.Series([], dtype=bool)})
    given = pd.concat(parts, ignore_index=True)
    found = given.merge(_flat(judged, column, ("id", "kept")), on=["image_id", "id"], how="left")
    found["shown"] = found["kept"] & found["image_id"].isin(kept_images)
    return found


def _weighted(parse: pa.Table, weights: pd.Series, column: str) -> pd.DataFrame:
    """How often each word of a list column of the parse occurs in kept texts."""
    lists = parse[column].combine_chunks()
    keys = parse["text_key"].combine_chunks().take(pc.list_parent_indices(lists)).to_pandas()
    number = keys.map(weights).fillna(0).astype("int64")
    words = pd.DataFrame({"word": lists.flatten().to_pandas(), "times": number})
    return words[words["times"] > 0].groupby("word").agg(times=("times", "sum"))


# --- the tables ---


def _ranked(counts: pd.DataFrame, by: str) -> pd.DataFrame:
    """Counts from the most frequent to the rarest; ties by name."""
    ranked = counts.rename_axis("name").reset_index().sort_values([by, "name"], ascending=[False, True])
    total = ranked[by].sum()
    return ranked.assign(
        rank=np.arange(1, len(ranked) + 1), share=ranked[by] / total, so_far=ranked[by].cumsum() / total
    )


def _sampled(ranked: pd.DataFrame, name: str, columns: Sequence[str]) -> Rows:
    rank = ranked["rank"].to_numpy()
    step = np.floor(20 * np.log10(rank)) > np.floor(20 * np.log10(np.maximum(rank - 1, 1)))
    shown = ranked[(rank <= 20) | (rank == len(ranked)) | step]
    named = shown.rename(columns={"name": name, "so_far": "share_so_far"})
    return _rows(named[["rank", name, *columns, "share", "share_so_far"]])


def _tail(ranked: pd.DataFrame, by: str, many: str, prefix: str) -> dict[str, Any]:
    half = int((ranked["so_far"] < 0.5).sum()) + 1
    return {many: len(ranked), by: int(ranked[by].sum()), f"{prefix}_with_half": half} | {
        f"{prefix}_with_one": int((ranked[by] == 1).sum()),
        "share_of_ten_commonest": float(ranked["share"][:10].sum()),
        "share_beyond_rank_100": float(ranked["share"][100:].sum()),
    }


def _pairs(parse: pa.Table, weights: pd.Series) -> Rows:
    links = _flat(parse.rename_columns({"text_key": "image_id"}), "relations", ("role", "verb", "noun"))
    links["times"] = links.pop("image_id").map(weights).fillna(0).astype("int64")
    counts = links[links["times"] > 0].groupby(["role", "verb", "noun"], as_index=False)["times"].sum()
    counts["share"] = counts["times"] / counts.groupby("role")["times"].transform("sum")
    counts["pairs"] = counts.groupby("role")["verb"].transform("size")
    order = counts.sort_values(["role", "times", "verb", "noun"], ascending=[False, False, True, True])
    return _rows(order.groupby("role", sort=False).head(30)[["role", "verb", "noun", "times", "share", "pairs"]])


WIDTHS = {"brief": 1, "detailed": 4, "more_detailed": 8}
MEANS = ("tokens", "objects", "objects_paper", "attributes", "attributes_paper", "actions", "proper_nouns")


def _parsed(texts: pd.DataFrame, parse: pa.Table) -> pd.DataFrame:
    """Kept texts with the counts of their parse."""
    counts = {name: pc.list_value_length(parse[name]).to_pandas() for name in MEANS[1:]}
    for kind in ("object", "action"):
        degrees = parse[f"{kind}_complexity"]
        counts |= {f"{kind}_{name}": _field(degrees, name).to_pandas() for name in ("mean", "paper")}
    frame = pd.DataFrame({"text_key": parse["text_key"].to_pandas(), "tokens": parse["tokens"].to_pandas(), **counts})
    good = pc.list_value_length(parse["failures"]).to_numpy() == 0
    return texts[texts["shown"]].merge(frame[good], on="text_key")


def _lengths(texts: pd.DataFrame, parse: pa.Table) -> Rows:
    found = _parsed(texts, parse)
    found["width"] = found["granularity"].map(WIDTHS)
    found["bin"] = np.minimum(found["tokens"] // found["width"], 39)
    rows: list[Mapping[str, Any]] = []
    for granularity, group in found.groupby("granularity"):
        counts, width = group["bin"].value_counts(), WIDTHS[str(granularity)]
        for bin_ in range(counts.index.min(), counts.index.max() + 1):
            number = int(counts.get(bin_, 0))
            rows.append(
                {"granularity": granularity, "tokens_from": bin_ * width, "texts": number}
                | {"share": number / len(group), "mean_tokens": round(group["tokens"].mean(), 2)}
            )
    return rows


def _coverage(texts: pd.DataFrame, parse: pa.Table) -> Rows:
    means = (
        _parsed(texts, parse)
        .groupby("granularity")[[*MEANS, "object_mean", "object_paper", "action_mean", "action_paper"]]
        .mean()
    )
    names = {"tokens": ("tokens", "tokens"), "objects": ("objects", "objects_paper")}
    names |= {"attributes": ("attributes", "attributes_paper"), "actions": ("actions", "actions")}
    names |= {"proper nouns": ("proper_nouns", "proper_nouns"), "object complexity": ("object_mean", "object_paper")}
    names |= {"action complexity": ("action_mean", "action_paper")}
    return [
        {
            "granularity": granularity,
            "measure": measure,
            "strict": round(row[strict], 2),
            "paper_like": round(row[like], 2),
        }
        for granularity, row in means.iterrows()
        for measure, (strict, like) in names.items()
    ]


def _per_type(kept: Mapping[str, pd.Series]) -> Rows:
    rows = [
        {"annotation_type": name, "given": len(column), "kept": int((column == True).sum())}  # noqa: E712
        | {"dropped": int((column == False).sum()), "pending": int(column.isna().sum())}  # noqa: E712
        for name, column in kept.items()
        if len(column)
    ]
    return sorted(rows, key=lambda row: (-int(str(row["given"])), str(row["annotation_type"])))


def _producers(regions: pd.DataFrame) -> Rows:
    kept = regions["kept"] == True  # noqa: E712
    merged = regions["merged_into"] != ""
    dropped = (regions["kept"] == False) & ~merged  # noqa: E712
    frame = pd.DataFrame(
        {"producer": regions["producer"], "kept": kept, "merged": merged, "dropped": dropped}
        | {"mean_score_kept": regions["score"].where(kept), "mean_score_dropped": regions["score"].where(dropped)}
    )
    groups = frame.groupby("producer")
    found = groups[["kept", "merged", "dropped"]].sum().join(groups[["mean_score_kept", "mean_score_dropped"]].mean())
    found.insert(0, "given", groups.size())
    return _rows(found.round(3).reset_index().sort_values(["given", "producer"], ascending=[False, True]))


def _areas(dataset: Dataset, regions: pd.DataFrame) -> Rows:
    images = pq.read_table(list(_paths(dataset, "images")), columns=["image_id", "width", "height"]).to_pandas()
    shown = regions[regions["shown"]].merge(images, on="image_id")
    area = (shown["x2"] - shown["x1"]) * (shown["y2"] - shown["y1"])
    side = np.sqrt(area / (shown["width"] * shown["height"].astype("float64")))
    counts = np.minimum(np.floor(10 * side), 9).astype(int).value_counts().sort_index()
    return [
        {"side_from": bin_ / 10, "region_text": int(number), "region_text_share": number / counts.sum()}
        for bin_, number in counts.items()
    ]


def _rows(frame: pd.DataFrame) -> Rows:
    rows: Rows = frame.to_dict("records")
    return rows
