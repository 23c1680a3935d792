"""What each view of SQL holds, and each column of it: the one place where it is written down.

`engine query --schema` and the reference print it; a test holds it to the views.
"""

from __future__ import annotations

import tempfile
from typing import NamedTuple

from engine.reading.dataset import Dataset
from engine.reading.sql import connect
from engine.storage.files import Storage

MEANINGS = {
    "images": "one row an image",
    "texts": "one row a text of an image, kept or dropped",
    "regions": "one row a box or mask, kept, dropped or merged into another",
    "region_texts": "one row a text of one region: a brief one, or what is written there",
    "phrases": "one row a phrase of a text with the regions it names",
    "tags": "one row a tag of an image",
    "image_scores": "one row a number measured of an image, such as its sharpness",
    "parse": "one row a distinct text as spaCy parsed it",
    "failures": "one row an image, input or text a component failed on",
    "inputs": "one row an input as it was listed: images, duplicates, what is no image",
    "verdicts": "one row a verdict of the rules, on images and annotations",
    "changes": "one row a change that a round of refinement made",
    "pairs": "one row a pair to train on, of the release made last, or of the one named by --of",
    "truth": "one row an annotation by people of an audit image; nothing but queries reads it",
    "runs": "one row a run of the engine",
    "kept.images": "images that are kept",
    "kept.texts": "texts that are kept on images that are kept; so for all of `kept`",
    "kept.regions": "kept regions",
    "kept.region_texts": "kept texts of regions",
    "kept.phrases": "kept phrases",
    "kept.tags": "kept tags",
    "kept.image_scores": "kept numbers",
    "kept.triplets": "one row a text, phrase of it and region it names, merged regions followed, as in a release",
}

_COLUMNS = {
    "image_id": "the first half of the sha256 of the image's bytes, in hex",
    "split": "train, audit-fit or audit-test (to measure with), or held (near both)",
    "kept": "whether the rules keep it; null: not judged yet",
    "rule": "the rule that dropped it; '' if it is kept",
    "value": "the number that the rule compared",
    "rule_value": "the number that the rule compared",
    "threshold": "what the rule compared it with",
    "n_sources": "how many inputs hold these bytes",
    "sources": "where it came from: source and uri of each input",
    "width": "pixels of the upright image",
    "height": "pixels of the upright image",
    "format": "as decoded: JPEG, PNG, ...",
    "licence": "as the source gave it",
    "bytes": "size of the file",
    "uri": "where the bytes lie",
    "byte_offset": "where they begin in that file",
    "byte_length": "how many there are; -1: the whole file",
    "offset": "where the bytes begin in that file",
    "length": "how many there are; -1: the whole file",
    "annotation_id": "<producer>/<number>, unique in its image",
    "granularity": "brief, detailed or more_detailed",
    "text": "the words",
    "text_key": "hash of the words: the parse is found by it",
    "producer": "the node that wrote it",
    "round": "the round of refinement that wrote it; 0 before any",
    "score": "its producer's; null if a person wrote it",
    "score_kind": "what the score is: confidence, consensus, likelihood, human, ...",
    "parents": "ids of the annotations it was made from",
    "kind": "object or text",
    "label": "its class; '' for text",
    "x1": "left edge, pixels of the upright image",
    "y1": "top edge",
    "x2": "right edge",
    "y2": "bottom edge",
    "quad": "four corners clockwise from the top left, of text that lies askew; [] if none",
    "rle": "mask of the whole image as COCO's compressed counts; '' if none",
    "merged_into": "the region that took its place; '' if none",
    "support": "ids of the candidates that agree with it",
    "region_id": "the region it belongs to",
    "text_id": "the text it is part of",
    "char_start": "first character of the phrase in its text, in code points",
    "char_end": "the character behind its last",
    "region_ids": "the regions it names",
    "name": "what was measured",
    "code": "what is no number: a hash, a language; '' for most",
    "tokens": "words without punctuation",
    "raw_tokens": "words and punctuation",
    "sentences": "how many there are",
    "objects": "nouns that name things",
    "objects_paper": "the same counted as the paper does",
    "attributes": "words that say what things are like",
    "attributes_paper": "the same counted as the paper does",
    "actions": "verbs",
    "proper_nouns": "names",
    "object_complexity": "links of nouns in the parse: as the paper counts, mean, most",
    "action_complexity": "links of verbs in the parse: as the paper counts, mean, most",
    "chunks": "noun phrases: place, head noun, plural, words",
    "failures": "why the parse failed; [] if it did not",
    "node": "the node of the recipe",
    "component": "what the node runs",
    "reason": "a fixed word to group by",
    "error": "the same as a sentence",
    "attempts": "how often it was tried",
    "source": "the source of the recipe that lists it",
    "outcome": "image, duplicate, quarantined or pending",
    "annotation_type": "images, or the view of the annotation",
    "old": "id of what was changed; '' if it was added",
    "new": "id of what it became; '' if it was dropped",
    "old_label": "label or text before",
    "new_label": "label or text after",
    "release": "name of the release; '' if there was none",
    "task": "the task token, such as <OD>",
    "prompt": "what Florence-2 is asked",
    "target": "what it is to answer",
    "annotation_ids": "the annotations that prompt and target are made of",
    "truncated": "whether regions are missing because the target would be too long",
    "run": "number of the run",
    "command": "as it was typed",
    "stage": "one stage, or all",
    "seconds": "how long it took",
    "listed": "inputs that were new",
    "shards": "shards of images",
    "host": "the machine",
    "recipe": "the whole recipe as JSON",
    "versions": "versions of the packages as JSON",
    "nodes": "counts of each node that worked",
    "phrase_id": "the phrase",
}

_OF_VIEW = {
    ("image_scores", "value"): "the number measured",
    ("kept.image_scores", "value"): "the number measured",
    ("truth", "value"): "the number measured, of image_scores",
    ("region_texts", "granularity"): "brief, ocr (what is written there) or candidate",
    ("kept.region_texts", "granularity"): "brief, ocr (what is written there) or candidate",
    ("changes", "rule"): "what the round did: relabelled, moved, added, dropped, ...",
    ("changes", "kept"): "whether what came of it is kept now",
    ("pairs", "uri"): "the tar of the release that holds the image",
    ("pairs", "tokens"): "of the target, as estimated",
    ("pairs", "kept"): "true: a release holds nothing else",
    ("inputs", "uri"): "where the input lies, as it was listed",
    ("inputs", "state"): "missing, gone, withdrawn or replaced, where its source no longer gives it as it was; '' else",
    ("failures", "uri"): "where the image or input lies",
    ("runs", "error"): "what the run ended with; '' if it succeeded",
}


class Described(NamedTuple):
    view: str
    column: str
    type: str
    meaning: str


def described() -> list[Described]:
    """Every column of every view, in order. No data set is needed: the views of one that is empty are asked."""
    rows: list[Described] = []
    with tempfile.TemporaryDirectory() as folder, connect(Dataset(Storage(folder), [], "", ""), measuring=True) as con:
        for view in MEANINGS:
            for column, kind, *_ in con.execute(f"DESCRIBE {view}").fetchall():
                meaning = _OF_VIEW.get((view, column)) or _COLUMNS.get(column, "")
                rows.append(Described(view, column, str(kind), meaning))
    return rows
