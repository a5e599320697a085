"""Is the lift report honest in worlds whose truth is known? As `ranklift simulate` asks.

python -m tests.benchmarks.run sim_calibration

The seeds were fixed before the first run. `EXPERIMENTS` in the environment runs fewer, for a look.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ranklift.cli.simulate.calibration_pages import aa_page, coverage_page
from ranklift.cli.simulate.pages import Page
from ranklift.cli.simulate.statistics import LiftReadout, SaltedSplit
from ranklift.cli.simulate.worlds import about, cores, ranked_world, users_for
from ranklift.lift.render.as_markdown import grid_markdown
from ranklift.simulator.calibration.aa import aa_report
from ranklift.simulator.calibration.coverage import CoverageReport, coverage_report
from ranklift.simulator.calibration.experiment import Experiments, two_arms
from ranklift.simulator.calibration.rates import Rate
from ranklift.simulator.calibration.readout import Readings
from ranklift.simulator.calibration.repeat import repeat
from ranklift.simulator.calibration.truths import true_lifts_of

EXPERIMENTS = int(os.environ.get("EXPERIMENTS", "1000"))
PAGES, PAGES_PER_USER = 100_000, 4.0
REJECTION, COVERAGE = (0.035, 0.065), (0.93, 0.97)
MINUTES = 10
TRUTH_PAGES = 10_000_000  # in each life
AA_SEED, COVERAGE_SEED, DEMO_SEED = 1, 2, 3
# As large as the quick demo's experiment.
DEMO_PAGES, DEMO_EXPERIMENTS = 4_000, EXPERIMENTS // 2


def measure() -> str:
    """Run all experiments on all cores and return the page."""
    began = time.perf_counter()
    null = _play(AA_SEED, PAGES, EXPERIMENTS, same=True)
    aa = aa_report(null.found)
    minutes = (time.perf_counter() - began) / 60
    each = 60 * minutes / EXPERIMENTS
    lifted = _play(COVERAGE_SEED, PAGES, EXPERIMENTS, same=False)
    small = _play(DEMO_SEED, DEMO_PAGES, DEMO_EXPERIMENTS, same=False)
    large_covered, small_covered = _covered(lifted, PAGES), _covered(small, DEMO_PAGES)
    rejected = {metric.metric: metric.rejected for metric in aa.metrics}
    return "\n".join(
        [
            "# Is the lift report honest where the truth is known?",
            "",
            "Whole experiments: users simulated, split by a salted hash, their log read by "
            "`ranklift.lift.analyze`, every metric that it can tell from a log of pages and clicks "
            "(latency and fallback pages are a service's). Seeds fixed beforehand.",
            "",
            *_section(aa_page(aa, null.about)),
            f"{EXPERIMENTS:,} experiments with statistics took {minutes:.1f} minutes, {each:.2f} s "
            f"each, on {cores(None)} cores, the making of the world included (wanted for 1,000: "
            f"at most {MINUTES}). {_within('Rejection', rejected, REJECTION)}",
            "",
            *_section(coverage_page(large_covered, lifted.about)),
            _within("Coverage", _held(large_covered), COVERAGE),
            "",
            *_section(coverage_page(small_covered, small.about)),
            _within("Coverage", _held(small_covered), COVERAGE),
            "",
        ]
    )


@dataclass(frozen=True)
class Series:
    """Experiments on one world, with what was said of each."""

    about: str
    played: Experiments
    found: Sequence[Readings]


def _play(seed: int, pages: int, experiments: int, *, same: bool) -> Series:
    ranked = ranked_world(pages_per_user=PAGES_PER_USER, seed=seed)
    users = users_for(pages, PAGES_PER_USER)
    played = Experiments(
        two_arms(ranked.world, ranked.control, ranked.control if same else ranked.arm),
        users,
        SaltedSplit(ranked.world.name, f"benchmark/{seed}"),
        LiftReadout(),
    )
    told = about(ranked, users, PAGES_PER_USER)
    found = repeat(played, range(experiments), workers=cores(None))
    return Series(told if same else f"{told} {ranked.told}", played, found)


def _covered(series: Series, pages: int) -> CoverageReport:
    truths = true_lifts_of(
        series.played.script,
        series.played.readout,
        users=series.played.users,
        # As many users in all, however small an experiment is.
        populations=TRUTH_PAGES // pages,
        workers=cores(None),
    )
    return coverage_report(series.found, truths)


def _section(page: Page) -> list[str]:
    lines = [f"## {page.title}", "", *(line for told in page.lead for line in (told, ""))]
    for grid in page.grids:
        lines += [f"**{grid.title}**", "", grid_markdown(grid)]
    return lines


def _held(report: CoverageReport) -> Mapping[str, Rate]:
    return {metric.metric: metric.held for metric in report.metrics}


def _within(what: str, rates: Mapping[str, Rate], wanted: tuple[float, float]) -> str:
    low, high = wanted
    outside = [
        f"{name} ({rate.value:.1%})"
        for name, rate in rates.items()
        if not low <= rate.value <= high
    ]
    said = f"{what} within {low:.1%} to {high:.1%}: {len(rates) - len(outside)} of {len(rates)}."
    return f"{said} Outside: **{', '.join(outside)}**." if outside else said
