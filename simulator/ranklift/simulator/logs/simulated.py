"""A world's own log, in the form of logs that really happened."""

from __future__ import annotations

from ranklift.simulator.logs.exported import log_of_frames
from ranklift.simulator.logs.search_log import SearchLog
from ranklift.simulator.vectorised import SimulatedRanker, simulate
from ranklift.simulator.world import Rankings, World


def simulated_log(world: World, rankings: Rankings) -> SearchLog:
    """Return what the users of the world do when everybody sees `rankings`.

    Raises:
        InvalidRequest: a query of the world has no ranking.
    """
    events = simulate(world, SimulatedRanker(rankings, "shown", "1"))
    return log_of_frames(events.pages, events.clicks, events.dwells, world.name)
