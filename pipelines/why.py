"""Why an annotation is there and why it was kept or dropped: the chain, as text.

The record is not enough for it: what a detector proposed and consensus left out is in the detector's own file
only, so every current node's file is asked. One image is read, never a whole data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.dataset import CurrentNode, Dataset
from engine.errors import ConfigError, unknown
from engine.graph import IMAGES
from engine.schema import ANNOTATIONS
from engine.shards import TableReader
from engine.sql import connect
from pipelines.survey import read_surveyed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SHOWN = 40  # annotations of a column in the overview of an image; the others are counted
_HEX = frozenset("0123456789abcdef")
# A file's path, or that of the member of a tar; of a Parquet file, its row.
_NAME = "CASE WHEN contains(uri, '::') THEN regexp_extract(uri, '^[a-z]+://(.*)::', 1) ELSE uri END"


@dataclass(frozen=True, slots=True)
class Said:
    """One annotation as one node wrote it. A candidate that consensus re-emits was said twice."""

    node: CurrentNode
    column: str
    item: Mapping[str, Any]


@dataclass(slots=True)
class Story:
    """Everything the data set knows of one image. `verdicts` is None while it is not judged."""

    image: Mapping[str, Any]
    shard: int
    said: dict[str, list[Said]] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    verdicts: dict[str, Mapping[str, Any]] | None = None
    failures: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    same_as: str = ""  # the image that stands for this one
    changes: list[Mapping[str, Any]] = field(default_factory=list)  # of refinement rounds, in order

    def record(self, name: str) -> Said:
        """The annotation as it stands in the record, or as its own node wrote it if it is not part of that."""
        said = self.said[name]
        return next((one for one in said if one.column in one.node.columns), said[0])


def why(dataset: Dataset, image: str, annotation: str | None = None) -> str:
    """`image`: an id or the beginning of one, a uri, or a file name. ConfigError if that is nothing, or several."""
    with connect(dataset) as con:
        found = _find(con, image)
        if not found.get("image_id") or found["place"] is None:
            if annotation:
                raise ConfigError(
                    f"'{found['uri']}' has no annotations, it is {found['outcome']}: leave the annotation out."
                )
            return _input_text(found)
        story = _story(dataset, str(found["place"]), int(found["row"]))
    if not annotation:
        return "\n".join(_overview(story))
    if annotation not in story.said:
        raise unknown(f"annotation of image {story.image['image_id'][:8]}", annotation, story.said)
    return "\n".join([*_image_lines(story), "", *_chain(story, annotation)])


# --- finding the image ---------------------------------------------------------------------------


def _find(con: DuckDBPyConnection, name: str) -> dict[str, Any]:
    """The one input or image that goes by this name, with the file and row of its image."""
    rows: list[dict[str, Any]] = []
    if len(name) >= 4 and set(name.lower()) <= _HEX:
        rows = _rows(con, "SELECT image_id, uri FROM raw.images WHERE starts_with(image_id, ?)", name.lower())
    if not rows:
        rows = _rows(
            con,
            f"""SELECT DISTINCT ON (coalesce(image_id, uri)) image_id, uri, outcome, reason, error FROM inputs
               WHERE uri = $1 OR ends_with('/' || {_NAME}, '/' || $1)
                  OR regexp_replace(parse_filename({_NAME}), '[.][^.]*$', '') = $1""",
            name,
        )
    if not rows:
        raise ConfigError(f"No image '{name}' in this data set: {_nearest(con, name)}")
    if len(rows) > 1:
        told = ", ".join(sorted(f"{(row['image_id'] or '')[:12]} ({row['uri']})" for row in rows)[:4])
        more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
        raise ConfigError(f"'{name}' names {len(rows)} images: give more of the id or path of one of {told}{more}.")
    places = _rows(
        con, "SELECT filename AS place, file_row_number AS row FROM raw.images WHERE image_id = ?", rows[0]["image_id"]
    )
    return rows[0] | (places[0] if places else {"place": None, "row": -1})


def _nearest(con: DuckDBPyConnection, name: str) -> str:
    rows = _rows(
        con,
        f"""SELECT parse_filename({_NAME}) AS name FROM raw.inputs GROUP BY name
           ORDER BY jaro_winkler_similarity(lower(name), lower(parse_filename(?))) DESC, name LIMIT 3""",
        name,
    )
    names = ", ".join(str(row["name"]) for row in rows)
    return f"the nearest file names are {names}." if names else "it has no inputs yet."


def _rows(con: DuckDBPyConnection, sql: str, *values: Any) -> list[dict[str, Any]]:
    found = con.execute(sql, list(values))
    names = [str(column[0]) for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _input_text(found: Mapping[str, Any]) -> str:
    lines = [f"input {found['uri']}", f"  {found['outcome']}: "]
    if found["outcome"] == "quarantined":
        lines[1] += f"{found['reason']}: {found['error']}"
    else:
        lines[1] += "it was not looked at yet, or has no place among the images; the same 'engine run' again goes on."
    return "\n".join(lines)


# --- reading what is known of it -------------------------------------------------------------------


def _story(dataset: Dataset, place: str, row: int) -> Story:
    shard = next(shard for shard, path in dataset.files(IMAGES).items() if dataset.location(path) == place)
    story = Story(_row(dataset, dataset.files(IMAGES)[shard], row), shard)
    for node in dataset.nodes:
        path = dataset.files(node.folder).get(shard)
        if path is None or node.over == "texts":
            continue
        answer = _row(dataset, path, row)
        story.failures += [(node.name, failure) for failure in answer["failures"]]
        for column in ANNOTATIONS:
            for item in answer[column]:
                story.said.setdefault(item["id"], []).append(Said(node, column, item))
    for (_, changed), path in dataset.changes().items():
        if changed == shard:
            rows = TableReader(dataset.storage, path).read().to_pylist()
            story.changes += [row for row in rows if row["image_id"] == story.image["image_id"]]
    if path := dataset.judged_files().get(shard):
        story.same_as = read_surveyed(dataset.storage, dataset.surveyed).same_as(story.image["image_id"])
        verdicts = _row(dataset, path, row)
        story.verdict = verdicts["image"]
        story.verdicts = {verdict["id"]: verdict for column in ANNOTATIONS for verdict in verdicts[column]}
    return story


def _row(dataset: Dataset, path: str, row: int) -> dict[str, Any]:
    found: dict[str, Any] = TableReader(dataset.storage, path).slice(row, row + 1).to_pylist()[0]
    return found


# --- telling it --------------------------------------------------------------------------------------


def _image_lines(story: Story) -> list[str]:
    image = story.image
    sources = [f"{source['source']}: {source['uri']}" for source in image["sources"]]
    lines = [f"image {image['image_id']}"]
    lines += [f"  {'from' if not n else '':<10}{source}" for n, source in enumerate(sources)]
    lines.append(f"  {'size':<10}{image['width']} x {image['height']} {image['format']}, split {image['split']}")
    lines.append(f"  {'verdict':<10}{_fate(story.verdict, judged=story.verdict is not None)}")
    if story.same_as:
        lines.append(f"  {'same as':<10}image {story.same_as}")
    for node, failure in story.failures:
        lines.append(f"  {'failure':<10}{node}: {failure['reason']}: {failure['error']}")
    return lines


def _overview(story: Story) -> list[str]:
    """The image, then each annotation grouped by column: kept ones first, then by what dropped them."""
    lines = _image_lines(story)
    for column in ANNOTATIONS:
        names = [name for name in story.said if story.record(name).column == column]
        if not names:
            continue
        kept = sum(_rule(story, name) == "" for name in names)
        lines += ["", f"{column}: {len(names)} proposed" + (f", {kept} kept" if story.verdicts is not None else "")]
        names.sort(key=lambda name: _order(story, name))
        lines += [f"  {name:<{_width(names)}}{_what(story, name)}; {_fate_of(story, name)}" for name in names[:_SHOWN]]
        if len(names) > _SHOWN:
            lines.append(f"  and {len(names) - _SHOWN} more")
    return lines


def _width(names: Sequence[str]) -> int:
    return max(map(len, names)) + 2


def _order(story: Story, name: str) -> tuple[bool, bool, str, float]:
    rule = _rule(story, name)
    return bool(rule), rule == "merged", rule or "", -(story.record(name).item["score"] or 0.0)


def _rule(story: Story, name: str) -> str | None:
    """'' for kept, None for not judged or not part of the record."""
    verdict = (story.verdicts or {}).get(name)
    return None if verdict is None else str(verdict["rule"])


def _chain(story: Story, name: str) -> list[str]:
    said = story.record(name)
    lines = [f"{name}: {_what(story, name)}", *_proposed(story, name, "  ")]
    lines += list(_parents(story, name, "  ", {name}))
    lines += [f"  merged with  {other}: {_what(story, other)}" for other in _merged_here(story, name)]
    lines += [f"  changed in   {_change(one)}" for one in story.changes if name in (one["old"], one["new"])]
    if said.column == "regions":
        lines += list(_attached(story, name))
    lines.append(f"  verdict      {_fate_of(story, name)}")
    return lines + list(_because(story, name))


def _change(one: Mapping[str, Any]) -> str:
    """What a refinement round did, by which rule."""
    became = {"": "nothing"}.get(one["new"], one["new"])
    told = f"round {one['round']}: {one['old'] or 'nothing'} became {became}, {one['rule']}"
    return f"{told}, value {_number(one['value'])}, threshold {_number(one['threshold'])}"


def _proposed(story: Story, name: str, indent: str) -> list[str]:
    """By whom first, and who took it on."""
    said = story.said[name]
    first = next((one for one in said if one.node.name == one.item["producer"]), said[0])
    lines = [f"{indent}proposed by  {_node(first.node)}"]
    lines += [f"{indent}taken on by  {_node(other.node)}" for other in said if other is not first]
    return lines


def _node(node: CurrentNode) -> str:
    return f"node '{node.name}' ({node.component}, version {node.version}, key {node.key[:8]})"


def _parents(story: Story, name: str, indent: str, seen: set[str]) -> Iterator[str]:
    for parent in dict.fromkeys(_sources(story.record(name).item)):
        if parent in seen:
            continue
        seen.add(parent)
        if parent not in story.said:
            yield f"{indent}from         {parent}, which no current node holds"
            continue
        yield f"{indent}from         {parent}: {_what(story, parent)}"
        yield from _proposed(story, parent, indent + "  ")
        yield from _parents(story, parent, indent + "  ", seen)


def _sources(item: Mapping[str, Any]) -> list[str]:
    """What an annotation was made from, and what it speaks of."""
    named = [item.get("text_id", ""), item.get("region_id", ""), *item.get("region_ids", ())]
    return [name for name in (*item["parents"], *item.get("support", ()), *named) if name]


def _merged_here(story: Story, name: str) -> list[str]:
    """What was merged into it without being an outline: they are told apart from masks."""
    mine = set(_sources(story.record(name).item))
    return [
        other
        for other in story.said
        if (item := story.record(other).item).get("merged_into") == name and not item.get("rle") and other not in mine
    ]


def _attached(story: Story, name: str) -> Iterator[str]:
    own = story.record(name).item
    if own["rle"]:
        yield f"  mask         its own, {_area(story, own)}"
    for other in story.said:
        said = story.record(other)
        item = said.item
        outlines = said.column == "regions" and item["merged_into"] == name and item["rle"]
        if outlines and item["round"] >= own["round"]:  # a round told by itself which mask stays: its own
            yield f"  mask         {other}: {_area(story, item)}, by {_node(said.node)}"
        if said.column == "region_texts" and item["region_id"] == name:
            yield f"  described by {other}: {_what(story, other)}; {_fate_of(story, other)}"
        if said.column == "phrases" and name in item["region_ids"]:
            yield f"  named by     {other}: {_what(story, other)}; {_fate_of(story, other)}"


def _area(story: Story, item: Mapping[str, Any]) -> str:
    from engine.masks import area

    return f"{area(item['rle'], width=story.image['width'], height=story.image['height']):,} pixels"


def _because(story: Story, name: str) -> Iterator[str]:
    """What stands behind a verdict that only follows another one."""
    item, rule = story.record(name).item, _rule(story, name)
    if rule == "image_dropped":
        yield f"  because      the image is {_fate(story.verdict, judged=True)}"
    followed = {"merged": "merged_into", "text_dropped": "text_id", "region_dropped": "region_id"}.get(rule or "")
    seen = {name}
    while followed and (name := item.get(followed, "")) and name in story.said and name not in seen:
        seen.add(name)
        yield f"  because      {name} ({_what(story, name)}) is {_fate_of(story, name)}"
        item, followed = story.record(name).item, "merged_into"


def _what(story: Story, name: str) -> str:
    """An annotation in a few words."""
    said = story.record(name)
    item, column = said.item, said.column
    told = {
        "texts": lambda: f"{item['granularity']} text {_quote(item['text'])}",
        "regions": lambda: f"{item['kind']} {_quote(item['label'])} at {_box(item)}",
        "region_texts": lambda: f"{item['granularity']} {_quote(item['text'])} of {item['region_id']}",
        "phrases": lambda: f"phrase {_quote(_words(story, item))} of {item['text_id']}",
        "tags": lambda: f"tag {_quote(item['label'])}",
        "image_scores": lambda: f"{item['name']} {item['code'] or _number(item['value'])}",
    }[column]()
    score = "no score" if item["score"] is None else f"score {_number(item['score'])}"
    kind = f" ({item['score_kind']})" if item["score_kind"] else ""
    return f"{told}, {score}{kind}"


def _words(story: Story, phrase: Mapping[str, Any]) -> str:
    if phrase["text_id"] not in story.said:
        return ""
    text = str(story.record(phrase["text_id"]).item.get("text", ""))
    return text[phrase["char_start"] : phrase["char_end"]]


def _box(item: Mapping[str, Any]) -> str:
    return "[" + " ".join(f"{item[edge]:.1f}" for edge in ("x1", "y1", "x2", "y2")) + "]"


def _quote(text: str) -> str:
    short = text if len(text) <= 80 else text[:77] + "..."
    return "'" + " ".join(short.split()) + "'"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _fate_of(story: Story, name: str) -> str:
    said = story.record(name)
    if said.column not in said.node.columns:
        return "not part of the record: another node took its place"
    fate = _fate((story.verdicts or {}).get(name), judged=story.verdicts is not None)
    return f"merged into {said.item['merged_into']}" if _rule(story, name) == "merged" else fate


def _fate(verdict: Mapping[str, Any] | None, *, judged: bool) -> str:
    if verdict is None:
        return "without a verdict" if judged else "not judged yet"
    if verdict["kept"]:
        return "kept"
    if verdict["rule"] == "failed":
        return "quarantined: a component failed on it"
    told = f"dropped by {verdict['rule']}"
    if verdict["value"] is not None:
        told += f", value {_number(verdict['value'])}"
    return told if verdict["threshold"] is None else f"{told}, threshold {_number(verdict['threshold'])}"
