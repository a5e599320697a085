"""What a log shows for and against a ramp, from unit sums.

A ramp is looked at every minute, so everything here holds at all looks together. What is compared
are all units exposed since the start, with all that was counted of them since. A ramp adds units
to all arms at the same instants and in the planned ratio, so the arms' histories stay alike: an
arm's young units, with their short histories, stand against as many of control's. Comparing one
step with another, or an arm with control's traffic of another time, would not be fair.

The clock of the confidence sequences is the number of units, which is right while new ones come.
While only old ones return, their sums go on changing at a standing clock, and false alarms are
more frequent than theory says; docs/benchmarks/ramp.md measures how often.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ranklift.lift.exposed import units_that_count
from ranklift.lift.subject import Subject
from ranklift.store.values import Experiment
from ranklift.traffic.ramps.faults import assignment_faults, fallback_faults
from ranklift.traffic.ramps.harm import Watched, watch

# Where neither a size is planned nor a step asks for units. At 200 times as many, an alarm needs
# 1.2 times the effect that it would need with the right number: plan a size.
UNPLANNED_UNITS = 20_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known at one look; of an empty log, nothing.

    `units` were exposed since the start, `units_in_step` since the step began, and `last_page` is
    the newest page of the step. `faults` say why the numbers cannot be trusted, `untold` what
    cannot be measured yet.
    """

    units: int = 0
    units_in_step: int = 0
    last_page: datetime | None = None
    faults: tuple[str, ...] = ()
    watched: tuple[Watched, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def harms(self) -> tuple[Watched, ...]:
        return tuple(one for one in self.watched if one.harmful)


def planned_size(experiment: Experiment) -> int:
    """Return the units, over all arms, that the alarms are the sharpest at; no effect moves it."""
    steps = experiment.ramp.steps if experiment.ramp else ()
    most = max((step.min_units for step in steps), default=0)
    return experiment.analysis.planned_units or most or UNPLANNED_UNITS


def evidence_of(subject: Subject, size: int, units: pl.DataFrame, step: pl.DataFrame) -> Evidence:
    """Return the evidence of unit sums (`lift.sums`) since the start, and since the step began.

    `size` as `planned_size`.

    Raises:
        InvalidRequest: the plan names an unknown metric.
    """
    counted, in_step = units_that_count(units, subject), units_that_count(step, subject)
    watched, untold = watch(subject, size, counted)
    faults = assignment_faults(subject, units)
    faults += fallback_faults(subject, size, in_step.assigned)
    newest = step["last_page_time"].max() if "last_page_time" in step.columns else None
    return Evidence(
        units=counted.exposed.height,
        units_in_step=in_step.exposed.height,
        last_page=newest if isinstance(newest, datetime) else None,
        faults=tuple(faults),
        watched=tuple(watched),
        untold=tuple(untold),
    )
