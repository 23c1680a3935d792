"""The tables and the plot of docs/experiments.md, written from the json of each experiment."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.experiments.book import Experiment


def write(experiments: Sequence[Experiment]) -> None:
    del experiments
