"""Merges the texts that students wrote into an image: texts, region texts, and the phrases of both.

Kept and new texts are grounded in the same way, with the recipe's parser. Without a parser, texts are compared only by
likelihood, and new texts have no phrases. A phrase is matched to regions again only if it was matched by name before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.running.shard_inputs import ShardInputs
from engine.schema import Phrase, Region, Sample, Text, as_row
from model.florence2_tasks import CAPTIONS, DESCRIPTION
from pipelines.refine.changes import Changes
from pipelines.refine.evidence import read_text_evidence
from pipelines.refine.merge_counts import TextCounts
from pipelines.refine.rows import Row, provenance, region_text_row, text_row
from refinement.merge_texts import GivenText, ProposedText, TextChange, merge_texts
from refinement.options import MergeRules
from specialists.label_grounder import LabelGrounder

# The rules of texts in changes and verdicts. The names "added" and "dropped" are taken by the rules of regions.
RULES = {"rewritten": "rewritten", "added": "text_added", "dropped": "text_dropped"}
REGROUNDED = "regrounded"

Grounded = Mapping[str, Sequence[Phrase]]  # {text id: noun phrases}, for texts that have a parse


@dataclass(slots=True)
class RegionsAfter:
    """The regions of an image after the merge. standing: by id. became: {old id: new id}.

    renamed: whether a region was added, dropped or got another label, so that words may now refer to other regions.
    """

    standing: dict[str, Row]
    became: dict[str, str]
    renamed: bool

    def now(self, region_id: str) -> str:
        """The id of the region, or of the region that replaced it. '' if it was dropped."""
        name = self.became.get(region_id, region_id)
        return name if name in self.standing else ""


@dataclass(slots=True)
class _Image:
    """One image in the merge.

    named: ids that the merge has given in this image. dropped: ids of annotations that the merge drops. texts,
    region_texts, phrases: the new rows.
    """

    kept: Row
    after: RegionsAfter
    changes: Changes
    named: int
    dropped: set[str] = field(default_factory=set)
    texts: list[Row] = field(default_factory=list)
    region_texts: list[Row] = field(default_factory=list)
    phrases: list[Row] = field(default_factory=list)

    @property
    def image_id(self) -> str:
        return str(self.kept["image_id"])

    def drop(self, name: str, rule: str, value: float, threshold: float | None) -> None:
        self.dropped.add(name)
        self.changes.drop(self.image_id, name, rule, value, threshold)


class TextMerge:
    """Merges the texts of a shard, one image after the other, and counts for the gate.

    tasks: the tasks that write texts. phrases: whether new texts get phrases. synonyms: the option of the label
    grounder.
    """

    def __init__(
        self,
        name: str,
        round_number: int,
        options: MergeRules,
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
        self.likelihoods = read_text_evidence(inputs, propose)
        self.counts = TextCounts()

    def merge_image(self, row: Row, kept: Row, proposal: Row, after: RegionsAfter, changes: Changes) -> None:
        """Adds the new texts to `row`, which is the image's merged record."""
        named = sum(region["producer"] == self.name for region in row["regions"])
        image = _Image(kept, after, changes, named)
        own = [text for text in kept["texts"] if text["granularity"] in self.granularities]
        drafts = [text for text in proposal["texts"] if self._parsed_well(text)]
        grounded = self._ground([*own, *drafts], image)
        given = list(self._given(own, image, grounded))
        proposed = list(self._proposed(drafts, proposal, grounded, after))
        self.counts.given += sum(not one.human for one in given)
        self.counts.human += sum(one.human for one in given)
        old = {item["id"]: item for item in (*kept["texts"], *kept["region_texts"])}
        scores = {item["id"]: item["score"] for item in (*proposal["texts"], *proposal["region_texts"])}
        for change in merge_texts(given, proposed, self.options):
            self._apply(change, old.get(change.old), scores.get(change.by), grounded, image)
        if self.phrases and after.renamed:
            self._ground_again(image)
        self._count(own, image)
        row["texts"] += image.texts
        row["region_texts"] += image.region_texts
        row["phrases"] += image.phrases

    def _parsed_well(self, text: Row) -> bool:
        """Whether the parser succeeded on the text. If it failed, the text would put its image into quarantine."""
        parse = self.parses.get(text["text_key"])
        return parse is None or not parse.failures

    def _ground(self, texts: Sequence[Row], image: _Image) -> Grounded:
        """The noun phrases of each text that has a parse, with the merged regions that the phrases name."""
        known = [text for text in texts if text["text_key"] in self.parses and self._parsed_well(text)]
        answer: dict[str, list[Phrase]] = {text["id"]: [] for text in known}
        regions = [Region(**region) for region in image.after.standing.values()]
        sample = Sample(image.image_id, 0, 0, None, [Text(**text) for text in known], regions, parse=self.parses)
        for phrase in self.grounder.ground(sample):
            answer[phrase.text_id].append(phrase)
        return answer

    def _given(self, own: Sequence[Row], image: _Image, grounded: Grounded) -> Iterator[GivenText]:
        """Yields the kept texts. A text counts as human if people made one of its phrases."""
        kept = image.kept
        with_human_phrase = {phrase["text_id"] for phrase in kept["phrases"] if phrase["score"] is None}
        for text in own:
            human = text["score"] is None or text["id"] in with_human_phrase
            share = _grounded_share(grounded.get(text["id"]))
            yield GivenText(text["id"], text["granularity"], text["text"], self._likelihood(image, text), share, human)
        for item in kept["region_texts"] if self.describes else ():
            region_id = image.after.now(item["region_id"])
            if region_id and item["granularity"] == "brief":
                likelihood, human = self._likelihood(image, item), item["score"] is None
                yield GivenText(item["id"], "brief", item["text"], likelihood, None, human, region_id)

    def _likelihood(self, image: _Image, text: Row) -> float | None:
        """The student's mean log probability of a text. None if it did not score the text."""
        return self.likelihoods.get((image.image_id, text["id"]))

    def _proposed(
        self, drafts: Sequence[Row], proposal: Row, grounded: Grounded, after: RegionsAfter
    ) -> Iterator[ProposedText]:
        image_id = proposal["image_id"]
        for text in drafts:
            likelihood, share = self.likelihoods[image_id, text["id"]], _grounded_share(grounded.get(text["id"]))
            yield ProposedText(text["granularity"], text["text"], likelihood, share, id=text["id"])
        for item in proposal["region_texts"]:
            if region_id := after.now(item["region_id"]):
                likelihood = self.likelihoods[image_id, item["id"]]
                yield ProposedText("brief", item["text"], likelihood, None, region_id, item["id"])

    def _apply(
        self, change: TextChange, old: Row | None, score: float | None, grounded: Grounded, image: _Image
    ) -> None:
        """Applies one change. old: the text that is changed, None if one is added. score: of the student's text."""
        rule, name, words = RULES[change.rule], "", ""
        if change.new is not None:
            name, words = self._next_id(image), change.new.text
            # The replaced text is not a parent of the new one, because a text is dropped with its parents. The change
            # names it.
            common = provenance(name, self.name, self.round, score, [change.by])
            if change.new.about:
                image.region_texts.append(region_text_row(common, change.new.about, words))
            else:
                image.texts.append(text_row(common, change.new.granularity, words))
                for phrase in grounded.get(change.by, ()) if self.phrases else ():
                    image.phrases.append(self._phrase_row(phrase, name, self._next_id(image)))
        if old is not None:
            image.drop(change.old, rule, change.value, change.threshold)
        texts = (old["text"] if old else "", words)
        image.changes.add(image.image_id, rule, (change.old, name), texts, change.value, change.threshold)

    def _ground_again(self, image: _Image) -> None:
        """Replaces phrases of the texts that stay. These are phrases matched by name that now match other regions."""
        staying = {text["id"]: text for text in image.kept["texts"] if text["id"] not in image.dropped}
        spans = {
            (text_id, one.char_start, one.char_end): one
            for text_id, phrases in self._ground(list(staying.values()), image).items()
            for one in phrases
        }
        for old in image.kept["phrases"]:
            new = spans.get((old["text_id"], old["char_start"], old["char_end"]))
            if new is None or old["score"] is None or old["score_kind"] != new.score_kind:
                continue
            if {image.after.now(name) for name in old["region_ids"]} - {""} == set(new.region_ids):
                continue
            name = self._next_id(image)
            image.phrases.append(self._phrase_row(new, old["text_id"], name))
            image.drop(old["id"], REGROUNDED, old["score"], new.score)
            words = staying[old["text_id"]]["text"][old["char_start"] : old["char_end"]]
            ids, texts = (old["id"], name), (words, words)
            image.changes.add(image.image_id, REGROUNDED, ids, texts, old["score"], new.score)

    def _phrase_row(self, phrase: Phrase, text_id: str, name: str) -> Row:
        row = as_row(phrase) | {"id": name, "text_id": text_id, "producer": self.name, "round": self.round}
        return row | {"parents": [text_id, *phrase.region_ids]}

    def _next_id(self, image: _Image) -> str:
        return f"{self.name}/{image.named + len(image.texts) + len(image.region_texts) + len(image.phrases)}"

    def _count(self, own: Sequence[Row], image: _Image) -> None:
        """Adds the captions before and after the merge to the counts, equally many of each granularity.

        If there are more captions after the merge, the new ones are taken first.
        """
        for granularity in sorted(self.granularities):
            before = [text for text in own if text["granularity"] == granularity]
            new = [text for text in image.texts if text["granularity"] == granularity]
            after = [*new, *(text for text in before if text["id"] not in image.dropped)]
            number = min(len(before), len(after))
            self.counts.before += [text["text"] for text in before[:number]]
            self.counts.after += [text["text"] for text in after[:number]]


def _grounded_share(phrases: Sequence[Phrase] | None) -> float | None:
    """The share of a text's noun phrases that name a region. None if the text has no parse."""
    if phrases is None:
        return None
    return sum(bool(phrase.region_ids) for phrase in phrases) / max(len(phrases), 1)
