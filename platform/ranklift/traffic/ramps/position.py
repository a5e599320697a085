"""Which step of its ramp an experiment stands on, read off its revisions and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from ranklift.store.values import ExperimentState, Ramp, RampStep, RegisteredExperiment


@dataclass(frozen=True, slots=True)
class Position:
    """The step in force, the `number`-th of `steps`, from 1; 0 while the share is below the first.

    `began` is when the traffic share last changed, or the experiment last began to run, whichever
    is later: a pause breaks a step off. `next_share` is None on the last step.
    """

    step: RampStep
    number: int
    steps: int
    began: datetime
    next_share: int | None

    @property
    def hold_until(self) -> datetime:
        return self.began + self.step.hold

    def __str__(self) -> str:
        return f"step {self.number} of {self.steps}, {percent(self.step.traffic_share)} of traffic"


def position_of(registered: RegisteredExperiment, ramp: Ramp) -> Position:
    """Return where an experiment stands.

    A person may have set a share between two steps: what the step below it asks for holds.
    """
    share = registered.experiment.traffic_share
    reached = [step for step in ramp.steps if step.traffic_share <= share]
    to_come = [step.traffic_share for step in ramp.steps if step.traffic_share > share]
    return Position(
        step=reached[-1] if reached else RampStep(share),
        number=len(reached),
        steps=len(ramp.steps),
        began=_began(registered),
        next_share=to_come[0] if to_come else None,
    )


def percent(share: int) -> str:
    """Return ten-thousandths as "25 %"."""
    return f"{share / 100:g} %"


def _began(registered: RegisteredExperiment) -> datetime:
    began = registered.started or registered.created
    for before, now in pairwise(registered.revisions):
        resumed = before.state is not ExperimentState.RUNNING
        # Other revisions, such as a new owner, leave the step as it is.
        if now.state is ExperimentState.RUNNING and (
            resumed or now.traffic_share != before.traffic_share
        ):
            began = now.created
    return began
