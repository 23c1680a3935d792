"""The text of `engine why`: first the verdict, then what the annotation was made from, then its image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from engine.reading.dataset import CurrentNode
from engine.running.terminal_text import one_line
from engine.schema import ANNOTATIONS
from filters.judging.apply_rules import PARENT_DROPPED, PARENT_RENAMED
from pipelines.explore.one_image import FoundInput, OneImage, Row

_LISTED = 40  # how many annotations of a column the overview of an image lists; the others are counted


def input_lines(found: FoundInput) -> list[str]:
    """The text for an input that is not an image of the data set."""
    reasons = {
        "quarantined": f"{one_line(found.reason)}: {one_line(found.error)}",
        "earlier": "its source does not list it any more.",
    }
    pending = "it is not read yet, or not yet assigned to a shard; run the same 'engine run' again."
    return [f"input {one_line(found.uri)}", f"  {found.outcome}: {reasons.get(found.outcome, pending)}"]


def _image_lines(image: OneImage) -> list[str]:
    """Lines about the image: its verdict, failures, pending nodes, sources and size."""
    row = image.row
    sources = [f"{one_line(source['source'])}: {one_line(source['uri'])}" for source in row["sources"]]
    lines = [f"image {row['image_id']}: {_fate(image.verdict, judged=image.verdict is not None)}"]
    if image.same_as:
        *between, kept = image.same_as
        lines.append(f"  {'same as':<10}image {kept}" + (f", by way of {', '.join(between)}" if between else ""))
    for node, failure in image.failures:
        lines.append(f"  {'failure':<10}{node}: {one_line(failure['reason'])}: {one_line(failure['error'])}")
    if image.unfinished:
        nodes = ", ".join(image.unfinished)
        lines.append(f"  {'pending':<10}{nodes} not done yet: run the same 'engine run' again")
    lines += [f"  {'from' if not n else '':<10}{source}" for n, source in enumerate(sources)]
    return [*lines, f"  {'size':<10}{row['width']} x {row['height']} {row['format']}, split {row['split']}"]


def overview_lines(image: OneImage) -> list[str]:
    """Lines about the image, then the annotations of each column: kept ones first, then dropped ones by rule."""
    lines = _image_lines(image)
    for column in ANNOTATIONS:
        names = [name for name in image.annotations if image.annotation(name).column == column]
        if not names:
            continue
        kept = sum(_rule(image, name) == "" for name in names)
        lines += ["", f"{column}: {len(names)} proposed" + (f", {kept} kept" if image.verdicts is not None else "")]
        names.sort(key=lambda name: _order(image, name))
        lines += [f"  {name:<{_width(names)}}{_what(image, name)}; {_fate_of(image, name)}" for name in names[:_LISTED]]
        if len(names) > _LISTED:
            lines.append(f"  and {len(names) - _LISTED} more")
    return lines


def _width(names: Sequence[str]) -> int:
    return max(map(len, names)) + 2


def _order(image: OneImage, name: str) -> tuple[bool, bool, str, float]:
    rule = _rule(image, name)
    return bool(rule), rule == "merged", rule or "", -(image.annotation(name).item["score"] or 0.0)


def _rule(image: OneImage, name: str) -> str | None:
    """The rule that dropped the annotation. '' if it is kept, None if it is not judged or not part of the record."""
    verdict = (image.verdicts or {}).get(name)
    return None if verdict is None else str(verdict["rule"])


def annotation_lines(image: OneImage, name: str, depth: int) -> list[str]:
    """Lines about an annotation: its verdict, what it is, what it was made from (`depth` steps back), and its image."""
    seen = {name}
    lines = [f"{name}: {_fate_of(image, name)}", *_because(image, name)]
    lines += [f"  it is        {_what(image, name)}", *_proposed(image, name, "  ")]
    lines += list(_parents(image, name, "  ", seen, depth))
    lines += [f"  merged with  {other}: {_what(image, other)}" for other in _merged_here(image, name)]
    lines += [f"  changed in   {_change(one)}" for one in image.changes if name in (one["old"], one["new"])]
    if image.annotation(name).column == "regions":
        lines += list(_attached(image, name))
    if further := _behind(image, seen):
        lines.append(f"  further      {further} more annotations behind these: --depth {depth + 1} shows them")
    return [*lines, "", *_image_lines(image)]


def _behind(image: OneImage, seen: Collection[str]) -> int:
    """The number of further annotations that those in `seen` were made from, directly or indirectly."""
    found, open_ = set(seen), list(seen)
    while open_:
        name = open_.pop()
        parents = (
            [parent for parent in _sources(image.annotation(name).item) if parent in image.annotations]
            if name in image.annotations
            else []
        )
        new = set(parents) - found
        found |= new
        open_ += new
    return len(found) - len(seen)


def _change(one: Row) -> str:
    """One change by a refinement round, with the rule that made it."""
    change = f"round {one['round']}: {one['old'] or 'nothing'} became {one['new'] or 'nothing'}, {one['rule']}"
    return f"{change}, value {_number(one['value'])}, threshold {_number(one['threshold'])}"


def _proposed(image: OneImage, name: str, indent: str) -> list[str]:
    """Lines that name the node that proposed the annotation, then the nodes that wrote it again."""
    written = image.annotations[name]
    first = next((one for one in written if one.node.name == one.item["producer"]), written[0])
    lines = [f"{indent}proposed by  {_node(first.node)}"]
    lines += [f"{indent}taken on by  {_node(other.node)}" for other in written if other is not first]
    return lines


def _node(node: CurrentNode) -> str:
    return f"node '{node.name}' ({node.component}, version {node.version}, key {node.key[:8]})"


def _parents(image: OneImage, name: str, indent: str, seen: set[str], depth: int) -> Iterator[str]:
    if not depth:
        return
    for parent in dict.fromkeys(_sources(image.annotation(name).item)):
        if parent in seen:
            continue
        seen.add(parent)
        if parent not in image.annotations:
            yield f"{indent}from         {parent}, which no current node has"
            continue
        yield f"{indent}from         {parent}: {_what(image, parent)}"
        yield from _proposed(image, parent, indent + "  ")
        yield from _parents(image, parent, indent + "  ", seen, depth - 1)


def _sources(item: Row) -> list[str]:
    """Ids of the annotations that this one was made from, or refers to."""
    named = [item.get("text_id", ""), item.get("region_id", ""), *item.get("region_ids", ())]
    return [name for name in (*item["parents"], *item.get("support", ()), *named) if name]


def _merged_here(image: OneImage, name: str) -> list[str]:
    """Ids of the candidates that were merged into this region. Masks and the region's named sources are left out."""
    mine = set(_sources(image.annotation(name).item))
    return [
        other
        for other in image.annotations
        if (item := image.annotation(other).item).get("merged_into") == name
        and not item.get("rle")
        and other not in mine
    ]


def _attached(image: OneImage, name: str) -> Iterator[str]:
    """Lines about the masks, region texts and phrases of a region."""
    own = image.annotation(name).item
    if own["rle"]:
        yield f"  mask         its own, {_area(image, own)}"
    for other in image.annotations:
        written = image.annotation(other)
        item = written.item
        outlines = written.column == "regions" and item["merged_into"] == name and item["rle"]
        if outlines and item["round"] >= own["round"]:  # a region of a later round has a mask of its own, or none
            yield f"  mask         {other}: {_area(image, item)}, by {_node(written.node)}"
        if written.column == "region_texts" and item["region_id"] == name:
            yield f"  described by {other}: {_what(image, other)}; {_fate_of(image, other)}"
        if written.column == "phrases" and name in item["region_ids"]:
            yield f"  named by     {other}: {_what(image, other)}; {_fate_of(image, other)}"


def _area(image: OneImage, item: Row) -> str:
    from engine.records.masks import area

    return f"{area(item['rle'], width=image.row['width'], height=image.row['height']):,} pixels"


def _because(image: OneImage, name: str) -> Iterator[str]:
    """Lines about the other verdicts from which this annotation's verdict follows, if there are any."""
    item, rule = image.annotation(name).item, _rule(image, name)
    if rule == "image_dropped":
        yield f"  because      the image is {_fate(image.verdict, judged=True)}"
    if rule in (PARENT_DROPPED, PARENT_RENAMED):
        yield from _because_of_parents(image, name)
    followed = {"merged": "merged_into", "text_dropped": "text_id", "region_dropped": "region_id"}.get(rule or "")
    seen = {name}
    while followed and (name := item.get(followed, "")) and name in image.annotations and name not in seen:
        seen.add(name)
        yield f"  because      {name} ({_what(image, name)}) is {_fate_of(image, name)}"
        item, followed = image.annotation(name).item, "merged_into"


def _because_of_parents(image: OneImage, name: str) -> Iterator[str]:
    """Lines about the parents that were dropped or merged. `engine why` on a parent shows what became of it."""
    for parent in image.annotation(name).item["parents"]:
        if parent in image.annotations and _rule(image, parent):
            yield f"  because      {parent} ({_what(image, parent)}) is {_fate_of(image, parent)}"


def _what(image: OneImage, name: str) -> str:
    """The annotation in a few words."""
    written = image.annotation(name)
    item, column = written.item, written.column
    words = {
        "texts": lambda: f"{item['granularity']} text {_quote(item['text'])}",
        "regions": lambda: f"{item['kind']} {_quote(item['label'])} at {_box(item)}",
        "region_texts": lambda: f"{item['granularity']} {_quote(item['text'])} of {item['region_id']}",
        "phrases": lambda: f"phrase {_quote(_words(image, item))} of {item['text_id']}",
        "tags": lambda: f"tag {_quote(item['label'])}",
        "image_scores": lambda: f"{item['name']} {item['code'] or _number(item['value'])}",
    }[column]()
    score = "no score" if item["score"] is None else f"score {_number(item['score'])}"
    kind = f" ({item['score_kind']})" if item["score_kind"] else ""
    return f"{words}, {score}{kind}"


def _words(image: OneImage, phrase: Row) -> str:
    if phrase["text_id"] not in image.annotations:
        return ""
    text = str(image.annotation(phrase["text_id"]).item.get("text", ""))
    return text[phrase["char_start"] : phrase["char_end"]]


def _box(item: Row) -> str:
    return "[" + " ".join(f"{item[edge]:.1f}" for edge in ("x1", "y1", "x2", "y2")) + "]"


def _quote(text: str) -> str:
    short = text if len(text) <= 80 else text[:77] + "..."
    return "'" + one_line(" ".join(short.split())) + "'"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _fate_of(image: OneImage, name: str) -> str:
    written = image.annotation(name)
    if written.column not in written.node.columns:
        return "not part of the record: another node replaced it"
    fate = _fate((image.verdicts or {}).get(name), judged=image.verdicts is not None)
    return f"merged into {written.item['merged_into']}" if _rule(image, name) == "merged" else fate


def _fate(verdict: Row | None, *, judged: bool) -> str:
    if verdict is None:
        return "without a verdict" if judged else "not judged yet"
    if verdict["kept"]:
        return "kept"
    if verdict["rule"] == "failed":
        return "quarantined: a component failed on it"
    text = f"dropped by {verdict['rule']}"
    if verdict["value"] is not None:
        text += f", value {_number(verdict['value'])}"
    return text if verdict["threshold"] is None else f"{text}, threshold {_number(verdict['threshold'])}"
