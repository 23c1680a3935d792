"""Why an annotation is there and why it was kept or dropped: the verdict, then the chain, as text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from engine.errors import ConfigError, unknown
from engine.reading.dataset import CurrentNode, Dataset
from engine.reading.sql import connect
from engine.running.terminal_text import shown
from engine.schema import ANNOTATIONS
from filters.judging.apply_rules import PARENT_DROPPED, PARENT_RENAMED
from pipelines.explore.one_image import Story, find, read_story

_SHOWN = 40  # annotations of a column in the overview of an image; the others are counted


def why(dataset: Dataset, image: str, annotation: str | None = None, *, depth: int = 1) -> str:
    """`image`: an id or the beginning of one, a uri, or a file name. ConfigError if that is nothing, or several.

    `depth`: how far back the chain is told: 1 is what an annotation was made from, 2 also what that was made from.
    """
    if depth < 0:
        raise ConfigError(f"A depth of {depth} is none: give 0 or more.")
    with connect(dataset) as con:
        found = find(con, image)
        if not found.get("image_id") or found["place"] is None:
            if annotation:
                raise ConfigError(
                    f"'{found['uri']}' has no annotations, it is {found['outcome']}: leave the annotation out."
                )
            return _input_text(found)
        story = read_story(dataset, str(found["place"]), int(found["row"]))
    if not annotation:
        return "\n".join(_overview(story))
    if annotation not in story.said:
        raise unknown(f"annotation of image {story.image['image_id'][:8]}", annotation, story.said)
    return "\n".join([*_chain(story, annotation, depth), "", *_image_lines(story)])


def _input_text(found: Mapping[str, Any]) -> str:
    reasons = {
        "quarantined": f"{shown(found['reason'])}: {shown(found['error'])}",
        "earlier": "its source does not give it any more.",
    }
    waits = "it was not looked at yet, or has no place among the images; the same 'engine run' again goes on."
    return f"input {shown(found['uri'])}\n  {found['outcome']}: {reasons.get(found['outcome'], waits)}"


# --- telling it --------------------------------------------------------------------------------------


def _image_lines(story: Story) -> list[str]:
    """The verdict first, then where it came from and what happened to it."""
    image = story.image
    sources = [f"{shown(source['source'])}: {shown(source['uri'])}" for source in image["sources"]]
    lines = [f"image {image['image_id']}: {_fate(story.verdict, judged=story.verdict is not None)}"]
    if story.same_as:
        lines.append(f"  {'same as':<10}image {story.same_as}")
    for node, failure in story.failures:
        lines.append(f"  {'failure':<10}{node}: {shown(failure['reason'])}: {shown(failure['error'])}")
    if story.waiting:
        lines.append(f"  {'pending':<10}{', '.join(story.waiting)} not done yet: the same 'engine run' again goes on")
    lines += [f"  {'from' if not n else '':<10}{source}" for n, source in enumerate(sources)]
    return [*lines, f"  {'size':<10}{image['width']} x {image['height']} {image['format']}, split {image['split']}"]


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


def _chain(story: Story, name: str, depth: int) -> list[str]:
    said, seen = story.record(name), {name}
    lines = [f"{name}: {_fate_of(story, name)}", *_because(story, name)]
    lines += [f"  it is        {_what(story, name)}", *_proposed(story, name, "  ")]
    lines += list(_parents(story, name, "  ", seen, depth))
    lines += [f"  merged with  {other}: {_what(story, other)}" for other in _merged_here(story, name)]
    lines += [f"  changed in   {_change(one)}" for one in story.changes if name in (one["old"], one["new"])]
    if said.column == "regions":
        lines += list(_attached(story, name))
    if further := _behind(story, seen):
        lines.append(f"  further      {further} more annotations lie behind these: --depth {depth + 1} tells of them")
    return lines


def _behind(story: Story, seen: Collection[str]) -> int:
    """How many annotations the ones told of were made from are not told of."""
    found, open_ = set(seen), list(seen)
    while open_:
        name = open_.pop()
        parents = (
            [parent for parent in _sources(story.record(name).item) if parent in story.said]
            if name in story.said
            else []
        )
        new = set(parents) - found
        found |= new
        open_ += new
    return len(found) - len(seen)


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


def _parents(story: Story, name: str, indent: str, seen: set[str], depth: int) -> Iterator[str]:
    if not depth:
        return
    for parent in dict.fromkeys(_sources(story.record(name).item)):
        if parent in seen:
            continue
        seen.add(parent)
        if parent not in story.said:
            yield f"{indent}from         {parent}, which no current node holds"
            continue
        yield f"{indent}from         {parent}: {_what(story, parent)}"
        yield from _proposed(story, parent, indent + "  ")
        yield from _parents(story, parent, indent + "  ", seen, depth - 1)


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
    from engine.records.masks import area

    return f"{area(item['rle'], width=story.image['width'], height=story.image['height']):,} pixels"


def _because(story: Story, name: str) -> Iterator[str]:
    """What stands behind a verdict that only follows another one."""
    item, rule = story.record(name).item, _rule(story, name)
    if rule == "image_dropped":
        yield f"  because      the image is {_fate(story.verdict, judged=True)}"
    if rule in (PARENT_DROPPED, PARENT_RENAMED):
        yield from _because_of_parents(story, name)
    followed = {"merged": "merged_into", "text_dropped": "text_id", "region_dropped": "region_id"}.get(rule or "")
    seen = {name}
    while followed and (name := item.get(followed, "")) and name in story.said and name not in seen:
        seen.add(name)
        yield f"  because      {name} ({_what(story, name)}) is {_fate_of(story, name)}"
        item, followed = story.record(name).item, "merged_into"


def _because_of_parents(story: Story, name: str) -> Iterator[str]:
    """Those that are dropped, or were merged into something; what they became is told of each by `engine why`."""
    for parent in story.record(name).item["parents"]:
        if parent in story.said and _rule(story, parent):
            yield f"  because      {parent} ({_what(story, parent)}) is {_fate_of(story, parent)}"


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
    return "'" + shown(" ".join(short.split())) + "'"


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
