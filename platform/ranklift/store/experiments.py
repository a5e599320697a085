"""The experiments of the registry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from sqlalchemy import Engine, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ranklift.store.analysis_json import plan_content, read_plan
from ranklift.store.database import reading, utc_now, writing
from ranklift.store.paging import from_token, size_of, to_token
from ranklift.store.tables import (
    ArmRow,
    ExperimentRevisionRow,
    ExperimentRow,
    LayerRow,
    ModelVersionRow,
)
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Decision,
    Experiment,
    ExperimentState,
    ModelRef,
    RegisteredExperiment,
    Revision,
)
from ranklift.v1.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    NotFound,
    NotReady,
    RequestError,
    Violation,
)


class Experiments:
    """Creates experiments and carries them through their life, safe against racing processes."""

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self, experiment: Experiment, *, actor: str, request_id: str = ""
    ) -> RegisteredExperiment:
        """Register `experiment` as a draft; a repeated `request_id` returns the one it made.

        Raises:
            AlreadyExists: the name is taken, or `request_id` made another experiment.
            NotFound: an arm's model version is not registered; `arms[i].model`.
            InvalidRequest: the control is no arm, or the shares do not sum to 1.
        """
        _check(experiment)
        try:
            return self._create(experiment, actor, request_id)
        except IntegrityError:
            # Another process registered the same name, request or layer meanwhile. It has
            # committed, so a second look tells which.
            return self._create(experiment, actor, request_id)

    def get(self, name: str) -> RegisteredExperiment:
        """Return the experiment.

        Raises:
            NotFound: there is none of this name.
        """
        with reading(self._engine) as session:
            return _to_value(_found(session.get(ExperimentRow, name), name))

    def list(
        self, state: ExperimentState | None = None, page_size: int = 100, page_token: str = ""
    ) -> tuple[list[RegisteredExperiment], str]:
        """Return a page of experiments by name, and the token of the next page, "" on the last.

        Raises:
            InvalidRequest: `page_size` or `page_token`.
        """
        size = size_of(page_size)
        after = from_token(page_token, 1)
        query = select(ExperimentRow).order_by(ExperimentRow.name).limit(size + 1)
        if state is not None:
            query = query.where(ExperimentRow.state == state)
        if after is not None:
            query = query.where(ExperimentRow.name > after[0])
        with reading(self._engine) as session:
            found = [_to_value(row) for row in session.scalars(query)]
        page = found[:size]
        return page, to_token(page[-1].experiment.name) if len(found) > size else ""

    def running(self) -> tuple[RegisteredExperiment, ...]:
        """Return the experiments that serve their arms, by name."""
        query = (
            select(ExperimentRow)
            .where(ExperimentRow.state == ExperimentState.RUNNING)
            .order_by(ExperimentRow.name)
        )
        with reading(self._engine) as session:
            return tuple(_to_value(row) for row in session.scalars(query))

    def version(self) -> int:
        """Return a number that grows with every change of any experiment; 0 while there is none."""
        with reading(self._engine) as session:
            return session.scalar(select(func.coalesce(func.sum(ExperimentRow.revision), 0))) or 0

    def transition(
        self,
        name: str,
        to: ExperimentState,
        *,
        allowed_from: Collection[ExperimentState],
        actor: str,
        reason: str,
        etag: str = "",
        decision: Decision | None = None,
    ) -> RegisteredExperiment:
        """Carry an experiment into the state `to` and return it as it is then.

        `decision` belongs to `CONCLUDED` and to no other state. At most one
        experiment runs at a time.

        Raises:
            NotFound: there is none of this name.
            Conflict: `etag` is not the present one.
            NotReady: its state is not in `allowed_from`, or another experiment runs.
            InvalidRequest: `decision` is missing or out of place.
        """
        if (decision is not None) != (to is ExperimentState.CONCLUDED):
            raise InvalidRequest.of(
                "decision", f"an experiment has a decision when it is concluded, not when {to}"
            )
        try:
            with writing(self._engine) as session:
                row = _found(session.get(ExperimentRow, name, with_for_update=True), name)
                _check_etag(row, etag)
                _check_state(row, to, allowed_from)
                self._move(row, to, actor, reason, decision)
                session.flush()
                return _to_value(row)
        except IntegrityError as error:
            # The index of running experiments holds this one back.
            raise self._held_back(name) from error

    def _create(self, experiment: Experiment, actor: str, request_id: str) -> RegisteredExperiment:
        now = self._clock()
        with writing(self._engine) as session:
            # One statement, so that both answers are of the same instant.
            taken = session.scalars(
                select(ExperimentRow).where(
                    or_(
                        ExperimentRow.name == experiment.name,
                        ExperimentRow.request_id == request_id,
                    )
                )
            ).all()
            for row in taken:
                if row.request_id == request_id:
                    return _repeated(_to_value(row), experiment)
            if taken:
                raise AlreadyExists.of(
                    "name",
                    f'there is an experiment "{experiment.name}" already; choose another name',
                )
            _check_models(session, experiment)
            session.merge(LayerRow(name=experiment.layer))
            session.flush()
            row = _to_row(experiment, now, request_id)
            row.revisions.append(
                ExperimentRevisionRow(
                    number=1,
                    state=ExperimentState.DRAFT,
                    actor=actor,
                    reason="created",
                    created=now,
                )
            )
            session.add(row)
            session.flush()
            return _to_value(row)

    def _move(
        self,
        row: ExperimentRow,
        to: ExperimentState,
        actor: str,
        reason: str,
        decision: Decision | None,
    ) -> None:
        now = self._clock()
        row.state = to
        row.revision += 1
        row.updated = now
        if to is ExperimentState.RUNNING and row.started is None:
            row.started = now
        if to is ExperimentState.CONCLUDED:
            row.ended = now
            row.decision = decision
        row.revisions.append(
            ExperimentRevisionRow(
                number=row.revision, state=to, actor=actor, reason=reason, created=now
            )
        )

    def _held_back(self, name: str) -> RequestError:
        with reading(self._engine) as session:
            row = _found(session.get(ExperimentRow, name), name)
            try:
                _check_alone(session, row)
            except NotReady as error:
                return error
        return Conflict.of("name", f'"{name}" changed meanwhile; get it again and repeat')


def _check(experiment: Experiment) -> None:
    if experiment.control not in {arm.name for arm in experiment.arms}:
        raise InvalidRequest.of(
            "control", f'"{experiment.control}" is not an arm; name one of the arms'
        )
    total = sum(arm.share for arm in experiment.arms)
    if total != BUCKETS:
        raise InvalidRequest.of("arms", f"the shares sum to {total / BUCKETS}, must sum to 1")


def _check_models(session: Session, experiment: Experiment) -> None:
    missing = [
        Violation(f"arms[{i}].model", f"{ref} is not registered; register the model version first")
        for i, arm in enumerate(experiment.arms)
        for ref in arm.models
        if session.get(ModelVersionRow, (ref.model, ref.version)) is None
    ]
    if missing:
        raise NotFound(missing)


def _check_etag(row: ExperimentRow, etag: str) -> None:
    present = _to_value(row).etag
    if etag and etag != present:
        raise Conflict.of(
            "etag", f'"{etag}" is stale, the experiment is at "{present}"; get it again and repeat'
        )


def _check_state(
    row: ExperimentRow, to: ExperimentState, allowed_from: Collection[ExperimentState]
) -> None:
    if row.state not in allowed_from:
        allowed = " or ".join(sorted(allowed_from))
        raise NotReady.of("name", f'"{row.name}" is {row.state}, must be {allowed} to become {to}')


def _check_alone(session: Session, row: ExperimentRow) -> None:
    other = session.scalar(
        select(ExperimentRow).where(
            ExperimentRow.state == ExperimentState.RUNNING, ExperimentRow.name != row.name
        )
    )
    if other is None:
        return
    if other.layer == row.layer:
        why = f'"{other.name}" runs in layer "{row.layer}" already'
    else:
        why = (
            f'"{other.name}" runs in layer "{other.layer}", and one page has one ranker: '
            "experiments of other layers cannot run beside it"
        )
    raise NotReady.of("name", f"{why}; pause or conclude it first")


def _found(row: ExperimentRow | None, name: str) -> ExperimentRow:
    if row is None:
        raise NotFound.of("name", f'there is no experiment "{name}"; list the experiments')
    return row


def _repeated(made: RegisteredExperiment, experiment: Experiment) -> RegisteredExperiment:
    if made.experiment != experiment:
        raise AlreadyExists.of(
            "request_id",
            f'it made experiment "{made.experiment.name}" with other content; use a new id',
        )
    return made


def _to_row(experiment: Experiment, now: datetime, request_id: str) -> ExperimentRow:
    return ExperimentRow(
        name=experiment.name,
        layer=experiment.layer,
        unit=experiment.unit,
        traffic_share=experiment.traffic_share,
        salt=experiment.salt,
        primary_metric=experiment.primary_metric,
        owner=experiment.owner,
        hypothesis=experiment.hypothesis,
        planned_end=experiment.planned_end,
        analysis=plan_content(experiment.analysis),
        state=ExperimentState.DRAFT,
        revision=1,
        created=now,
        updated=now,
        request_id=request_id or None,
        arms=[
            ArmRow(
                name=arm.name,
                position=position,
                share=arm.share,
                is_control=arm.name == experiment.control,
                model=arm.model.model if arm.model else None,
                version=arm.model.version if arm.model else None,
            )
            for position, arm in enumerate(experiment.arms)
        ],
    )


def _to_value(row: ExperimentRow) -> RegisteredExperiment:
    return RegisteredExperiment(
        experiment=Experiment(
            name=row.name,
            arms=tuple(
                Arm(arm.name, arm.share, ModelRef(arm.model, arm.version)) for arm in row.arms
            ),
            control=next(arm.name for arm in row.arms if arm.is_control),
            salt=row.salt,
            layer=row.layer,
            unit=row.unit,
            traffic_share=row.traffic_share,
            primary_metric=row.primary_metric,
            owner=row.owner,
            hypothesis=row.hypothesis,
            planned_end=row.planned_end,
            analysis=read_plan(row.analysis),
        ),
        state=row.state,
        revision=row.revision,
        created=row.created,
        updated=row.updated,
        started=row.started,
        ended=row.ended,
        decision=row.decision,
        request_id=row.request_id or "",
        revisions=tuple(
            Revision(r.number, r.state, r.actor, r.reason, r.created) for r in row.revisions
        ),
    )
