"""The retraining runs of the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from ranklift.store.database import reading, utc_now, writing
from ranklift.store.paging import from_token, size_of, to_token
from ranklift.store.tables import ComparisonRow, RunRow, RunStepRow, ScheduleRow
from ranklift.store.values import Comparison, ModelRef, Run, RunState, Step
from ranklift.v1.errors import InvalidRequest, NotFound, NotReady


class Runs:
    """Records retrainings, step by step. A run's id is its schedule and its number."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def create(self, schedule: str) -> Run:
        """Queue a run of the schedule.

        Raises:
            NotFound: there is no such schedule.
        """
        with writing(self._engine) as session:
            if session.get(ScheduleRow, schedule) is None:
                raise NotFound.of("name", f'there is no schedule "{schedule}"; list the schedules')
            row = RunRow(schedule=schedule, state=RunState.QUEUED, created=self._clock(), reason="")
            session.add(row)
            session.flush()
            return _to_value(row)

    def get(self, run_id: str) -> Run:
        """Return the run.

        Raises:
            NotFound: there is none of this id.
        """
        with reading(self._engine) as session:
            return _to_value(_found(session, run_id))

    def list(
        self, schedule: str = "", page_size: int = 100, page_token: str = ""
    ) -> tuple[list[Run], str]:
        """Return a page of runs, newest first, and the token of the next page, "" on the last.

        Raises:
            InvalidRequest: `page_size` or `page_token`.
        """
        size = size_of(page_size)
        before = from_token(page_token, 1)
        query = select(RunRow).order_by(RunRow.number.desc()).limit(size + 1)
        if schedule:
            query = query.where(RunRow.schedule == schedule)
        if before is not None:
            query = query.where(RunRow.number < _number(before[0]))
        with reading(self._engine) as session:
            rows = list(session.scalars(query))
            token = to_token(str(rows[size - 1].number)) if len(rows) > size else ""
            return [_to_value(row) for row in rows[:size]], token

    def queued(self) -> tuple[Run, ...]:
        """Return the runs that wait for somebody to claim them, oldest first."""
        query = select(RunRow).where(RunRow.state == RunState.QUEUED).order_by(RunRow.number)
        with reading(self._engine) as session:
            return tuple(_to_value(row) for row in session.scalars(query))

    def claim(self, run_id: str) -> Run:
        """Take up a queued run: of several who try, one gets it.

        Raises:
            NotFound: there is none of this id.
            NotReady: it was claimed before.
        """
        with writing(self._engine) as session:
            row = _found(session, run_id, lock=True)
            if row.state is not RunState.QUEUED:
                raise NotReady.of(
                    "run_id", f'"{run_id}" is {row.state} and is not run again; ask for a new run'
                )
            row.state = RunState.RUNNING
            return _to_value(row)

    def step_started(self, run_id: str, name: str) -> None:
        """Record that a step of a running run began."""
        with writing(self._engine) as session:
            row = _running(session, run_id)
            row.steps.append(
                RunStepRow(
                    position=len(row.steps),
                    name=name,
                    state=RunState.RUNNING,
                    started=self._clock(),
                    detail="",
                )
            )

    def step_ended(self, run_id: str, name: str, state: RunState, detail: str) -> None:
        """Record how a step ended and, in one sentence, what came of it."""
        with writing(self._engine) as session:
            step = next(step for step in _running(session, run_id).steps if step.name == name)
            step.state = state
            step.ended = self._clock()
            step.detail = detail

    def compared(self, run_id: str, comparisons: Sequence[Comparison]) -> None:
        """Record the offline comparison of a running run."""
        with writing(self._engine) as session:
            row = _running(session, run_id)
            row.comparisons = [
                ComparisonRow(position=position, **asdict(comparison))
                for position, comparison in enumerate(comparisons)
            ]

    def registered(self, run_id: str, version: ModelRef) -> None:
        """Record the model version that a running run made."""
        with writing(self._engine) as session:
            row = _running(session, run_id)
            row.model, row.version = version.model, version.version

    def started_experiment(self, run_id: str, experiment: str) -> None:
        """Record the experiment that a running run started."""
        with writing(self._engine) as session:
            _running(session, run_id).experiment = experiment

    def finish(self, run_id: str, state: RunState, reason: str = "") -> Run:
        """End a run; `reason` says why it was skipped, rejected or failed.

        A step still under way ends with it.

        Raises:
            NotFound: there is none of this id.
            NotReady: it is over already.
        """
        if not state.over:
            raise ValueError(f"a run cannot end as {state}")
        with writing(self._engine) as session:
            row = _found(session, run_id, lock=True)
            if row.state.over:
                raise NotReady.of("run_id", f'"{run_id}" is over: {row.state}')
            now = self._clock()
            for step in row.steps:
                if not step.state.over:
                    step.state, step.ended, step.detail = state, now, reason
            row.state, row.ended, row.reason = state, now, reason
            return _to_value(row)


def _found(session: Session, run_id: str, *, lock: bool = False) -> RunRow:
    schedule, _, number = run_id.rpartition("-")
    row = (
        session.get(RunRow, int(number), with_for_update=lock)
        if number.isascii() and number.isdecimal() and len(number) < 10
        else None
    )
    if row is None or row.schedule != schedule:
        raise NotFound.of("run_id", f'there is no run "{run_id}"; list the runs')
    return row


def _running(session: Session, run_id: str) -> RunRow:
    row = _found(session, run_id, lock=True)
    if row.state is not RunState.RUNNING:
        raise NotReady.of("run_id", f'"{run_id}" is {row.state}, must be running; claim it first')
    return row


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidRequest.of(
            "page_token", "not a token of this list; pass next_page_token of the previous reply"
        )
    return int(text)


def _to_value(row: RunRow) -> Run:
    return Run(
        run_id=f"{row.schedule}-{row.number}",
        schedule=row.schedule,
        state=row.state,
        created=row.created,
        ended=row.ended,
        steps=tuple(
            Step(step.name, step.state, step.started, step.ended, step.detail) for step in row.steps
        ),
        reason=row.reason,
        model_version=str(ModelRef(row.model, row.version)) if row.model and row.version else "",
        experiment=row.experiment or "",
        comparisons=tuple(
            Comparison(**{field.name: getattr(c, field.name) for field in fields(Comparison)})
            for c in row.comparisons
        ),
    )
