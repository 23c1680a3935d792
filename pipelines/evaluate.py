"""How good the labels are: every node that sees, reads, writes or grounds, and what is kept of all, against truth.

Every figure comes with the interval that 95 % of resampled sets of images fall in: with few images it is wide, and
that is the first thing to read. Nothing here changes the data set; `fit` adds one small file to it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.calibration import Calibration
from engine.columns import assemble
from engine.dataset import CurrentNode, Dataset
from engine.errors import ConfigError
from engine.graph import IMAGES
from engine.pairs import iou_pairs, suppress
from engine.schema import RECORD, Chunk, Region, record_table
from engine.shards import TableReader
from filters.chain import keep
from model.evaluate.boxes import measure_boxes
from model.evaluate.calibration import Point, calibration_error, calibration_errors, fit_isotonic, reliability
from model.evaluate.detections import Detection
from model.evaluate.grounding import GroundedPhrase, measure_grounding
from model.evaluate.matching import scored
from model.evaluate.resampling import interval, resamples
from model.evaluate.texts import measure_captions
from model.evaluate.words import Line, measure_words
from pipelines.truth import Row, Truths, box_of
from specialists.label_grounder import all_names, folded, named

KEPT = "kept"
FOLDER = "calibration"
NMS_IOU = 0.5

Rows = dict[str, Row]  # by image id, each with all annotation columns


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: of what (boxes, masks, captions, words, grounding), of whom, and its interval; NaN where unknown."""

    part: str
    of: str
    name: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    count: int = 0  # boxes, texts, words or phrases it is about


@dataclass(slots=True)
class Evaluation:
    truth: str
    images: int
    human: int = 0  # of them: images whose own labels are part of what is measured
    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, list[Point]] = field(default_factory=dict)  # reliability, by producer

    def as_json(self) -> str:
        content = {
            "truth": self.truth,
            "images": self.images,
            "images_with_human_labels": self.human,
            "figures": [asdict(figure) for figure in self.figures],
            "reliability": {name: [asdict(point) for point in curve] for name, curve in self.curves.items()},
        }
        return json.dumps(_plain(content), indent=1)


class _Measure(Protocol):
    @property
    def figures(self) -> dict[str, float]: ...

    def resampled(self, counts: npt.NDArray[np.int64]) -> Mapping[str, npt.NDArray[np.float64]]: ...


def evaluate(dataset: Dataset, truth: Truths) -> Evaluation:
    """Each node's own answer, then what the rules kept. Images that are not annotated yet count as missed."""
    wanted = truth.images()
    answer = Evaluation(truth.told, len(wanted))
    sets = {
        node.name: (node, rows)
        for node, rows in _answers(dataset, wanted)
        if node.component != "human"  # who measures people by what people said?
    }
    given, kept = _records(dataset, wanted)
    answer.human = sum(any(region["score"] is None for region in row["regions"]) for row in given.values())
    for name, (node, rows) in sets.items():
        if {"boxes", "regions"} & set(node.gives):
            _boxes(answer, name, truth, _regions(rows, node))
    _boxes(answer, KEPT, truth, _regions(kept))
    _masks(answer, truth, _regions(kept))
    for part, kind, measure in _OTHERS:
        for name, (node, rows) in sets.items():
            if kind in node.gives:
                measure(answer, part, name, truth, _with_what_it_names(rows, given) if kind == "phrases" else rows)
        measure(answer, part, KEPT, truth, kept)
    return answer


# --- reading ------------------------------------------------------------------------------------


def _answers(dataset: Dataset, wanted: set[str]) -> Iterator[tuple[CurrentNode, Rows]]:
    for node in dataset.nodes:
        if node.over == "images":
            paths = dataset.files(node.folder).values()
            tables = [_only(TableReader(dataset.storage, path).read(), wanted) for path in paths]
            yield node, {row["image_id"]: row for table in tables for row in table.to_pylist()}


def _only(table: pa.Table, wanted: set[str]) -> pa.Table:
    return table.filter(pc.is_in(table["image_id"], value_set=pa.array(sorted(wanted), pa.string())))


def _records(dataset: Dataset, wanted: set[str]) -> tuple[Rows, Rows]:
    """(everything given, what the current rules kept), shard by shard; masks are part of the regions they outline."""
    given: Rows = {}
    kept: Rows = {}
    judged = dataset.judged_files()
    for shard, path in dataset.files(IMAGES).items():
        ids = TableReader(dataset.storage, path, ["image_id"]).read()
        files = [(dataset.files(node.folder).get(shard), node.columns) for node in dataset.record_nodes()]
        if not len(_only(ids, wanted)) or not files or any(file is None for file, _ in files):
            continue
        record = assemble([_columns(TableReader(dataset.storage, file).read(), names) for file, names in files if file])
        given |= {row["image_id"]: row for row in _only(record, wanted).to_pylist()}
        if shard in judged:
            rows = keep(record, TableReader(dataset.storage, judged[shard]).read())
            kept |= {row["image_id"]: row for row in _only(rows, wanted).to_pylist()}
    return given, kept


def _with_what_it_names(rows: Rows, given: Rows) -> Rows:
    """Phrases with the texts they are part of and the regions they name, which are other nodes'."""
    return {
        image_id: {**given[image_id], "phrases": row["phrases"]} for image_id, row in rows.items() if image_id in given
    }


def _columns(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The table with every other annotation column emptied."""
    blank = record_table([{"image_id": image_id} for image_id in table["image_id"].to_pylist()])
    arrays = [table[name] if name in (*columns, "image_id", "failures") else blank[name] for name in RECORD.names]
    return pa.Table.from_arrays(arrays, schema=RECORD)


def _regions(rows: Rows, node: CurrentNode | None = None) -> dict[str, list[Detection]]:
    """Objects. Of a detector all its boxes; of what merges them those that were not merged into another."""
    detector = node is not None and "regions" not in node.gives
    return {
        image_id: [
            Detection(r["label"], box_of(r), 1.0 if r["score"] is None else r["score"], r["rle"])
            for r in row["regions"]
            if r["kind"] == "object" and (detector or not r["merged_into"])
        ]
        for image_id, row in rows.items()
    }


# --- measuring ----------------------------------------------------------------------------------


_BOX_FIGURES = ("AP", "AP50", "AP75", "AR100")
_Found = TypeVar("_Found")


def _add(
    answer: Evaluation, part: str, of: str, measure: _Measure, count: int, images: int, names: Sequence[str] = ()
) -> None:
    """`count`: what was measured; `images`: how many have truth of this kind, of which resamples are drawn."""
    drawn = measure.resampled(resamples(images))
    for name in names or measure.figures:
        bounds = interval(drawn[name]) if name in drawn else (float("nan"), float("nan"))
        answer.figures.append(Figure(part, of, name, measure.figures[name], *bounds, count))


def _asked(found: Mapping[str, _Found], truth: Mapping[str, object]) -> dict[str, _Found]:
    """What was found in images of which people were asked."""
    return {image_id: one for image_id, one in found.items() if image_id in truth}


def _boxes(answer: Evaluation, name: str, truth: Truths, all_found: Mapping[str, list[Detection]]) -> None:
    if not any(len(image.objects) for image in truth.objects.values()):
        return
    found = _asked(all_found, truth.objects)
    count, images = sum(map(len, found.values())), len(truth.objects)
    _add(answer, "boxes", name, measure_boxes(truth.objects, found), count, images, _BOX_FIGURES)
    best = without_duplicates(found)
    scores, right, image = scored(truth.objects, best)
    if len(scores):
        errors = calibration_errors(scores, right, image, resamples(images))
        ece = Figure("boxes", name, "ECE", calibration_error(scores, right), *interval(errors), len(scores))
        answer.figures.append(ece)
        answer.curves[name] = reliability(scores, right)


def _masks(answer: Evaluation, truth: Truths, all_found: Mapping[str, list[Detection]]) -> None:
    found = _asked(all_found, truth.objects)
    outlined = any(thing.rle for image in truth.objects.values() for thing in image.objects)
    count = sum(bool(one.rle) for some in found.values() for one in some)
    if outlined and count:
        measure = measure_boxes(truth.objects, found, masks=True)
        _add(answer, "masks", KEPT, measure, count, len(truth.objects), _BOX_FIGURES)


def _captions(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    if not any(truth.captions.values()):
        return
    said = {}
    for image_id, row in _asked(rows, truth.captions).items():
        brief = [text["text"] for text in row["texts"] if text["granularity"] == "brief" and text["score"] is not None]
        if brief and truth.captions[image_id]:
            said[image_id] = brief[0]
    measure = measure_captions(truth.captions, said)
    _add(answer, part, name, measure, measure.answered, sum(map(bool, truth.captions.values())))


def _words(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    if not any(truth.words.values()):
        return
    read = {}
    for image_id, row in _asked(rows, truth.words).items():
        boxes = {region["id"]: box_of(region) for region in row["regions"] if region["kind"] == "text"}
        read[image_id] = [
            Line(t["text"], boxes[t["region_id"]]) for t in row["region_texts"] if t["region_id"] in boxes
        ]
    measure = measure_words(truth.words, read)
    _add(answer, part, name, measure, measure.read, len(truth.words))


def _grounding(answer: Evaluation, part: str, name: str, truth: Truths, rows: Rows) -> None:
    """Phrases that name the label of a true object, by the names and synonyms the label grounder knows."""
    place = {image_id: number for number, image_id in enumerate(sorted(truth.objects))}
    phrases = [
        phrase
        for image_id, row in _asked(rows, truth.objects).items()
        for phrase in _named_phrases(truth, image_id, row, place[image_id])
    ]
    if phrases:
        measure = measure_grounding(phrases)
        _add(answer, part, name, measure, measure.phrases, len(truth.objects))


def _named_phrases(truth: Truths, image_id: str, row: Row, place: int) -> Iterator[GroundedPhrase]:
    objects: dict[str, list[Region]] = defaultdict(list)
    for thing in truth.objects[image_id].objects:
        if not thing.crowd:
            objects[folded(thing.label)].append(Region(*thing.box, thing.label))
    names = all_names(frozenset(objects), True)
    texts = {text["id"]: text["text"] for text in row["texts"]}
    regions = {region["id"]: region for region in row["regions"]}
    for phrase in row["phrases"]:
        words = texts.get(phrase["text_id"], "")[phrase["char_start"] : phrase["char_end"]]
        meant = named(Chunk(0, len(words), "", False, words), names, objects)
        if meant:
            found = [regions[name] for name in phrase["region_ids"] if name in regions]
            found.sort(key=lambda region: -(1.0 if region["score"] is None else region["score"]))
            true = [
                other.box for other in truth.objects[image_id].objects if folded(other.label) == folded(meant[0].label)
            ]
            yield GroundedPhrase(place, [box_of(region) for region in found], true)


_OTHERS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("captions", "texts", _captions),
    ("words", "ocr", _words),
    ("grounding", "phrases", _grounding),
)


# --- fitting ------------------------------------------------------------------------------------


def without_duplicates(found: Mapping[str, list[Detection]], iou: float = NMS_IOU) -> dict[str, list[Detection]]:
    """The boxes as consensus takes them up: of one label and image, the best of those that overlap."""
    flat = [(image, one) for image in sorted(found) for one in found[image]]
    numbers: dict[tuple[str, str], int] = {}
    group = np.array([numbers.setdefault((i, folded(one.label)), len(numbers)) for i, one in flat], np.int64)
    boxes = np.array([one.box for _, one in flat], np.float64).reshape(-1, 4)
    i, j, _ = iou_pairs(group, boxes, min_iou=iou)
    stays = suppress(i, j, np.array([one.score for _, one in flat], np.float64))
    answer: dict[str, list[Detection]] = {image: [] for image in found}
    for (image, one), still in zip(flat, stays.tolist(), strict=True):
        if still:
            answer[image].append(one)
    return answer


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where the calibration lies, and of each detector: boxes it was fitted on, error before, error after."""

    path: str
    calibration: Calibration
    errors: dict[str, tuple[int, float, float]]


def fit(dataset: Dataset, truth: Truths) -> Fitted:
    """Fit a curve for each detector and store it under `calibration/`.

    The file is named by its content and never changes: a recipe that names it says what it was made with.
    """
    if not any(image.objects for image in truth.objects.values()):
        raise ConfigError(f"There is nothing to fit a calibration to: {truth.told}, and they drew no box.")
    curves, seen = {}, {}
    for node, rows in _answers(dataset, set(truth.objects)):
        if "boxes" in node.gives and node.component != "human":
            scores, right, _ = scored(truth.objects, without_duplicates(_regions(rows, node)))
            if len(scores):
                curves[node.name] = fit_isotonic(scores, right)
                seen[node.name] = (scores, right)
    if not curves:
        raise ConfigError(
            "There is no detector with boxes on these images to fit a calibration of: run annotate first."
        )
    found = Calibration(curves)
    path = f"{FOLDER}/{found.digest[:8]}.json"
    dataset.storage.create(path, json.dumps(found.as_json(), indent=1).encode())
    errors = {
        name: (
            len(scores),
            calibration_error(scores, right),
            calibration_error(found.apply([name] * len(scores), scores), right),
        )
        for name, (scores, right) in seen.items()
    }
    return Fitted(dataset.location(path), found, errors)


# --- as text ------------------------------------------------------------------------------------


def render(found: Evaluation) -> str:
    """A table a part: one row for each node, one column for each figure, intervals below."""
    parts = [f"measured against {found.truth}; in brackets: where 95 % of resampled image sets fall"]
    if found.human:
        parts.append(
            f"{found.human} of these images carry human labels in the data set, which what merges and what is kept "
            "hold too: measure machines on an audit split."
        )
    for part in dict.fromkeys(figure.part for figure in found.figures):
        parts.append("\n".join(_table(part, [figure for figure in found.figures if figure.part == part])))
    if not found.figures:
        parts.append("There is nothing to compare: the truth says nothing of what these nodes give.")
    return "\n\n".join(parts)


def render_fit(found: Fitted, truth: Truths, form: str) -> str:
    """What was fitted, and the lines that make consensus and filters use it."""
    if form == "json":
        errors = {name: {"boxes": n, "before": a, "after": b} for name, (n, a, b) in found.errors.items()}
        return json.dumps({"path": found.path, "truth": truth.told, "ECE on what was fitted": errors}, indent=1)
    lines = [f"fitted on {truth.told}", "", f"{'detector':<20}{'boxes':>8}  ECE before  after (on the same boxes)"]
    lines += [f"{name:<20}{n:>8,}{before:>12.3f}{after:>7.3f}" for name, (n, before, after) in found.errors.items()]
    lines += ["", f"written to {found.path}", "to use it, add to the recipe:"]
    lines += [f"  annotate.objects.calibration: {found.path}      # consensus: before scores are combined"]
    return "\n".join(lines)


def _table(part: str, figures: Sequence[Figure]) -> list[str]:
    names = list(dict.fromkeys(figure.name for figure in figures))
    owners = list(dict.fromkeys(figure.of for figure in figures))
    cells = {(figure.of, figure.name): _cell(figure) for figure in figures}
    counts = {figure.of: figure.count for figure in reversed(figures)}
    wide = max(map(len, [part, *owners])) + 4
    widths = [max(len(name), *(len(cells.get((of, name), "")) for of in owners)) + 2 for name in names]
    lines = [f"{part:<{wide}}{'number':>8}  " + "".join(f"{n:<{w}}" for n, w in zip(names, widths, strict=True))]
    for of in owners:
        row = "".join(f"{cells.get((of, name), ''):<{w}}" for name, w in zip(names, widths, strict=True))
        lines.append(f"  {of:<{wide - 2}}{counts[of]:>8,}  {row}".rstrip())
    return [line.rstrip() for line in lines]


def _cell(figure: Figure) -> str:
    known = np.isfinite(figure.low)
    return f"{figure.value:.3f}" + (f" [{figure.low:.3f} {figure.high:.3f}]" if known else "")


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
