"""The section `run` of a recipe. None of its options changes an annotation, so none is part of a node's key."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.section import Section
from engine.storage import web


class RunOptions(Section):
    """How many failures a run accepts, how often it tries again, and how much it does at once."""

    max_failures: int = Field(default=1000, ge=0, description="the run stops if one component fails on more images")
    max_failed_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="a run fails if a component fails on a larger share of its images, and on more than 8",
    )
    missing: Literal["wait", "fail"] = Field(
        default="wait",
        description="images whose source cannot be read now: wait (no release until they can be) or fail (count them "
        "as failed)",
    )
    max_workers: int = Field(default=0, ge=0, description="most workers of one component; 0: as many as fit")
    start_timeout_s: float = Field(default=600.0, gt=0, description="seconds that a component may take to load")
    start_attempts: int = Field(
        default=2, ge=1, description="the run stops if this many processes of a component died while loading"
    )
    image_attempts: int = Field(
        default=3, ge=1, description="an image counts as failed if this many processes died on it"
    )
    web_attempts: int = Field(
        default=web.ATTEMPTS, ge=1, description="requests for one image on a web server, within 30 seconds"
    )
    read_attempts: int = Field(
        default=4,
        ge=1,
        description="number of runs that try to read an input on an unreachable host; later only --retry-failed does",
    )
