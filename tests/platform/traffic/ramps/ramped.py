"""An experiment on a ramp, as a value and in a registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ranklift.store.values import (
    Arm,
    Experiment,
    ExperimentState,
    ModelRef,
    Ramp,
    RampStep,
    RegisteredExperiment,
    Revision,
)

HOUR = timedelta(hours=1)
T0 = datetime(2026, 5, 1, 12, tzinfo=UTC)
RAMP = Ramp(
    (
        RampStep(100, 6 * HOUR, 1_000),
        RampStep(500, 12 * HOUR, 5_000),
        RampStep(2_500, 24 * HOUR),
        RampStep(5_000, 48 * HOUR, 100_000),
    )
)
RUNNING, PAUSED, DRAFT = ExperimentState.RUNNING, ExperimentState.PAUSED, ExperimentState.DRAFT


def experiment(ramp: Ramp | None = RAMP, **changes: object) -> Experiment:
    """Return an experiment of two models with UserCTR as its primary metric."""
    made = Experiment(
        name="ramped",
        arms=(
            Arm("control", 5_000, ModelRef("bm25", "1")),
            Arm("student", 5_000, ModelRef("student", "1")),
        ),
        control="control",
        salt="default/ramped",
        traffic_share=ramp.steps[0].traffic_share if ramp else 10_000,
        primary_metric="user_ctr",
        ramp=ramp,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def registered(
    history: Sequence[tuple[ExperimentState, float, int]] = ((RUNNING, 0, 100),),
    ramp: Ramp = RAMP,
) -> RegisteredExperiment:
    """Return an experiment with these revisions: state, hours after `T0`, traffic share."""
    revisions = tuple(
        Revision(number, state, "ann", "", T0 + hours * HOUR, share)
        for number, (state, hours, share) in enumerate(history, start=1)
    )
    state, _, share = history[-1]
    return RegisteredExperiment(
        experiment(ramp, traffic_share=share),
        state,
        revision=len(revisions),
        created=T0 - HOUR,
        updated=revisions[-1].created,
        started=next((r.created for r in revisions if r.state is RUNNING), None),
        revisions=revisions,
    )
