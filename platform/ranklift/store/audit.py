"""The audit log: every change that somebody asked for, appended and never changed."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import Engine, select

from ranklift.store.database import reading, writing
from ranklift.store.tables import AuditRow
from ranklift.v1.guard import AuditEntry


class Audit:
    """Appends and lists entries."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, entry: AuditEntry) -> None:
        """Append an entry."""
        with writing(self._engine) as session:
            session.add(AuditRow(**asdict(entry)))

    def list(
        self, *, since: datetime | None = None, actor: str = "", limit: int = 1_000
    ) -> tuple[AuditEntry, ...]:
        """Return the newest `limit` entries from `since` on, by `actor` if given, oldest first."""
        query = select(AuditRow).order_by(AuditRow.number.desc()).limit(limit)
        if since is not None:
            query = query.where(AuditRow.time >= since)
        if actor:
            query = query.where(AuditRow.actor == actor)
        with reading(self._engine) as session:
            rows = list(session.scalars(query))
        return tuple(
            AuditEntry(**{each.name: getattr(row, each.name) for each in fields(AuditEntry)})
            for row in reversed(rows)
        )
