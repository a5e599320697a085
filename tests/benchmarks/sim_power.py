"""Is power as planned? As `ranklift simulate power` asks.

python -m tests.benchmarks.run sim_power
"""

from __future__ import annotations

import numpy as np

from ranklift.cli.simulate.calibration_pages import interval_of, per_cent, truth_text
from ranklift.cli.simulate.statistics import LiftPlan, LiftReadout, SaltedSplit
from ranklift.cli.simulate.worlds import cores, ranked_world, users_for
from ranklift.simulator.calibration.injection import with_lift
from ranklift.simulator.calibration.power import Seen, power_by_size
from ranklift.simulator.calibration.rates import band
from ranklift.simulator.calibration.truths import true_lifts_of

# Published for a production experiment, arXiv 2411.04539.
LIFTS = (0.0047, 0.0058, 0.012)
PAGES, PAGES_PER_USER, EXPERIMENTS, SEED = 200_000, 4.0, 100, 4


def measure() -> str:
    """Run all experiments on all cores and return the page."""
    ranked = ranked_world(pages_per_user=PAGES_PER_USER, seed=SEED)
    users, workers, readout = users_for(PAGES, PAGES_PER_USER), cores(None), LiftReadout()
    scripts = {lift: with_lift(ranked.world, ranked.control, lift) for lift in LIFTS}
    truths = {
        lift: true_lifts_of(script, readout, users=users, populations=10, workers=workers)
        for lift, script in scripts.items()
    }
    rows = power_by_size(
        scripts,
        truths,
        [users],
        SaltedSplit(ranked.world.name, f"power/{SEED}"),
        readout,
        LiftPlan(),
        experiments=EXPERIMENTS,
        workers=workers,
    )
    planned = [row for row in rows if row.planned is not None]
    inside = sum(_within_band(row) for row in planned)
    distance = np.mean([abs(row.seen.value - (row.planned or 0)) for row in planned])
    return "\n".join(
        [
            "# Is power as planned?",
            "",
            f"{EXPERIMENTS} whole experiments for each planted lift, {users:,} users and about "
            f"{PAGES:,} pages each, {ranked.place}. Planned: what `ranklift power` predicts for "
            "the metric's own true lift from a log of as many users.",
            "",
            f"{inside} of {len(planned)} powers lie where 99.9 % of experiments with the planned "
            f"power would; the mean distance is {distance:.1%} (Monte-Carlo error of one: up to "
            f"{0.5 / EXPERIMENTS**0.5:.0%}).",
            "",
            "| planted | metric | true lift | power | 95 % interval | planned |",
            "|---|---|---|---|---|---|",
            *(
                f"| {row.planted:+.2%} | {row.metric} | {truth_text(row.truth)} | "
                f"{per_cent(row.seen.value)} | {interval_of(row.seen)} | "
                f"{per_cent(row.planned or 0)} |"
                for row in planned
            ),
            "",
        ]
    )


def _within_band(row: Seen) -> bool:
    low, high = band(row.seen.count, row.planned or 0)
    return low <= row.seen.value <= high
