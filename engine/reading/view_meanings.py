"""The meaning and unit of every column of every SQL view. They are described only here.

`engine query --schema` prints them, docs/data-dictionary.md is generated from them, and a test compares them with the
views.
"""

from __future__ import annotations

import tempfile
from typing import NamedTuple

from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from engine.storage.files import Storage

MEANINGS = {
    "images": "one row for each image",
    "texts": "one row for each text of an image, kept or dropped",
    "regions": "one row for each box or mask, kept, dropped or merged into another",
    "region_texts": "one row for each text of one region: a brief description, or the printed words in it",
    "phrases": "one row for each phrase of a text, with the regions it names",
    "tags": "one row for each tag of an image",
    "image_scores": "one row for each number measured on an image, such as its sharpness",
    "embeddings": "one row for each image and node that gives embeddings; of a release, the nodes in emit.embeddings",
    "parse": "one row for each distinct text, as spaCy parsed it",
    "failures": "one row for each image, input or text that a component failed on",
    "inputs": "one row for each listed input: images, duplicates and files that are no image",
    "verdicts": "one row for each verdict of the rules on an image or an annotation",
    "rule_values": "one row for each number that a rule compared on a sample; empty before `engine report`",
    "changes": "one row for each change that a round of refinement made",
    "pairs": "one row for each training pair of the latest release, or of the one named by --of",
    "truth": "one row for each human annotation of an audit image; only queries can read it",
    "runs": "one row for each run of the engine",
    "rounds": "one row for each decision on a round of refinement, including a last one that was refused",
    "kept.images": "kept images",
    "kept.texts": "kept texts of kept images (every view in `kept` is limited to kept images)",
    "kept.regions": "kept regions",
    "kept.region_texts": "kept texts of regions",
    "kept.phrases": "kept phrases",
    "kept.tags": "kept tags",
    "kept.image_scores": "kept measurements",
    "kept.triplets": "one row for each text, phrase in it and region it names, as in a release",
}

_COLUMNS = {
    "image_id": "first half of the sha256 of the image's bytes, in hex",
    "split": "train, audit-fit or audit-test (for measuring), or held (near-duplicate of both)",
    "kept": "whether the rules keep it; null: not judged yet",
    "rule": "rule that dropped it; '' if it is kept",
    "value": "number that the rule compared with the threshold",
    "rule_value": "number that the rule compared with the threshold",
    "threshold": "limit that the rule compared the number with",
    "n_sources": "number of inputs with these bytes",
    "sources": "source and URI of each input with these bytes",
    "width": "width of the upright image",
    "height": "height of the upright image",
    "format": "file format found when decoding: JPEG, PNG, ...",
    "licence": "licence given by the source",
    "bytes": "size of the file",
    "uri": "file that holds the image's bytes",
    "byte_offset": "first byte of the image in that file",
    "byte_length": "number of bytes; -1: to the end of the file",
    "offset": "first byte of the image in that file",
    "length": "number of bytes; -1: to the end of the file",
    "annotation_id": "<producer>/<number>, unique within the image",
    "granularity": "brief, detailed or more_detailed",
    "text": "the text itself",
    "text_key": "hash of the text; joins texts with parse",
    "producer": "node that made it",
    "round": "refinement round that made it; 0: before the first round",
    "score": "score from the producer; null for a human annotation",
    "score_kind": "kind of score: confidence, consensus, likelihood, human, ...",
    "parents": "ids of the annotations it was made from",
    "kind": "object, text (printed), or phrase (found for a phrase by a grounder)",
    "label": "class name; '' for a text region",
    "x1": "left edge",
    "y1": "top edge",
    "x2": "right edge",
    "y2": "bottom edge",
    "quad": "x and y of four corners, clockwise from the top left, of text that is not level; [] if none",
    "rle": "mask of the whole image as COCO's compressed counts; '' if none",
    "merged_into": "id of the region that replaced it; '' if none",
    "support": "ids of the candidates that agree with it",
    "region_id": "id of the region that the row belongs to",
    "text_id": "id of the text that the phrase is part of",
    "char_start": "first character of the phrase in its text",
    "char_end": "end of the phrase in its text, exclusive",
    "region_ids": "ids of the regions that the phrase names",
    "name": "name of the measurement",
    "code": "result that is not a number, such as a hash or a language; '' otherwise",
    "tokens": "number of words, without punctuation",
    "raw_tokens": "number of words and punctuation marks",
    "sentences": "number of sentences",
    "objects": "nouns that name things",
    "objects_paper": "the same, counted by the rules of the Florence-2 paper",
    "attributes": "words that describe things",
    "attributes_paper": "the same, counted by the rules of the Florence-2 paper",
    "actions": "verbs",
    "proper_nouns": "names of people, places and brands",
    "object_complexity": "dependency links of nouns: by the paper's rule, mean and maximum",
    "action_complexity": "dependency links of verbs: by the paper's rule, mean and maximum",
    "chunks": "noun phrases: position, head noun, plural or not, text",
    "relations": "nouns and their verbs, as lemmas, with their role; null if parsed by schema version 1 or 2",
    "failures": "why the parse failed; [] if it did not",
    "node": "name of the node in the recipe",
    "embedding": "vector of unit length, rounded to float16",
    "component": "component that the node runs",
    "reason": "one of a few fixed words, for grouping",
    "error": "the reason as a sentence",
    "attempts": "number of tries",
    "source": "source in the recipe that listed the input",
    "outcome": "image, duplicate, quarantined, removed, pending, or earlier (its source no longer gives it)",
    "place": "position of the rule in the recipe, from 0",
    "annotation_type": "images, or the view that holds the annotation",
    "old": "id of the changed annotation; '' if one was added",
    "new": "id of the new annotation; '' if one was dropped",
    "old_label": "label or text before the change",
    "new_label": "label or text after the change",
    "release": "name of the release; '' if none was made",
    "task": "task token, such as <OD>",
    "prompt": "prompt given to Florence-2",
    "target": "answer that Florence-2 should give",
    "annotation_ids": "ids of the annotations in the prompt and the target",
    "truncated": "whether regions were left out because the target would be too long",
    "run": "number of the run",
    "command": "command line as typed",
    "stage": "stage that was run, or all",
    "ended": "time when the run ended, in UTC; null for runs of earlier versions of the engine",
    "seconds": "duration",
    "listed": "number of new inputs",
    "shards": "number of image shards",
    "host": "name of the machine",
    "recipe": "whole recipe, as JSON",
    "versions": "versions of the packages, as JSON",
    "nodes": "counts for each node that did work",
    "phrase_id": "id of the phrase",
    "accepted": "whether the gate accepted the round; a refused round changes nothing",
    "reasons": "why the round was refused, as sentences; [] if it was accepted",
    "alarms": "what a person should check, as sentences",
    "measures": "numbers that the gate compared, by name; null for a number that could not be measured",
    "changes": "number of changes, by kind",
}

_OF_VIEW = {
    ("image_scores", "value"): "number measured",
    ("kept.image_scores", "value"): "number measured",
    ("truth", "value"): "number measured, for rows of image_scores",
    ("region_texts", "granularity"): "brief, ocr (printed words) or candidate",
    ("kept.region_texts", "granularity"): "brief, ocr (printed words) or candidate",
    ("changes", "rule"): "change made: relabelled, moved, added, dropped, ...",
    ("changes", "kept"): "whether the rules keep the result of the change",
    ("pairs", "uri"): "tar of the release that holds the image",
    ("pairs", "tokens"): "estimated length of the target",
    ("pairs", "kept"): "always true: a release holds only what is kept",
    ("inputs", "uri"): "location of the input, as listed",
    (
        "inputs",
        "state",
    ): "missing, gone, withdrawn or replaced, if the source no longer gives it unchanged; '' otherwise",
    ("failures", "uri"): "location of the image or input",
    ("runs", "sources"): "counts of each source when it was last listed, also of sources without inputs",
    ("rule_values", "kept"): "whether all rules keep it; false: this rule dropped it",
    ("rule_values", "rule"): "rule that compared the number",
    ("rounds", "round"): "number of the round, from 1",
    ("runs", "error"): "error that ended the run; '' if it succeeded",
}

_PIXELS = "pixels of the upright image"
_UNITS = {
    **dict.fromkeys(("width", "height", "x1", "y1", "x2", "y2", "quad"), _PIXELS),
    **dict.fromkeys(("bytes", "byte_offset", "byte_length", "offset", "length"), "bytes"),
    **dict.fromkeys(("char_start", "char_end"), "Unicode code points"),
    "seconds": "seconds",
    "tokens": "words",
}
_UNITS_OF_VIEW = {("pairs", "tokens"): "tokens"}


class Described(NamedTuple):
    view: str
    column: str
    type: str
    meaning: str


def described() -> list[Described]:
    """Every column of every view, in order. The columns are read from the views of an empty data set."""
    rows: list[Described] = []
    with tempfile.TemporaryDirectory() as folder, connect(Dataset(Storage(folder), [], "", ""), measuring=True) as con:
        for view in MEANINGS:
            for column, kind, *_ in con.execute(f"DESCRIBE {view}").fetchall():
                meaning = _OF_VIEW.get((view, column)) or _COLUMNS.get(column, "")
                rows.append(Described(view, column, str(kind), meaning))
    return rows


def unit(view: str, column: str) -> str:
    """The unit of a column; '' if it has none."""
    return _UNITS_OF_VIEW.get((view, column)) or _UNITS.get(column, "")
