"""What supervision, data, size and pre-training are worth to a student (paper sections 5 and 6, small)."""

from __future__ import annotations

from benchmarks.experiments.book import Experiment

ABLATIONS: tuple[Experiment, ...] = ()
