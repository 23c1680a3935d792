"""The evidence that the students of a round give, in files beside their proposals.

Each row is about one region or text: one that the student proposed, or a kept one that it scored by teacher forcing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from engine.running.shard_inputs import ShardInputs
from engine.schema import required

EVIDENCE_PART, TEXT_EVIDENCE_PART = "evidence", "text_evidence"

EVIDENCE = pa.schema(
    [
        required("image_id", pa.string()),
        required("region_id", pa.string()),
        required("proposed", pa.bool_()),
        required("label", pa.float64()),
        required("location", pa.float64()),
    ]
)
TEXT_EVIDENCE = pa.schema(
    [
        required("image_id", pa.string()),
        required("text_id", pa.string()),
        required("proposed", pa.bool_()),
        required("mean_log_prob", pa.float64()),
    ]
)


class Evidence(NamedTuple):
    """A student's evidence on a region.

    label: probability of the label's tokens. location: how sure the student is of the box: the geometric mean, over its
    four location tokens, of the probability near each (refinement.merge.Given).
    """

    image_id: str
    region_id: str
    proposed: bool
    label: float
    location: float


class TextEvidence(NamedTuple):
    """A student's evidence on a text. mean_log_prob: the mean over its tokens, including the end token."""

    image_id: str
    text_id: str
    proposed: bool
    mean_log_prob: float


def evidence_table(rows: Iterable[Evidence]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() for row in rows], EVIDENCE)


def text_evidence_table(rows: Iterable[TextEvidence]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() for row in rows], TEXT_EVIDENCE)


def read_evidence(inputs: ShardInputs, propose: str) -> dict[tuple[str, str], Evidence]:
    """The evidence on regions, by (image id, region id). propose: the name of the node that made the proposals."""
    rows = (Evidence(**row) for row in inputs.part(propose, EVIDENCE_PART).to_pylist())
    return {(row.image_id, row.region_id): row for row in rows}


def read_text_evidence(inputs: ShardInputs, propose: str) -> dict[tuple[str, str], float]:
    """{(image id, text id): mean_log_prob}. propose: the name of the node that made the proposals."""
    rows = (TextEvidence(**row) for row in inputs.part(propose, TEXT_EVIDENCE_PART).to_pylist())
    return {(row.image_id, row.text_id): row.mean_log_prob for row in rows}
