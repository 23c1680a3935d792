"""What texts and labels are about: semantic coverage (Florence-2, table 3), lengths, long tails, verbs and nouns."""

from __future__ import annotations

from pipelines.analyse.figure import Figure, Section
from pipelines.analyse.sections.semantic_charts import (
    attributes,
    coverage,
    label_tail,
    labels,
    noun_tail,
    nouns,
    token_counts,
    verb_noun_pairs,
)

_NO_TEXT = "No kept text has a parse. The node spacy_parse gives one; the stage filter decides which texts are kept."
_NO_REGION = "No object region with a label is kept."
_TAIL = {
    "share_of_ten_commonest": "Share of the ten commonest",
    "share_beyond_rank_100": "Share beyond rank 100",
}
_RANK = {"rank": "Rank", "share": "Share", "share_so_far": "Share up to this rank"}
_SHARES = frozenset(("share", "share_so_far"))

_COVERAGE = (
    Figure(
        query="semantic_coverage",
        title="Semantic coverage beside FLD-5B (Florence-2, table 3)",
        reading="Means over the kept texts of a granularity. The paper does not print how it counts, so there are two "
        "ways: strict counts nouns, and adjectives, numbers and participles; paper-like also counts pronouns and "
        "determiners, which is nearer to the paper's attributes.",
        chart=coverage,
        key=("granularity", "measure"),
        columns={
            "granularity": "Granularity",
            "measure": "Measure",
            "strict": "Strict",
            "paper_like": "Paper-like",
            "fld5b": "FLD-5B",
        },
    ),
    Figure(
        query="tokens_per_text",
        title="Tokens per text",
        reading="The solid line is the mean, the dashed line that of FLD-5B. A second peak often comes from a second "
        "producer or from texts that were cut.",
        chart=token_counts,
        key=("granularity", "tokens_from"),
        columns={
            "granularity": "Granularity",
            "tokens_from": "Tokens, from",
            "tokens_to": "to (exclusive)",
            "texts": "Texts",
            "share": "Share",
            "mean_tokens": "Mean of the granularity",
            "fld5b_tokens": "FLD-5B: mean",
        },
        shares=frozenset(("share",)),
        table=False,
        empty=_NO_TEXT,
    ),
)

_LABELS = (
    Figure(
        query="label_tail",
        title="Tail of labels",
        reading="A label with one region teaches little. If ten labels have most regions, the set is about these.",
        key=(),
        columns={
            "labels": "Labels",
            "regions": "Regions",
            "labels_with_half": "Labels that have half of the regions",
            "labels_with_one": "Labels with one region",
            "share_of_labels_with_one": "Their share of labels",
            **_TAIL,
        },
        shares=frozenset((*_TAIL, "share_of_labels_with_one")),
    ),
    Figure(
        query="label_ranks",
        title="Labels of kept object regions",
        reading="A label that is near the top without a reason, or missing there, is often one that a source or a "
        "detector got wrong. Beside another data set, a missing bar is a label that is not among its 20 commonest.",
        chart=labels,
        key=("label",),
        columns={**_RANK, "label": "Label", "regions": "Regions", "images": "Images"},
        shares=_SHARES,
        table=False,
        empty=_NO_REGION,
    ),
    Figure(
        query="label_ranks",
        title="Regions by rank of the label",
        reading="Both axes are logarithmic. A straight line is a long tail; a line that falls off at its end shows "
        "that rare labels are missing.",
        chart=label_tail,
        key=("label",),
        columns={**_RANK, "label": "Label", "regions": "Regions", "images": "Images"},
        shares=_SHARES,
        table=False,
        empty=_NO_REGION,
    ),
)

_NOUNS = (
    Figure(
        query="noun_tail",
        title="Tail of nouns",
        reading="Nouns of kept texts as they are written. Texts made from a few classes have few nouns and no tail.",
        key=(),
        columns={
            "nouns": "Nouns",
            "times": "All occurrences",
            "nouns_with_half": "Nouns that make half of them",
            "nouns_with_one": "Nouns that occur once",
            "share_of_nouns_with_one": "Their share of nouns",
            **_TAIL,
        },
        shares=frozenset((*_TAIL, "share_of_nouns_with_one")),
    ),
    Figure(
        query="noun_ranks",
        title="Nouns of kept texts",
        reading='Words such as "image" or "right" near the top come from templates or from a captioner\'s habits.',
        chart=nouns,
        key=("noun",),
        columns={**_RANK, "noun": "Noun", "times": "Times"},
        shares=_SHARES,
        table=False,
        empty=_NO_TEXT,
    ),
    Figure(
        query="noun_ranks",
        title="Times by rank of the noun",
        reading="Both axes are logarithmic, as for labels.",
        chart=noun_tail,
        key=("noun",),
        columns={**_RANK, "noun": "Noun", "times": "Times"},
        shares=_SHARES,
        table=False,
        empty=_NO_TEXT,
    ),
    Figure(
        query="attributes_per_noun",
        title="Attributes of the commonest nouns",
        reading="In the chart, the attributes of a noun stand in the order of how often it has them. If every noun has "
        "the same attribute, a producer writes it without looking.",
        chart=attributes,
        key=("noun", "attribute"),
        columns={
            "noun": "Noun",
            "phrases": "Phrases with it",
            "attributes": "Distinct attributes",
            "attribute": "Attribute",
            "times": "Times",
            "share": "Share of its phrases",
        },
        shares=frozenset(("share",)),
        table=False,
        empty=_NO_TEXT,
    ),
)

_RELATIONS = (
    Figure(
        query="verb_noun_pairs",
        title="Verbs with their subjects and objects",
        reading='Lemmas: "two men riding" is ride with the subject man. An impossible pair shows texts that nobody '
        "checked, or a label that stands for something else.",
        chart=verb_noun_pairs,
        key=("role", "verb", "noun"),
        columns={
            "role": "The noun is the",
            "verb": "Verb",
            "noun": "Noun",
            "times": "Times",
            "share": "Share of the role",
            "pairs": "Distinct pairs of the role",
        },
        shares=frozenset(("share",)),
        table=False,
        empty="No kept text has a verb with a subject or object. Texts that an earlier engine parsed have no such "
        "relations: the table below counts them.",
    ),
    Figure(
        query="parsed_texts",
        title="Texts with a parse, and parses with relations",
        reading="Only texts with a parse count in this section. Texts without relations were parsed by an earlier "
        "engine, so the pairs of verbs and nouns leave them out. To get theirs, give the node of spacy_parse another "
        "name in the recipe and run it again.",
        key=("granularity",),
        columns={
            "granularity": "Granularity",
            "texts": "Kept texts",
            "parsed": "Parsed",
            "failed": "Parse failed",
            "not_parsed": "Not parsed",
            "with_relations": "With relations",
            "without_relations": "Without relations",
        },
        empty="No text is kept.",
    ),
)

SECTION = Section(
    "semantics",
    "Semantic coverage",
    "What kept texts and labels are about, and how unevenly.",
    (*_COVERAGE, *_LABELS, *_NOUNS, *_RELATIONS),
)
