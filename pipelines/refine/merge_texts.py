"""What a round of refinement makes of what is written: texts, region texts, and the phrases that hang on them.

Texts are grounded with the recipe's own parse, old and new alike; without one they are compared by likelihood alone,
and what a student writes has no phrases. Only phrases that a name gave their regions are grounded anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.running.shard_inputs import ShardInputs
from engine.schema import Phrase, Region, Sample, Text, as_row
from model.pairs.tasks import CAPTIONS, DESCRIPTION
from pipelines.refine.rows import Row, provenance, region_text_row, text_row
from refinement.measures import distinct_share
from refinement.merge_texts import GivenText, ProposedText, TextChange, merge_texts
from refinement.options import MergeOptions
from specialists.label_grounder import LabelGrounder

# As changes tell it, and verdicts after "refine.": boxes are added and dropped too.
RULES = {"rewritten": "rewritten", "added": "text_added", "dropped": "text_dropped"}
REGROUNDED = "regrounded"


@dataclass(slots=True)
class Happened:
    """What became of the regions of an image: those that stand now, by id; {old: new}; and `renamed`: whether any was
    added, dropped or named anew, so that words may mean others now."""

    standing: Mapping[str, Row]
    became: dict[str, str]
    renamed: bool

    def now(self, region_id: str) -> str:
        """'' if it is gone."""
        name = self.became.get(region_id, region_id)
        return name if name in self.standing else ""


@dataclass(slots=True)
class Made:
    """What the round adds to an image's texts, what it decided of others, and the changes."""

    texts: list[Row] = field(default_factory=list)
    region_texts: list[Row] = field(default_factory=list)
    phrases: list[Row] = field(default_factory=list)
    decided: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)


class TextMerge:
    """Merges the texts of a shard, image after image, and counts what the gate asks for.

    `phrases`: whether new texts get any. `synonyms`: as the label grounder's option.
    """

    def __init__(
        self,
        name: str,
        round_number: int,
        options: MergeOptions,
        inputs: ShardInputs,
        propose: str,
        *,
        tasks: Sequence[str],
        phrases: bool,
        synonyms: bool,
    ) -> None:
        self.name, self.round, self.options, self.phrases = name, round_number, options, phrases
        self.granularities = {CAPTIONS[task] for task in tasks if task in CAPTIONS}
        self.describes = DESCRIPTION in tasks
        self.grounder = LabelGrounder(synonyms=synonyms)
        self.parses = inputs.parses
        told = inputs.part(propose, "text_evidence").to_pylist()
        self.likelihoods = {(row["image_id"], row["text_id"]): row["mean_log_prob"] for row in told}
        self.given, self.human = 0, 0
        self.before: list[str] = []  # as many of an image as `after` has
        self.after: list[str] = []

    def merged(
        self, row: Row, kept: Row, proposal: Row, happened: Happened, decided: list[Row], changes: list[Row]
    ) -> None:
        """`row` is the merged record, which gets what is new; `kept` the image's as it was kept."""
        self.named = sum(region["producer"] == self.name for region in row["regions"])
        made = Made()
        own = [text for text in kept["texts"] if text["granularity"] in self.granularities]
        drafts = [text for text in proposal["texts"] if self._readable(text)]
        grounded = self._grounded([*own, *drafts], kept, happened)
        given = list(self._given(own, kept, grounded, happened))
        proposed = list(self._proposed(drafts, proposal, grounded, happened))
        self.given += sum(not one.human for one in given)
        self.human += sum(one.human for one in given)
        old = {item["id"]: item for item in (*kept["texts"], *kept["region_texts"])}
        scores = {item["id"]: item["score"] for item in (*proposal["texts"], *proposal["region_texts"])}
        for change in merge_texts(given, proposed, self.options):
            self._apply(change, old.get(change.old), scores.get(change.by), grounded, made)
        if self.phrases and happened.renamed:
            self._reground(kept, happened, made)
        self._see(own, made)
        for column in ("texts", "region_texts", "phrases"):
            row[column] += getattr(made, column)
        decided += [one | {"image_id": kept["image_id"]} for one in made.decided]
        changes += [one | {"image_id": kept["image_id"]} for one in made.changes]

    def _readable(self, text: Row) -> bool:
        """A text that the parser broke on would quarantine its image."""
        parse = self.parses.get(text["text_key"])
        return parse is None or not parse.failures

    def _grounded(self, texts: Sequence[Row], kept: Row, happened: Happened) -> dict[str, list[Phrase]]:
        """The noun phrases of each text that could be read, with the standing regions they name."""
        known = [text for text in texts if text["text_key"] in self.parses and self._readable(text)]
        answer: dict[str, list[Phrase]] = {text["id"]: [] for text in known}
        regions = [Region(**region) for region in happened.standing.values()]
        sample = Sample(kept["image_id"], 0, 0, None, [Text(**text) for text in known], regions, parse=self.parses)
        for phrase in self.grounder.ground(sample):
            answer[phrase.text_id].append(phrase)
        return answer

    def _given(
        self,
        own: Sequence[Row],
        kept: Row,
        grounded: Mapping[str, Sequence[Phrase]],
        happened: Happened,
    ) -> Iterator[GivenText]:
        """A text that people speak of is theirs too."""
        spoken_of = {phrase["text_id"] for phrase in kept["phrases"] if phrase["score"] is None}
        image_id = kept["image_id"]
        for text in own:
            human = text["score"] is None or text["id"] in spoken_of
            likelihood, share = self.likelihoods.get((image_id, text["id"])), _share(grounded.get(text["id"]))
            yield GivenText(text["id"], text["granularity"], text["text"], likelihood, share, human)
        for item in kept["region_texts"] if self.describes else ():
            about = happened.now(item["region_id"])
            if about and item["granularity"] == "brief":
                likelihood, human = self.likelihoods.get((image_id, item["id"])), item["score"] is None
                yield GivenText(item["id"], "brief", item["text"], likelihood, None, human, about)

    def _proposed(
        self,
        drafts: Sequence[Row],
        proposal: Row,
        grounded: Mapping[str, Sequence[Phrase]],
        happened: Happened,
    ) -> Iterator[ProposedText]:
        for text in drafts:
            likelihood, share = self.likelihoods[proposal["image_id"], text["id"]], _share(grounded.get(text["id"]))
            yield ProposedText(text["granularity"], text["text"], likelihood, share, id=text["id"])
        for item in proposal["region_texts"]:
            if about := happened.now(item["region_id"]):
                likelihood = self.likelihoods[proposal["image_id"], item["id"]]
                yield ProposedText("brief", item["text"], likelihood, None, about, item["id"])

    def _apply(
        self,
        change: TextChange,
        old: Row | None,
        score: float | None,
        grounded: Mapping[str, Sequence[Phrase]],
        made: Made,
    ) -> None:
        rule, name, words = RULES[change.rule], "", ""
        if change.new is not None:
            name, words = self._name(made), change.new.text
            told = provenance(name, self.name, self.round, score, [change.by])  # what it replaces is told by the change
            if change.new.about:
                made.region_texts.append(region_text_row(told, change.new.about, words))
            else:
                made.texts.append(text_row(told, change.new.granularity, words))
                for phrase in grounded.get(change.by, ()) if self.phrases else ():
                    made.phrases.append(self._phrase(phrase, name, self._name(made)))
        if old is not None:
            made.decided.append(_decided(change.old, rule, change.value, change.threshold))
        labels = {"old_label": old["text"] if old else "", "new_label": words}
        made.changes.append(self._change(rule, change.old, name, labels, change.value, change.threshold))

    def _reground(self, kept: Row, happened: Happened, made: Made) -> None:
        """Phrases that a name gave their regions, of texts that stay, where the name means others now."""
        gone = {one["region_id"] for one in made.decided}
        staying = {text["id"]: text for text in kept["texts"] if text["id"] not in gone}
        spans = {
            (text_id, one.char_start, one.char_end): one
            for text_id, phrases in self._grounded(list(staying.values()), kept, happened).items()
            for one in phrases
        }
        for old in kept["phrases"]:
            new = spans.get((old["text_id"], old["char_start"], old["char_end"]))
            if new is None or old["score"] is None or old["score_kind"] != new.score_kind:
                continue
            if {happened.now(name) for name in old["region_ids"]} - {""} == set(new.region_ids):
                continue
            name = self._name(made)
            made.phrases.append(self._phrase(new, old["text_id"], name))
            made.decided.append(_decided(old["id"], REGROUNDED, old["score"], new.score))
            words = staying[old["text_id"]]["text"][old["char_start"] : old["char_end"]]
            labels = {"old_label": words, "new_label": words}
            made.changes.append(self._change(REGROUNDED, old["id"], name, labels, old["score"], new.score))

    def _phrase(self, phrase: Phrase, text_id: str, name: str) -> Row:
        row = as_row(phrase) | {"id": name, "text_id": text_id, "producer": self.name, "round": self.round}
        return row | {"parents": [text_id, *phrase.region_ids]}

    def _name(self, made: Made) -> str:
        return f"{self.name}/{self.named + len(made.texts) + len(made.region_texts) + len(made.phrases)}"

    def _change(
        self, rule: str, old: str, new: str, labels: Mapping[str, str], value: float, threshold: float | None
    ) -> Row:
        row = {"round": self.round, "rule": rule, "old": old, "new": new, **labels}
        return row | {"value": value, "threshold": threshold}

    def _see(self, own: Sequence[Row], made: Made) -> None:
        """Captions before and after, equally many of an image and granularity, those of this round first."""
        gone = {one["region_id"] for one in made.decided}
        for granularity in sorted(self.granularities):
            before = [text for text in own if text["granularity"] == granularity]
            new = [text for text in made.texts if text["granularity"] == granularity]
            after = [*new, *(text for text in before if text["id"] not in gone)]
            number = min(len(before), len(after))
            self.before += [text["text"] for text in before[:number]]
            self.after += [text["text"] for text in after[:number]]

    def as_counts(self) -> dict[str, Any]:
        """`distinct`: the share of different word pairs before and after, of so many captions."""
        shares = [share if math.isfinite(share) else None for share in map(distinct_share, (self.before, self.after))]
        return {"given": self.given, "human": self.human, "distinct": shares, "captions": len(self.before)}


def _share(phrases: Sequence[Phrase] | None) -> float | None:
    """Of the noun phrases those that name a region; None of a text nobody read. Who names nothing says nothing seen."""
    if phrases is None:
        return None
    return sum(bool(phrase.region_ids) for phrase in phrases) / max(len(phrases), 1)


def _decided(name: str, rule: str, value: float, threshold: float | None) -> Row:
    return {"region_id": name, "rule": f"refine.{rule}", "value": value, "threshold": threshold}


def diversity(told: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Of all shards, from `as_counts`: the shares within a shard, each by how many captions it is of."""
    known = [one for one in told if None not in one["distinct"]]
    number = sum(one["captions"] for one in known)
    if not number:
        return float("nan"), float("nan")
    before, after = (sum(one["distinct"][side] * one["captions"] for one in known) / number for side in (0, 1))
    return before, after
