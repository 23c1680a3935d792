"""The recipe's section `run`: how much may fail, how often to try again, how much runs at once.

None of these options changes an answer, so none is part of a node's key.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.section import Section
from engine.storage import web


class RunOptions(Section):
    """How much may go wrong, how often to try again, and how much runs at once. Changes no answer."""

    max_failures: int = Field(default=1000, ge=0, description="failed images of one component that end the run")
    max_failed_share: float = Field(
        default=0.2, ge=0, le=1, description="share of its images a component may fail on; 8 or fewer end no run"
    )
    missing: Literal["wait", "fail"] = Field(
        default="wait",
        description="images whose source cannot be read now: wait for it and make no release, or count them as failed",
    )
    max_workers: int = Field(default=0, ge=0, description="workers of one component at most; 0: what fits")
    start_timeout_s: float = Field(default=600.0, gt=0, description="seconds a component may take to load")
    start_attempts: int = Field(
        default=2, ge=1, description="how often a component's process may end while it loads, before the run ends"
    )
    image_attempts: int = Field(
        default=3,
        ge=1,
        description="how often an image may cost a component its process, before the image counts as failed",
    )
    web_attempts: int = Field(
        default=web.ATTEMPTS, ge=1, description="requests for one image on a web server, within 30 seconds"
    )
    read_attempts: int = Field(
        default=4,
        ge=1,
        description="runs that try to read an input on an unreachable host; then only --retry-failed does",
    )
