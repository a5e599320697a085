"""Which step is in force and since when, read off revisions."""

from __future__ import annotations

import pytest
from tests.platform.traffic.ramps.ramped import DRAFT, HOUR, PAUSED, RAMP, RUNNING, T0, registered

from ranklift.store.values import ExperimentState, RampStep
from ranklift.traffic.ramps.position import position_of

History = list[tuple[ExperimentState, float, int]]


@pytest.mark.parametrize(
    ("history", "hours"),
    [
        pytest.param([(DRAFT, 0, 100), (RUNNING, 3, 100)], 3, id="started"),
        pytest.param([(RUNNING, 0, 100), (RUNNING, 7, 500)], 7, id="ramped"),
        pytest.param([(RUNNING, 0, 100), (RUNNING, 7, 500), (RUNNING, 9, 500)], 7, id="new-owner"),
        pytest.param([(RUNNING, 0, 100), (PAUSED, 2, 100), (RUNNING, 5, 100)], 5, id="resumed"),
        pytest.param([(RUNNING, 0, 100), (PAUSED, 2, 100)], 0, id="paused"),
        pytest.param(
            [(RUNNING, 0, 100), (PAUSED, 2, 100), (PAUSED, 3, 500), (RUNNING, 5, 500)],
            5,
            id="ramped-while-paused",
        ),
    ],
)
def test_a_step_begins_when_the_share_changes_or_the_experiment_runs_again(
    history: History, hours: float
) -> None:
    assert position_of(registered(history), RAMP).began == T0 + hours * HOUR


@pytest.mark.parametrize(
    ("share", "step", "number", "following"),
    [
        pytest.param(100, RAMP.steps[0], 1, 500, id="first"),
        pytest.param(2_500, RAMP.steps[2], 3, 5_000, id="middle"),
        pytest.param(5_000, RAMP.steps[3], 4, None, id="last"),
        pytest.param(600, RAMP.steps[1], 2, 2_500, id="between-two"),
        pytest.param(10_000, RAMP.steps[3], 4, None, id="beyond-the-last"),
        pytest.param(50, RampStep(50), 0, 100, id="below-the-first"),
    ],
)
def test_the_step_in_force_is_the_last_one_that_the_share_reached(
    share: int, step: RampStep, number: int, following: int | None
) -> None:
    at = position_of(registered([(RUNNING, 0, share)]), RAMP)
    assert (at.step, at.number, at.next_share) == (step, number, following)
