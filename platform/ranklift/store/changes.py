"""What a change of an experiment must fit: its etag, its state, and what a decision ships."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from ranklift.store.experiment_rows import arm_rows
from ranklift.store.tables import ExperimentRow, ForecastRow
from ranklift.store.values import (
    Decision,
    Experiment,
    ExperimentState,
    ModelRef,
    RegisteredExperiment,
)
from ranklift.v1.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, NotReady


def check_etag(present: RegisteredExperiment, etag: str) -> None:
    """Refuse an etag that is given and is not the present one.

    Raises:
        Conflict: it is stale.
    """
    if etag and etag != present.etag:
        raise Conflict.of(
            "etag",
            f'"{etag:.80}" is stale, the experiment is at "{present.etag}"; get it again and '
            "repeat",
        )


def check_state(
    row: ExperimentRow, to: ExperimentState, allowed_from: Collection[ExperimentState]
) -> None:
    """Refuse a change that the present state does not allow.

    Raises:
        NotReady: names the states that do.
    """
    if row.state not in allowed_from:
        allowed = " or ".join(sorted(allowed_from))
        raise NotReady.of("name", f'"{row.name}" is {row.state}, must be {allowed} to become {to}')


def replace_arms(session: Session, row: ExperimentRow, new: Experiment) -> None:
    """Give a draft the arms of `new`.

    Raises:
        NotReady: forecasts refer to the arms of now.
    """
    forecast = session.scalar(select(ForecastRow).where(ForecastRow.experiment == row.name))
    if forecast is not None:
        raise NotReady.of(
            "arms", f'"{row.name}" has forecasts for its arms; register another experiment'
        )
    row.arms.clear()
    session.flush()  # or the new rows would meet the old ones
    row.arms.extend(arm_rows(new))


def shipped_version(experiment: Experiment, decision: Decision, arm: str) -> ModelRef | None:
    """Return the model version that the decision ships, None when it ships none.

    Raises:
        InvalidRequest: `arm` does not fit the decision.
    """
    if decision is not Decision.SHIP:
        if arm:
            raise InvalidRequest.of(
                "arm", f'is "{arm:.64}", must be empty unless the decision is to ship'
            )
        return None
    models = {one.name: one.model for one in experiment.arms}
    if arm not in models:
        given = f'"{arm:.64}" is no arm' if arm else "is empty"
        raise InvalidRequest.of("arm", f"{given}, must name the arm to ship")
    if models[arm] is None:
        raise InvalidRequest.of(
            "arm",
            f'"{arm}" has no model version of its own to ship; conclude without shipping and set '
            "the champion",
        )
    return models[arm]


def found_row(row: ExperimentRow | None, name: str) -> ExperimentRow:
    """Return the row that was looked up by `name`.

    Raises:
        NotFound: there is none.
    """
    if row is None:
        raise NotFound.of("name", f'there is no experiment "{name}"; list the experiments')
    return row


def repeated(made: RegisteredExperiment, experiment: Experiment) -> RegisteredExperiment:
    """Return what a request made before. Once that was changed, its content says nothing more of
    what was asked for, so only the name is compared."""
    same_name = made.experiment.name == experiment.name
    if not same_name or (made.revision == 1 and made.experiment != experiment):
        raise AlreadyExists.of(
            "request_id",
            f'it made experiment "{made.experiment.name}" with other content; use a new id',
        )
    return made
