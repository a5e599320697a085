"""The experiments of the registry and their layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine, func, or_, select
from sqlalchemy.orm import Session

from ranklift.store.changes import (
    check_etag,
    check_state,
    found_row,
    repeated,
    replace_arms,
    shipped_version,
)
from ranklift.store.database import reading, utc_now, writing_alone
from ranklift.store.definitions import check_arms, check_conflicts, check_references
from ranklift.store.experiment_rows import new_row, revise, to_value, write
from ranklift.store.layers import (
    give_back_slots,
    layer_row,
    occupants,
    revise_layer,
    take_slots,
    to_layer,
)
from ranklift.store.models import champion_row
from ranklift.store.paging import from_token, size_of, to_token
from ranklift.store.tables import (
    ExperimentRow,
    LayerRevisionRow,
    LayerRow,
)
from ranklift.store.values import (
    BUCKETS,
    Decision,
    Experiment,
    ExperimentState,
    Layer,
    RegisteredExperiment,
)
from ranklift.v1.errors import AlreadyExists, InvalidRequest, NotReady

DRAFT, RUNNING, PAUSED, CONCLUDED = (
    ExperimentState.DRAFT,
    ExperimentState.RUNNING,
    ExperimentState.PAUSED,
    ExperimentState.CONCLUDED,
)
# What may change once an experiment ran: nothing that it means.
ALWAYS_OPEN = frozenset({"owner", "hypothesis", "planned_end", "forced"})


class Experiments:
    """Creates experiments and carries them through their life, safe against racing processes.

    A change and all that it rests on, whoever else runs in whichever layer, are one transaction,
    and one of them happens at a time.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self, experiment: Experiment, *, actor: str, request_id: str = ""
    ) -> RegisteredExperiment:
        """Register `experiment` as a draft; a repeated `request_id` returns the one it made.

        Raises:
            AlreadyExists: the name is taken, or `request_id` made another experiment.
            NotFound: a model version or a prerequisite is not registered; `arms[i].model`.
            InvalidRequest: the control is no arm, the shares do not sum to 1, or a prerequisite
                can never hold.
            NotReady: another experiment that runs or is paused wants the same pages.
        """
        check_arms(experiment)
        with writing_alone(self._engine) as session:
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
                    return repeated(to_value(row), experiment)
            if taken:
                raise AlreadyExists.of(
                    "name",
                    f'there is an experiment "{experiment.name}" already; choose another name',
                )
            _check(session, experiment)
            layer_row(session, experiment.layer)
            row = new_row(experiment, actor=actor, request_id=request_id, now=self._clock())
            session.add(row)
            session.flush()
            return to_value(row)

    def get(self, name: str) -> RegisteredExperiment:
        """Return the experiment.

        Raises:
            NotFound: there is none of this name.
        """
        with reading(self._engine) as session:
            return to_value(found_row(session.get(ExperimentRow, name), name))

    def list(
        self,
        state: ExperimentState | None = None,
        page_size: int = 100,
        page_token: str = "",
        *,
        layer: str = "",
        owner: str = "",
    ) -> tuple[list[RegisteredExperiment], str]:
        """Return a page of experiments by name, and the token of the next page, "" on the last.

        Of those in `state`, in `layer` and of `owner`, where they are given.

        Raises:
            InvalidRequest: `page_size` or `page_token`.
        """
        size = size_of(page_size)
        after = from_token(page_token, 1)
        query = select(ExperimentRow).order_by(ExperimentRow.name).limit(size + 1)
        if state is not None:
            query = query.where(ExperimentRow.state == state)
        if layer:
            query = query.where(ExperimentRow.layer == layer)
        if owner:
            query = query.where(ExperimentRow.owner == owner)
        if after is not None:
            query = query.where(ExperimentRow.name > after[0])
        with reading(self._engine) as session:
            found = [to_value(row) for row in session.scalars(query)]
        page = found[:size]
        return page, to_token(page[-1].experiment.name) if len(found) > size else ""

    def running(self) -> tuple[RegisteredExperiment, ...]:
        """Return the experiments that serve their arms, by name."""
        query = (
            select(ExperimentRow).where(ExperimentRow.state == RUNNING).order_by(ExperimentRow.name)
        )
        with reading(self._engine) as session:
            return tuple(to_value(row) for row in session.scalars(query))

    def layers(self) -> tuple[Layer, ...]:
        """Return all layers by name."""
        with reading(self._engine) as session:
            rows = session.scalars(select(LayerRow).order_by(LayerRow.name))
            return tuple(to_layer(row) for row in rows)

    def version(self) -> int:
        """Return a number that grows with every change of any experiment and of any layer; 0 while
        there is none."""
        with reading(self._engine) as session:
            revisions = session.scalar(select(func.sum(ExperimentRow.revision))) or 0
            changes = session.scalar(select(func.count()).select_from(LayerRevisionRow)) or 0
            return revisions + changes

    def set_layer(self, name: str, holdout_share: int, *, actor: str, reason: str) -> Layer:
        """Keep a part of all units, in ten-thousandths, out of a layer; make it if there is none.

        Raises:
            InvalidRequest: `holdout_share` is not in [0, 10000).
            NotReady: an experiment of the layer runs or is paused: its units must not change.
        """
        if not 0 <= holdout_share < BUCKETS:
            raise InvalidRequest.of(
                "holdout_share", f"{holdout_share / BUCKETS:g} is not in [0, 1)"
            )
        with writing_alone(self._engine) as session:
            row = layer_row(session, name)
            if row.holdout_share == holdout_share:
                return to_layer(row)
            for one in occupants(session, name):
                raise NotReady.of(
                    "holdout_share",
                    f'"{one.name}" is {one.state} in layer "{name}", and its units must not '
                    "change; conclude it first",
                )
            row.holdout_share = holdout_share
            revise_layer(session, row, actor=actor, reason=reason, now=self._clock())
            return to_layer(row)

    def update(
        self,
        name: str,
        experiment: Experiment,
        fields: Collection[str],
        *,
        actor: str,
        reason: str,
        etag: str = "",
    ) -> RegisteredExperiment:
        """Give these fields of an experiment the values that they have in `experiment`.

        Of a draft, all fields but the name; of others, those of `ALWAYS_OPEN`. Where nothing
        changes, there is no new revision.

        Raises:
            NotFound: there is none of this name; also as for `create`.
            Conflict: `etag` is not the present one.
            NotReady: a field can no longer change; also as for `create`.
            InvalidRequest: as for `create`.
        """
        with self._changing(name, etag) as (session, row):
            present = to_value(row).experiment
            new = replace(present, **{field: getattr(experiment, field) for field in fields})
            changed = [field for field in fields if getattr(new, field) != getattr(present, field)]
            if not changed:
                return to_value(row)
            closed = sorted(set(changed) - ALWAYS_OPEN)
            if closed and row.state is not DRAFT:
                raise NotReady.of(
                    closed[0],
                    f'"{name}" is {row.state}, and what an experiment means cannot change once it '
                    "ran; conclude it and register another one",
                )
            if closed:
                check_arms(new)
                _check(session, new)
                layer_row(session, new.layer)
            if {"arms", "control"} & set(changed):
                replace_arms(session, row, new)
            write(row, new)
            revise(row, actor=actor, reason=reason, now=self._clock())
            session.flush()
            return to_value(row)

    def start(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Start a draft, which gets its slots for good, or continue a paused experiment.

        Raises:
            NotFound: there is none of this name.
            Conflict: `etag` is not the present one.
            NotReady: it runs or is concluded, its layer has too little room, or another
                experiment wants the same pages.
        """
        with self._changing(name, etag) as (session, row):
            check_state(row, RUNNING, (DRAFT, PAUSED))
            check_conflicts(session, to_value(row).experiment)
            if not row.slots:
                take_slots(session, row)
            row.started = row.started or self._clock()
            return self._moved(session, row, RUNNING, actor, reason)

    def ramp(
        self, name: str, traffic_share: int, *, actor: str, reason: str, etag: str = ""
    ) -> RegisteredExperiment:
        """Raise the traffic share, in ten-thousandths, of a running or paused experiment.

        Raises:
            NotFound: there is none of this name.
            InvalidRequest: `traffic_share` is not in [1, 10000].
            Conflict: `etag` is not the present one.
            NotReady: the share would not grow, or the experiment neither runs nor is paused.
        """
        if not 0 < traffic_share <= BUCKETS:
            raise InvalidRequest.of(
                "traffic_share", f"{traffic_share / BUCKETS:g} is no share, must be in (0, 1]"
            )
        with self._changing(name, etag) as (session, row):
            if row.state not in (RUNNING, PAUSED):
                raise NotReady.of(
                    "name", f'"{name}" is {row.state}, must be paused or running to be ramped'
                )
            if traffic_share <= row.traffic_share:
                raise NotReady.of(
                    "traffic_share",
                    f"{traffic_share / BUCKETS:g} is not above the {row.traffic_share / BUCKETS:g} "
                    "of now, and a traffic share only grows: units would leave their arms",
                )
            row.traffic_share = traffic_share
            return self._moved(session, row, row.state, actor, reason)

    def pause(self, name: str, *, actor: str, reason: str, etag: str = "") -> RegisteredExperiment:
        """Pause a running experiment. It keeps its slots.

        Raises:
            NotFound: there is none of this name.
            Conflict: `etag` is not the present one.
            NotReady: it does not run.
        """
        with self._changing(name, etag) as (session, row):
            check_state(row, PAUSED, (RUNNING,))
            return self._moved(session, row, PAUSED, actor, reason)

    def conclude(
        self,
        name: str,
        decision: Decision,
        *,
        arm: str = "",
        actor: str,
        reason: str,
        etag: str = "",
    ) -> RegisteredExperiment:
        """Conclude an experiment for good and free its slots.

        With `Decision.SHIP` the version of `arm` is the champion from the same moment.

        Raises:
            NotFound: there is none of this name.
            InvalidRequest: `arm` does not fit the decision.
            Conflict: `etag` is not the present one.
            NotReady: it never ran, or is concluded already.
        """
        with self._changing(name, etag) as (session, row):
            shipped = shipped_version(to_value(row).experiment, decision, arm)
            check_state(row, CONCLUDED, (RUNNING, PAUSED))
            now = self._clock()
            row.ended = now
            row.decision = decision
            if shipped is not None:
                why = f'experiment "{name}" shipped arm "{arm}"'
                why = f"{why}: {reason}" if reason else why
                session.add(champion_row(shipped, actor=actor, reason=why, now=now))
            concluded = self._moved(session, row, CONCLUDED, actor, reason, now)
            give_back_slots(session, row, actor=actor, now=now)
            return replace(concluded, slots=())

    @contextmanager
    def _changing(self, name: str, etag: str) -> Iterator[tuple[Session, ExperimentRow]]:
        with writing_alone(self._engine) as session:
            row = found_row(session.get(ExperimentRow, name), name)
            check_etag(to_value(row), etag)
            yield session, row

    def _moved(
        self,
        session: Session,
        row: ExperimentRow,
        to: ExperimentState,
        actor: str,
        reason: str,
        now: datetime | None = None,
    ) -> RegisteredExperiment:
        row.state = to
        revise(row, actor=actor, reason=reason, now=now or self._clock())
        session.flush()
        return to_value(row)


def _check(session: Session, experiment: Experiment) -> None:
    check_references(session, experiment)
    check_conflicts(session, experiment)
