"""Whether a rule can read its options, found out before anything runs: some errors only a call shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from engine.schema import IMAGES, PARSE, record_table
from filters.chain import judge
from filters.verdict import Rule


def try_options(name: str, rule: Rule, options: Mapping[str, Any]) -> None:
    """Ask the rule about a shard without images. ConfigError for an unknown granularity, a bound that is no number,
    a file that is not there.
    """
    images = IMAGES.empty_table().append_column("same_distance", pa.array(np.zeros(0)))
    judge(record_table([]), images, PARSE.empty_table(), [(name, rule, options)])
