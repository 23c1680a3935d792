"""What the data set cost, by node and by run, from the records of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analyse.charts import bars
from pipelines.analyse.figure import Figure, Row, Section

if TYPE_CHECKING:
    import altair as alt

_NONE = "No run has a record yet."
_SHOWN = 40  # nodes in the chart


def _nodes(rows: Sequence[Row]) -> alt.TopLevelMixin | None:
    shown = list(dict.fromkeys(row["node"] for row in rows))[:_SHOWN]
    titles = {"node": "node", "worker_seconds": "worker seconds", "seconds_per_1000": "seconds per 1,000 items"}
    return bars(
        [row for row in rows if row["node"] in shown],
        of="node",
        by="worker_seconds",
        titles=titles | {"items": "items", "failed": "failed"},
        description="Worker seconds of each node, the most expensive first",
    )


SECTION = Section(
    "cost",
    "Cost",
    "From the records of finished runs. A worker second is the time of a worker, of whatever hardware it ran on. Not "
    "recorded, so in no number here: runs that were killed, training of students between nodes, money, energy, and "
    "which time was spent waiting for files.",
    (
        Figure(
            query="cost_by_node",
            title="Worker seconds of each node",
            reading="Over all runs. Items are images, or texts for nodes that parse. The node that costs most is where "
            "a faster model or more workers help; many failures waste its time.",
            chart=_nodes,
            key=("node",),
            columns={
                "node": "Node",
                "runs": "Runs",
                "items": "Items",
                "failed": "Failed",
                "skipped": "Skipped",
                "worker_seconds": "Worker seconds",
                "items_per_second": "Items a second",
                "seconds_per_1000": "Seconds for 1,000 items",
                "share": "Share of all nodes",
            },
            shares=frozenset(("share",)),
            empty=_NONE,
        ),
        Figure(
            query="cost_by_run",
            title="Runs",
            reading="Seconds: by the clock. Worker seconds: summed over all workers, so they are more than the clock "
            "shows where several worked at once.",
            key=("run",),
            columns={
                "run": "Run",
                "stage": "Stage",
                "listed": "New inputs",
                "seconds": "Seconds",
                "worker_seconds": "Worker seconds",
                "items": "Items",
                "failed": "Failed",
                "ended": "Ended",
                "outcome": "Outcome",
                "release": "Release",
                "command": "Command",
                "runs": "Runs in all",
            },
            empty=_NONE,
        ),
    ),
)
