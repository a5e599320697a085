"""The retraining schedules of the registry."""

from __future__ import annotations

from dataclasses import asdict, fields

from sqlalchemy import Engine, select

from ranklift.store.database import reading, writing, writing_alone
from ranklift.store.layers import layer_row
from ranklift.store.tables import ModelRow, ScheduleRow
from ranklift.store.values import Schedule
from ranklift.v1.errors import NotFound, RequestError, Violation


class Schedules:
    """Keeps when and how students are retrained."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, schedule: Schedule) -> Schedule:
        """Create or replace the schedule of this name.

        Raises:
            NotFound: the student or the teacher is not registered.
        """
        with writing_alone(self._engine) as session:
            missing = [
                Violation(field, f'there is no model "{model}"; register a version of it first')
                for field, model in (("student", schedule.student), ("teacher", schedule.teacher))
                if session.get(ModelRow, model) is None
            ]
            if missing:
                raise NotFound(missing)
            layer_row(session, schedule.layer)
            session.merge(ScheduleRow(**asdict(schedule)))
        return schedule

    def get(self, name: str) -> Schedule:
        """Return the schedule.

        Raises:
            NotFound: there is none of this name.
        """
        with reading(self._engine) as session:
            row = session.get(ScheduleRow, name)
            if row is None:
                raise _not_found(name)
            return _to_value(row)

    def list(self) -> tuple[Schedule, ...]:
        """Return all schedules by name."""
        with reading(self._engine) as session:
            rows = session.scalars(select(ScheduleRow).order_by(ScheduleRow.name))
            return tuple(_to_value(row) for row in rows)

    def delete(self, name: str) -> None:
        """Remove the schedule; its runs stay.

        Raises:
            NotFound: there is none of this name.
        """
        with writing(self._engine) as session:
            row = session.get(ScheduleRow, name)
            if row is None:
                raise _not_found(name)
            session.delete(row)


def _not_found(name: str) -> RequestError:
    return NotFound.of("name", f'there is no schedule "{name}"; list the schedules')


def _to_value(row: ScheduleRow) -> Schedule:
    return Schedule(**{field.name: getattr(row, field.name) for field in fields(Schedule)})
