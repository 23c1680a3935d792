"""Whether each pair of a release asks what its task asks, and its target says what its record says.

Of what compiled the pairs nothing is used but the locations of a point and the outline of a mask: targets are parsed,
and compared with the annotations of the record by the ids that a pair names. Regions are equal where all their
locations are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from engine.errors import EngineError
from engine.layout import PAIR_FILES, SAMPLE_FILES
from engine.schema import ANNOTATIONS
from model.pairs.locations import location_tokens
from model.pairs.pair import PAIRS, estimated_tokens
from model.pairs.parsing import ParsedRegion, parse_target
from model.pairs.polygons import outline
from model.pairs.tasks import AND, TASKS, Task, input_of
from pipelines.emit.pairs import PAIR

Row = Mapping[str, Any]

# What a target says of one region: its label, and its shape as locations.
Saying = tuple[str, str]


class PairReading:
    """Reads pairs-*.parquet shard by shard; `faults` takes sentences, `proven` and `truncated` count what holds."""

    def __init__(self, folder: Path, manifest: Row, faults: list[str]) -> None:
        self.folder, self.manifest, self.faults = folder, manifest, faults
        self.files = {file["name"] for file in manifest["files"]}
        self.max_points = manifest["recipe"].get("emit", {}).get("pairs", {}).get("max_points", 50)
        self.proven: Counter[str] = Counter()
        self.truncated = 0

    def read(self, stem: str, samples: Sequence[Row] | None, rows: Sequence[Row] | None) -> int:
        """How many pairs the shard `stem` ("train-00000") has; its tar and its table were read, or could not be."""
        name = f"{stem.replace(SAMPLE_FILES, PAIR_FILES, 1)}.parquet"
        table = (
            pq.read_table(self.folder / name, page_checksum_verification=True)
            if name in self.files
            else PAIRS.empty_table()
        )
        if not table.schema.equals(PAIRS):
            raise ValueError("its columns are not those of pairs")
        pairs: dict[str, list[Row]] = {}
        for pair in table.to_pylist():
            pairs.setdefault(pair["image_id"], []).append(pair)
        for sample in samples or ():
            own = [{name: pair[name] for name in PAIR.names} for pair in pairs.get(sample["image_id"], ())]
            if own != sample["pairs"]:
                self.faults.append(f"{sample['image_id']} has other pairs in its json than in {name}")
        places = {row["image_id"]: row for row in rows or ()}
        for record in samples or rows or ():
            for pair in pairs.pop(record["image_id"], ()):
                self._judge(record, pair, places.get(record["image_id"]))
        self.faults += [f"{name} has pairs of {image}, which is not in {stem}" for image in pairs]
        return int(table.num_rows)

    def _judge(self, record: Row, pair: Row, place: Row | None) -> None:
        fault = pair_fault(record, pair, self.max_points) or _place_fault(pair, place)
        if fault:
            self.faults.append(f"{record['image_id']}: {pair['task']} {fault}")
        else:
            self.proven[pair["task"]] += 1
            self.truncated += pair["truncated"]

    def count(self) -> None:
        """After the last shard: whether as many are proven as the manifest says."""
        said = self.manifest["pairs"]["proven"]
        for task in sorted({*self.proven, *said}):
            if self.proven[task] != said.get(task, 0):
                self.faults.append(f"{self.proven[task]} pairs of {task} hold, the manifest says {said.get(task, 0)}")
        if self.truncated != self.manifest["pairs"]["truncated"]:
            due = self.manifest["pairs"]["truncated"]
            self.faults.append(f"{self.truncated} pairs are truncated, the manifest says {due}")


def _place_fault(pair: Row, place: Row | None) -> str:
    if place is None:
        return ""  # the table could not be read, which is told by its own check
    due = {"uri": place["tar"]} | {name: place[name] for name in ("offset", "length", "width", "height", "split")}
    other = [name for name, value in due.items() if pair[name] != value]
    return f"has another {', '.join(other)} than its record" if other else ""


def pair_fault(record: Row, pair: Row, max_points: int = 50) -> str:
    """What is wrong with a pair (a row of PAIRS), as the end of a sentence; '' if nothing is."""
    if pair["task"] not in TASKS:
        return "is no task"
    if pair["tokens"] != estimated_tokens(pair["target"]):
        return f"is said to be {pair['tokens']} tokens, and is {estimated_tokens(pair['target'])}"
    try:
        given = input_of(pair["task"], pair["prompt"])
        return _answer_fault(_Asked(record, pair, given, max_points))
    except ValueError as error:
        return f"asks otherwise than its task does: {error}"
    except KeyError as error:
        return f"is of the annotation {error}, which it does not name or which is not there"


def _answer_fault(asked: _Asked) -> str:
    record, pair = asked.record, asked.pair
    parsed = parse_target(pair["task"], pair["target"], width=record["width"], height=record["height"])
    if parsed.faults:
        fault = parsed.faults[0]
        return f"has a target that does not parse, {fault.reason} at {fault.start}: '{pair['target'][:80]}'"
    if TASKS[pair["task"]].form == "text":
        return "" if parsed.text in asked.texts() else f"answers '{parsed.text[:80]}', and its annotations do not"
    found, due = Counter(map(asked.read, parsed.regions)), Counter(asked.sayings())
    return _difference(found, due, truncated=pair["truncated"]) or asked.prompt_fault(parsed.regions)


def _difference(found: Counter[Saying], due: Counter[Saying], *, truncated: bool) -> str:
    """Of a truncated one regions are missing, or the last parts of its only outline."""
    for label, shape in found - due:
        cut = truncated and any(other == label and whole.startswith(f"{shape}<sep>") for other, whole in due)
        if not cut:
            return f"says '{label}{shape[:80]}', and its annotations do not"
    lacking = due - found
    return f"lacks '{next(iter(lacking))[0]}' of its annotations" if lacking and not (truncated and found) else ""


@dataclass(slots=True)
class _Asked:
    """What a pair is made of, looked up in its record. KeyError for an id that is not there."""

    record: Row
    pair: Row
    given: str
    max_points: int
    task: Task = field(init=False)
    named: dict[str, dict[str, Row]] = field(init=False)

    def __post_init__(self) -> None:
        self.task = TASKS[self.pair["task"]]
        there = {item["id"]: (name, item) for name in ANNOTATIONS for item in self.record[name]}
        self.named = {name: {} for name in ANNOTATIONS}
        for annotation in self.pair["annotation_ids"]:
            name, item = there[annotation]
            self.named[name][annotation] = item

    def texts(self) -> Iterator[str]:
        """What a text task may answer."""
        if self.task.reads == "texts":
            texts = self.named["texts"].values()
            yield from (one["text"] for one in texts if one["granularity"] == self.task.granularity)
        elif self.task.input != "region":
            lines = sorted(self._region_texts(), key=lambda line: (line[0]["y1"], line[0]["x1"]))
            yield "\n".join(text for _, text in lines)
        elif self.task.reads == "labels":
            yield from (one["label"] for one in self._given_regions())
        else:
            given = [one["id"] for one in self._given_regions()]
            yield from (text for one, text in self._region_texts() if one["id"] in given)

    def sayings(self) -> Iterator[Saying]:
        """What the annotations say of regions, in the words of the task."""
        regions = self.named["regions"].values()
        match self.task.reads:
            case "labels":
                yield from ((one["label"], self._box(one)) for one in regions)
            case "boxes":
                yield from (("", self._box(one)) for one in regions)
            case "descriptions":
                yield from ((text, self._box(one)) for one, text in self._region_texts())
            case "printed":
                yield from ((text, self._quad(one)) for one, text in self._region_texts())
            case "phrases":
                yield from self._grounded()
            case "masks":
                yield from (("", self._outline(one)) for one in self._given_regions())
            case "masks_of_names":
                yield from (("", self._outline(one)) for one in regions)
            case _:
                yield from ((self._name_of(one), self._shape(one)) for one in regions)

    def read(self, found: ParsedRegion) -> Saying:
        """The same of what was parsed."""
        size = (self.record["width"], self.record["height"])
        if found.polygons:
            return found.label, "<sep>".join(location_tokens(part, *size) for part in found.polygons)
        return found.label, location_tokens(found.quad or found.box or (), *size)

    def prompt_fault(self, found: Sequence[ParsedRegion]) -> str:
        """Whether what was given is what the annotations call it."""
        if self.task.input not in ("caption", "names"):
            return ""
        if self.task.input == "caption":
            due = {one["text"] for one in self.named["texts"].values()}
            return "" if self.given in due else f"asks of '{self.given[:80]}', which is not its text"
        names = set(self.given.split(AND))
        said = {one.label for one in found if one.label} or {
            self._name_of(one) for one in self.named["regions"].values()
        }
        return "" if names == said else f"asks for {sorted(names)}, and its annotations are {sorted(said)}"

    def _given_regions(self) -> list[Row]:
        """Those whose box is the one the prompt asks of."""
        return [one for one in self.named["regions"].values() if self._box(one) == self.given]

    def _region_texts(self) -> list[tuple[Row, str]]:
        own = [one for one in self.named["region_texts"].values() if one["granularity"] == self.task.granularity]
        return [(self.named["regions"][one["region_id"]], one["text"]) for one in own]

    def _grounded(self) -> Iterator[Saying]:
        texts, spans = self.named["texts"], set()
        for phrase in self.named["phrases"].values():
            for region in phrase["region_ids"]:
                if region in self.named["regions"]:
                    spans.add((phrase["text_id"], phrase["char_start"], phrase["char_end"], region))
        for text, start, end, region in spans:
            yield texts[text]["text"][start:end], self._box(self.named["regions"][region])

    def _name_of(self, region: Row) -> str:
        """A phrase where the pair is made of one, else the label."""
        texts = {one["id"]: one["text"] for one in self.record["texts"]}
        for phrase in self.named["phrases"].values():
            if region["id"] in phrase["region_ids"]:
                words: str = texts[phrase["text_id"]][phrase["char_start"] : phrase["char_end"]]
                return words
        label: str = region["label"]
        return label

    def _box(self, region: Row) -> str:
        corners = [region[name] for name in ("x1", "y1", "x2", "y2")]
        return location_tokens(corners, self.record["width"], self.record["height"])

    def _quad(self, region: Row) -> str:
        x1, y1, x2, y2 = (region[name] for name in ("x1", "y1", "x2", "y2"))
        corners = region["quad"] or [x1, y1, x2, y1, x2, y2, x1, y2]
        return location_tokens(corners, self.record["width"], self.record["height"])

    def _shape(self, region: Row) -> str:
        """Of an open vocabulary: an outline where the target has one for it."""
        outlined = region["rle"] and "<poly>" in self.pair["target"]
        return (self._outline(region) if outlined else "") or self._box(region)

    def _outline(self, region: Row) -> str:
        size = {"width": self.record["width"], "height": self.record["height"]}
        try:
            parts = outline(region["rle"], max_points=self.max_points, **size)
        except EngineError:
            parts = []
        return "<sep>".join(location_tokens(part, **size) for part in parts)
